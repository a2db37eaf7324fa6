# SPDX-License-Identifier: Apache-2.0

"""The real ``openstack`` command against a real control plane.

No test waits for a number of seconds: a busy machine would miss it. The tests
wait for events, and pause a command that must not go on meanwhile.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import enum
import functools
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any
import unittest

import fixtures

from sandbox import box as boxes
from sandbox import rabbitmq
from troveclient_rpcping.tests import base

PING = ('database', 'instance', 'rpc', 'ping')
MONITOR = ('database', 'instance', 'rpc', 'monitor')
PLUGIN = 'check_trove_guest_rpc'

# Seconds after which a test gives up an event.
LIMIT = 300

needs_rabbitmq = unittest.skipUnless(
    rabbitmq.installed(), 'RabbitMQ is not installed'
)


class Cloud(enum.Enum):
    """The sandboxes of the tests; Trove waits 2 or 3 s for an agent."""

    #: One guest of each kind, in memory.
    SMALL = {'agent_timeout': 2}
    #: 60 live guests beside these.
    LARGE = {'agent_timeout': 2, 'guests': 60}
    #: 40 live guests, on RabbitMQ.
    BUS = {'transport': 'rabbit', 'guests': 40}
    #: One guest of each kind. Each worker serves one request at a time, as on
    #: most clouds.
    WSGI_SMALL = {
        'transport': 'rabbit',
        'server': 'wsgi',
        'workers': 3,
        'agent_timeout': 2,
    }
    #: The same with 24 live guests.
    WSGI = {**WSGI_SMALL, 'guests': 24, 'agent_timeout': 3}


@functools.cache
def sandbox(cloud: Cloud) -> boxes.Sandbox:
    """Return a sandbox of this test process, and start it if needed."""
    options: dict[str, Any] = cloud.value
    box = boxes.Sandbox(rate_limit=1_000_000, **options)
    box.__enter__()
    atexit.register(box.__exit__, None, None, None)
    return box


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished command."""

    status: int
    stdout: str
    stderr: str

    @property
    def rows(self) -> Any:
        """The output of ``-f json``."""
        return json.loads(self.stdout)


def run(*command: str, **kwargs: Any) -> Run:
    """Run a command to its end."""
    kwargs = {'stdin': subprocess.DEVNULL, 'text': True, **kwargs}
    done = subprocess.run(
        command, capture_output=True, timeout=LIMIT, **kwargs
    )
    return Run(done.returncode, done.stdout, done.stderr)


def wait(true: Callable[[], object]) -> None:
    """Wait for an event."""
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end, 'the event did not come'
        time.sleep(0.05)


def free_port() -> int:
    """Return a port of loopback that was free a moment ago."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        return int(server.getsockname()[1])


def program(name: str) -> str:
    """Return the path of a program beside this Python, or on the PATH."""
    beside = pathlib.Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f'{name} is not installed'
    return found


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that runs. A test can read its output meanwhile."""

    process: subprocess.Popen[bytes]
    out: pathlib.Path
    err: pathlib.Path
    #: The number of pings that trove-api had got before the start.
    asked: int

    @property
    def stdout(self) -> str:
        """The stdout so far."""
        return self.out.read_text()

    @property
    def stderr(self) -> str:
        """The stderr so far."""
        return self.err.read_text()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Pause the command during the block."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


class TestCase(base.TestCase):
    """A test with the ``openstack`` command and a sandbox.

    The end of the test undoes all faults of the sandbox.
    """

    cloud = Cloud.SMALL

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.sandbox.mend)

    @property
    def sandbox(self) -> boxes.Sandbox:
        """The sandbox that all tests of this process with a cloud share."""
        return sandbox(self.cloud)

    def id_of(self, name: str) -> str:
        """Return the ID of a guest of the sandbox."""
        return str(self.sandbox.guests[name].id)

    def folder(self) -> pathlib.Path:
        """Return a folder that is removed at the end."""
        return pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def start(
        self,
        *arguments: str,
        cloud: str = 'sandbox',
        env: Mapping[str, str] | None = None,
        name: str = 'openstack',
    ) -> Command:
        """Start ``openstack``, or another program, and return.

        :param cloud: the user, as for :meth:`sandbox.Sandbox.env`.
        """
        folder = self.folder()
        out, err = folder / 'stdout', folder / 'stderr'
        asked = self.asked()
        with out.open('wb') as stdout, err.open('wb') as stderr:
            process = subprocess.Popen(
                [program(name), *arguments],
                env={**self.sandbox.env(cloud), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        self.addCleanup(process.wait)
        # SIGKILL also ends a paused command.
        self.addCleanup(process.kill)
        return Command(process, out, err, asked)

    def end(
        self, command: Command, stderr: Sequence[str] | None = None
    ) -> Run:
        """Wait until a command ends. A traceback fails the test.

        :param stderr: a regular expression for each line, in order. None
            permits all lines.
        """
        status = command.process.wait(LIMIT)
        run = Run(status, command.stdout, command.stderr)
        self.assertNotIn('Traceback', run.stderr)
        if stderr is not None:
            self.assert_lines(run.stderr.splitlines(), stderr)
        return run

    def openstack(
        self, *arguments: str, stderr: Sequence[str] | None = (), **kwargs: Any
    ) -> Run:
        """Run ``openstack`` to its end; see :meth:`start` and :meth:`end`."""
        return self.end(self.start(*arguments, **kwargs), stderr)

    def sweep(self, *arguments: str, **kwargs: Any) -> Run:
        """Run ``openstack`` to its end. The test looks at stderr itself."""
        return self.openstack(*arguments, stderr=None, **kwargs)

    def ping(self, *arguments: str, **kwargs: Any) -> Run:
        """Run ``openstack database instance rpc ping -f json``."""
        return self.openstack(*PING, '-f', 'json', *arguments, **kwargs)

    def assert_lines(
        self, lines: Sequence[str], expected: Sequence[str]
    ) -> None:
        """Compare lines with a regular expression for each."""
        if len(lines) != len(expected) or not all(
            map(re.fullmatch, expected, lines)
        ):
            self.fail(f'stderr is {lines}, and should match {list(expected)}')

    def assert_said(self, run: Run, expected: str) -> None:
        """Check that a line on stderr matches a regular expression."""
        if not any(
            re.fullmatch(expected, line) for line in run.stderr.splitlines()
        ):
            self.fail(f'no line matches {expected}:\n{run.stderr[-4000:]}')

    def assert_unknown(self, run: Run, advice: str) -> None:
        """Check that the only guest is unknown, with this advice."""
        verdicts = [row['Verdict'] for row in run.rows]
        self.assertEqual((['unknown'], 1), (verdicts, run.status))
        self.assert_lines(
            run.stderr.splitlines(), [f'Guest .* is unknown: {advice}']
        )

    def assert_failed(self, run: Run, *stderr: str) -> None:
        """Check that the command failed without a row."""
        self.assertEqual((1, ''), (run.status, run.stdout))
        self.assert_lines(run.stderr.splitlines(), stderr)

    def wait_until(self, command: Command, true: Callable[[], bool]) -> None:
        """Wait for an event while a command runs."""

        def came() -> bool:
            ended = command.process.poll()
            if not true():
                self.assertIsNone(ended, command.stderr)
                return False
            return True

        wait(came)

    def asked(self, instance_id: str = '') -> int:
        """Return how many pings trove-api got, for one guest or for all."""
        return self.sandbox.log('trove-api').count(
            f'Sending RPC PING for a database instance {instance_id}'
        )

    def wait_for_pings(self, command: Command, number: int) -> None:
        """Wait until trove-api got N pings since the start of a command."""
        self.wait_until(
            command, lambda: self.asked() - command.asked >= number
        )

    def wait_for_more_pings(
        self, command: Command, number: int, instance_id: str = ''
    ) -> None:
        """Wait until trove-api got N pings more than now."""
        total = self.asked(instance_id) + number
        self.wait_until(command, lambda: self.asked(instance_id) >= total)
