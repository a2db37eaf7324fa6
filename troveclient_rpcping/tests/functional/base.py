#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""The real ``openstack`` command against a real control plane."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
import dataclasses
import functools
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time
from typing import Any
from typing import Self

from sandbox import rabbitmq
from sandbox import Sandbox
from troveclient_rpcping.tests import base

PING = ('database', 'instance', 'rpc', 'ping')


@functools.cache
def shared_sandbox() -> Sandbox:
    """Return the sandbox of this test process, and start it if needed.

    Trove waits 2 s for an agent, not 15, and there is no rate limit in the
    way. A test that breaks the sandbox repairs it at its end.
    """
    return _started(Sandbox(agent_timeout=2, rate_limit=1_000_000))


@functools.cache
def one_at_a_time_sandbox() -> Sandbox:
    """Return the sandbox whose workers serve one request at a time."""
    return _started(
        Sandbox(
            'rabbit',
            server='wsgi',
            workers=3,
            agent_timeout=2,
            rate_limit=1_000_000,
        )
    )


def _started(sandbox: Sandbox) -> Sandbox:
    sandbox.__enter__()
    # If this process is killed, its sandboxes end with it.
    atexit.register(sandbox.__exit__, None, None, None)
    return sandbox


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished command."""

    status: int
    stdout: str
    stderr: str

    @classmethod
    def of(cls, process: subprocess.Popen[str]) -> Self:
        """Wait for a command to end."""
        stdout, stderr = process.communicate(timeout=300)
        return cls(process.returncode, stdout, stderr)

    @property
    def rows(self) -> Any:
        """The output of ``-f json``."""
        return json.loads(self.stdout)


class TestCase(base.TestCase):
    """A test with the ``openstack`` command and a sandbox."""

    @property
    def sandbox(self) -> Sandbox:
        return shared_sandbox()

    def id_of(self, name: str) -> str:
        """Return the ID of a guest of the sandbox."""
        return str(self.sandbox.guests[name].id)

    def with_nova(self, state: str) -> None:
        """Break Nova until the end of the test."""
        self.sandbox.set_nova(state)
        self.addCleanup(self.sandbox.set_nova, 'ok')

    def with_guest(self, name: str, behaviour: str) -> None:
        """Change the behaviour of a guest until the end of the test."""
        before = self.sandbox.guests[name].behaviour
        self.sandbox.set_guest(name, behaviour)
        self.addCleanup(self.sandbox.set_guest, name, before)

    def without(self, server: str) -> None:
        """Kill a server, and start it at the end of the test."""
        self.sandbox.kill(server)
        self.addCleanup(self.sandbox.start, server)

    def start(
        self, *arguments: str, cloud: str = 'sandbox'
    ) -> subprocess.Popen[str]:
        """Start ``openstack``, and return while it runs."""
        process = start_openstack(self.sandbox, *arguments, cloud=cloud)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def finish(
        self, process: subprocess.Popen[str], stderr: Sequence[str] = ()
    ) -> Run:
        """Wait for a command; an unexpected line on stderr fails the test.

        :param stderr: a regular expression for each line, in order.
        """
        run = Run.of(process)
        self.assert_lines(run.stderr.splitlines(), stderr)
        return run

    def assert_lines(
        self, lines: Sequence[str], expected: Sequence[str]
    ) -> None:
        """Compare lines with a regular expression for each."""
        if len(lines) != len(expected) or not all(
            map(re.fullmatch, expected, lines)
        ):
            self.fail(f'stderr is {lines}, and should match {list(expected)}')

    def wait_until_asked(
        self,
        process: subprocess.Popen[str],
        sandbox: Sandbox,
        total: int,
        instance_id: str = '',
    ) -> None:
        """Wait until :func:`asked` is ``total``, while a command runs."""
        while asked(sandbox, instance_id) < total:
            self.assertIsNone(process.poll(), 'the command has ended')
            time.sleep(0.05)

    def openstack(
        self,
        *arguments: str,
        stderr: Sequence[str] = (),
        cloud: str = 'sandbox',
    ) -> Run:
        """Run ``openstack`` to its end."""
        return self.finish(self.start(*arguments, cloud=cloud), stderr)

    def ping(
        self, *arguments: str, stderr: Sequence[str] = (), **kwargs: Any
    ) -> Run:
        """Run ``openstack database instance rpc ping -f json``."""
        return self.openstack(
            *PING, '-f', 'json', *arguments, stderr=stderr, **kwargs
        )


class OneAtATime(TestCase):
    """Runs the tests of another class on :func:`one_at_a_time_sandbox`.

    Put this before the other class.
    """

    @property
    def sandbox(self) -> Sandbox:
        if not rabbitmq.installed():
            self.skipTest('RabbitMQ is not installed')
        return one_at_a_time_sandbox()


def asked(sandbox: Sandbox, instance_id: str = '') -> int:
    """Return the number of pings that trove-api got, for one guest or all."""
    return sandbox.log('trove-api').count(
        f'Sending RPC PING for a database instance {instance_id}'
    )


def start_openstack(
    sandbox: Sandbox, *arguments: str, cloud: str = 'sandbox'
) -> subprocess.Popen[str]:
    """Start ``openstack`` against a sandbox."""
    return subprocess.Popen(
        [program('openstack'), *arguments],
        env=sandbox.env(cloud),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def program(name: str) -> str:
    """Return the path of a program beside this Python, or on the PATH."""
    beside = pathlib.Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f'{name} is not installed'
    return found
