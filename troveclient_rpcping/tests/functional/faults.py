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

"""Tests that break a sandbox while a command runs, and repair it.

No test here waits for a number of seconds: a busy machine would miss it. The
tests wait for events, and pause a command that must not go on meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import pathlib
import re
import signal
import subprocess
import time

import fixtures

from sandbox import Sandbox
from troveclient_rpcping.tests.functional import base

# Seconds after which a test gives up an event.
LIMIT = 180


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that runs. A test can read its output meanwhile.

    :param process: the command.
    :param out: the file with its stdout.
    :param err: the file with its stderr.
    :param asked: the number of pings that trove-api had got before the start.
    """

    process: subprocess.Popen[bytes]
    out: pathlib.Path
    err: pathlib.Path
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


class FaultTest(base.TestCase):
    """A test that breaks its sandbox, and repairs it at the end."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.mend)

    def mend(self) -> None:
        """Undo every fault of the sandbox."""
        self.sandbox.mend()

    def begin(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        program: str = 'openstack',
    ) -> Command:
        """Start ``openstack``.

        :param env: variables beside the environment for the sandbox.
        :param program: the program to start.
        """
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        out, err = folder / 'stdout', folder / 'stderr'
        asked = self.asked()
        with out.open('wb') as stdout, err.open('wb') as stderr:
            process = subprocess.Popen(
                [base.program(program), *arguments],
                env={**self.sandbox.env(), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        self.addCleanup(process.wait)
        # SIGKILL also ends a paused command.
        self.addCleanup(process.kill)
        return Command(process, out, err, asked)

    def sweep(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> base.Run:
        """Run ``openstack`` to its end."""
        return self.end(self.begin(*arguments, env=env))

    def end(self, command: Command) -> base.Run:
        """Wait until a command ends, and check that it has no traceback."""
        status = command.process.wait(LIMIT)
        run = base.Run(status, command.stdout, command.stderr)
        self.assertNotIn('Traceback', run.stderr)
        return run

    def wait_until(self, command: Command, true: Callable[[], bool]) -> None:
        """Wait for an event while a command runs."""
        end = time.monotonic() + LIMIT
        while not true():
            self.assertIsNone(command.process.poll(), command.stderr)
            self.assertLess(time.monotonic(), end, command.stderr)
            time.sleep(0.05)

    def asked(self, instance_id: str = '') -> int:
        """Return the number of pings that trove-api got; see base.asked."""
        return base.asked(self.sandbox, instance_id)

    def wait_for_pings(self, command: Command, number: int) -> None:
        """Wait until a command has sent this number of pings."""
        end = command.asked + number
        self.wait_until(command, lambda: self.asked() >= end)

    def assert_said(self, run: base.Run, expected: str) -> None:
        """Check that a line on stderr matches a regular expression."""
        if not any(
            re.fullmatch(expected, line) for line in run.stderr.splitlines()
        ):
            self.fail(f'no line matches {expected}:\n{run.stderr[-4000:]}')

    def assert_unknown(self, run: base.Run, advice: str) -> None:
        """Check that the only guest is unknown, with this advice."""
        self.assertEqual(['unknown'], [row['Verdict'] for row in run.rows])
        self.assert_lines(
            run.stderr.splitlines(), [f'Guest .* is unknown: {advice}']
        )
        self.assertEqual(1, run.status)

    def assert_failed(self, run: base.Run, *stderr: str) -> None:
        """Check that the command failed without a row."""
        self.assertEqual((1, ''), (run.status, run.stdout))
        self.assert_lines(run.stderr.splitlines(), stderr)


class SweepTest(FaultTest):
    """A test of a class with its own sandbox, which has many guests."""

    box: Sandbox

    @classmethod
    def new_sandbox(cls) -> Sandbox:
        """Return the sandbox, which is not started yet."""
        raise NotImplementedError

    @classmethod
    def setUpClass(cls) -> None:
        """Start the sandbox."""
        super().setUpClass()
        cls.box = cls.new_sandbox()
        cls.box.__enter__()
        cls.addClassCleanup(cls.box.__exit__, None, None, None)

    @property
    def sandbox(self) -> Sandbox:
        return self.box

    @property
    def live(self) -> list[str]:
        """The IDs of the guests ``guest-0001`` and so on, which all live."""
        return [
            str(guest.id)
            for name, guest in self.box.guests.items()
            if name.startswith('guest-')
        ]

    def wait_for_all_agents(self) -> None:
        """Wait until every live guest answers."""
        command = self.begin(
            *(*base.PING, '-f', 'json', '--wait', str(LIMIT), *self.live)
        )
        self.assertEqual(0, self.end(command).status)

    def restart_broker(self) -> None:
        """Kill RabbitMQ, and start it. The test ends with all agents back."""
        self.addCleanup(self.wait_for_all_agents)
        self.box.kill('broker')
        self.box.start('broker')

    def sweep_across(
        self,
        fault: Callable[[], None],
        mend: Callable[[], None],
        sign: str,
        env: Mapping[str, str] | None = None,
    ) -> base.Run:
        """Sweep the live guests across a fault, which begins and ends midway.

        :param fault: begins the fault.
        :param mend: ends the fault.
        :param sign: a regular expression for the line of ``--debug`` about a
            ping that meets the fault, behind the URL.
        """
        command = self.begin(
            *('--debug', *base.PING, '-f', 'json', '--long'),
            # With the default concurrency the sweep does not give up: that
            # would take more failures than there are guests.
            *('--rate', '8', *self.live),
            env=env,
        )
        self.wait_until(
            command, lambda: command.stderr.count('rpc_ping: HTTP 204') > 9
        )
        with command.frozen():
            fault()
        self.wait_until(
            command,
            lambda: bool(re.search(f'rpc_ping: {sign}', command.stderr)),
        )
        with command.frozen():
            mend()
        return self.end(command)

    def sweep_until(
        self, fault: Callable[[], None], *arguments: str
    ) -> base.Run:
        """Sweep the live guests; midway a fault begins, and stays."""
        command = self.begin(
            *(*base.PING, '-f', 'json', '--long', '--rate', '20'),
            *(*arguments, *self.live),
        )
        self.wait_for_pings(command, 15)
        with command.frozen():
            fault()
        return self.end(command)

    def assert_ended_early(
        self, run: base.Run, reason: str, advice: str
    ) -> None:
        """Check that a sweep gave up after a fault, and blamed no guest."""
        self.assertEqual(self.live, [row['ID'] for row in run.rows])
        self.assertEqual(
            {
                ('reachable', ''),
                ('unknown', reason),
                ('unknown', 'not-asked'),
            },
            {(row['Verdict'], row['Reason']) for row in run.rows},
        )
        self.assertIn(advice, run.stderr)
        self.assertEqual(1, run.status)

    def assert_gap(self, run: base.Run, reason: str, advice: str) -> None:
        """Check the verdicts of a sweep across a fault.

        Guests that were pinged during the fault are unknown, and all others
        are reachable.
        """
        self.assertEqual(self.live, [row['ID'] for row in run.rows])
        found = [(row['Verdict'], row['Reason']) for row in run.rows]
        self.assertEqual({('reachable', ''), ('unknown', reason)}, set(found))
        self.assertGreater(found.count(('reachable', '')), 9)
        # The sweep pinged this guest after the fault.
        self.assertEqual(('reachable', ''), found[-1])
        self.assert_said(run, f'[0-9]+ of {len(self.live)} guests: {advice}')
        self.assertEqual(1, run.status)
