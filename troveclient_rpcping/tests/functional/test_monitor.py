# SPDX-License-Identifier: Apache-2.0

"""``openstack database instance rpc monitor``, against the sandbox."""

import os
import pathlib
import pty
import re
import select
import signal
import socket
import subprocess
import threading

import fixtures

from troveclient_rpcping.tests.functional import base

MONITOR = base.MONITOR
# Seconds after which a monitor without output is broken.
LONG = float(base.LIMIT)
WATCHING = 'Watching 9 guests: 6 reachable, 1 unreachable, 1 error, 1 unknown'


class TestCase(base.TestCase):
    def watch(self, *arguments: str, interval: str = '1') -> None:
        """Start the monitor."""
        self.command = self.start(*MONITOR, '--interval', interval, *arguments)
        self.read = 0

    def line(self) -> str:
        """Return the next line that the monitor prints."""
        self.wait_until(
            self.command,
            lambda: self.command.stdout.count('\n') > self.read,
        )
        self.read += 1
        return self.command.stdout.split('\n')[self.read - 1]

    def first_lines(self) -> list[str]:
        """Return the first lines about the fleet."""
        return [self.line() for _ in range(3)]

    def terminate(self, *stderr: str) -> base.Run:
        """Terminate the monitor."""
        self.command.process.terminate()
        run = self.end(self.command)
        lines = [
            line
            for line in run.stderr.splitlines()
            # A sweep takes long on a busy machine.
            if not line.startswith('A sweep took ')
        ]
        self.assert_lines(lines, stderr)
        self.assertEqual(143, run.status)
        return run


class ChangeTest(TestCase):
    """The monitor reports changes of guests and of the control plane."""

    def test_a_guest_that_dies_and_comes_back_is_two_lines(self) -> None:
        """At first there is a line for each guest that is not reachable."""
        self.watch('--all')
        stamp = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ'
        for name, line in zip(
            ('db-dead', 'db-failing', 'db-unready'),
            self.first_lines(),
            strict=True,
        ):
            self.assertRegex(
                line, rf'{stamp} \S+ new -> (un\w+|error)( \(.+\))? "{name}"'
            )
        self.sandbox.set_guest('db-healthy', 'dead')
        self.assertRegex(
            self.line(),
            rf'{stamp} {self.id_of("db-healthy")} reachable -> unreachable '
            r'after \w+ "db-healthy"',
        )
        self.sandbox.set_guest('db-healthy', 'answering')
        self.assertRegex(
            self.line(),
            rf'{stamp} \S+ unreachable -> reachable after \w+ "db-healthy"',
        )
        self.terminate(WATCHING)

    def test_a_guest_is_not_down_because_the_api_was(self) -> None:
        """The monitor reports the fault of the control plane, and its end."""
        self.watch('--all')
        self.first_lines()
        self.sandbox.kill('trove-api')
        self.assertRegex(self.line(), r'\S+ control plane ok -> failing \(.*')
        self.sandbox.start('trove-api')
        self.assertRegex(
            self.line(), r'\S+ control plane failing -> ok after \w+'
        )
        self.wait_for_more_pings(self.command, 9)
        run = self.terminate(WATCHING)
        self.assertEqual(self.read, run.stdout.count('\n'))


class MonitorTest(TestCase):
    """The options of the monitor, its surroundings and its end."""

    def test_a_sweep_that_outlasts_the_interval_is_said_once(self) -> None:
        """The next sweep begins when this one ends."""
        # The dead guest takes 2 s.
        self.watch('db-dead', 'db-healthy')
        self.line()
        self.wait_for_more_pings(self.command, 6)
        self.command.process.terminate()
        self.end(
            self.command,
            [
                'Watching 2 guests: .*',
                'A sweep took .*, longer than --interval 1: the next one .*',
            ],
        )

    def test_neither_a_hangup_nor_a_broken_nova_ends_it(self) -> None:
        """The monitor goes on, and reports the control plane."""
        self.watch('db-healthy', interval='0.2')
        self.wait_for_more_pings(self.command, 1)
        self.command.process.send_signal(signal.SIGHUP)
        self.sandbox.set_nova('broken')
        self.assertRegex(
            self.line(), r'ok -> failing \((no sweep|.*compute-error).*'
        )
        self.sandbox.set_nova('ok')
        self.assertIn('failing -> ok', self.line())
        self.terminate('Watching 1 guest: .*')

    def test_systemd_learns_when_the_first_sweep_ended(self) -> None:
        """READY has the result; later the monitor reports its end."""
        socket_ = self.systemd()
        self.watch('--all')
        reports = [socket_.recv(4096).decode() for _ in range(2)]
        self.assertIn('STATUS=The first sweep', reports[0])
        self.assertRegex(
            reports[1], r'\AREADY=1\nWATCHDOG=1\nSTATUS=9 guests: .*\Z'
        )
        self.command.process.terminate()
        while (report := socket_.recv(4096)) != b'STOPPING=1':
            self.assertIn(b'WATCHDOG=1', report)

    def test_refused_credentials_end_it_with_one_line(self) -> None:
        """The monitor ends after the third refusal."""
        socket_ = self.systemd()
        run = self.openstack(
            *('--os-password', 'old', *MONITOR, '--all', '-q'),
            *('--listen', str(base.free_port()), '--interval', '0.1'),
            stderr=[
                r'No login: .* refuses these credentials: .* \(HTTP 401\).*'
            ],
        )
        self.assertEqual(1, run.status)
        socket_.setblocking(False)
        reports = [socket_.recv(4096) for _ in range(5)]
        self.assertEqual(
            3, sum(each.startswith(b'READY=1') for each in reports)
        )
        self.assertEqual(b'STOPPING=1', reports[-1])

    def systemd(self) -> socket.socket:
        """Listen as systemd does, for all commands of this test."""
        address = str(self.folder() / 'notify')
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(ours.close)
        ours.bind(address)
        ours.settimeout(LONG)
        self.useFixture(fixtures.EnvironmentVariable('NOTIFY_SOCKET', address))
        return ours

    def on_terminal(self, *arguments: str) -> tuple[int, base.Command]:
        """Start the monitor on a terminal; return the end that reads."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [base.program('openstack'), *MONITOR, *arguments],
            env={**self.sandbox.env(), 'TERM': 'xterm', 'COLUMNS': '160'},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        nothing = pathlib.Path(os.devnull)
        return ours, base.Command(process, nothing, nothing, 0)

    def test_a_terminal_shows_how_things_are(self) -> None:
        """The picture has counts and bad guests; Ctrl-C ends it cleanly."""
        ours, command = self.on_terminal('--all', '--interval', '1')
        self.addCleanup(os.close, ours)
        timer = threading.Timer(LONG, command.process.kill)
        timer.start()
        self.addCleanup(timer.cancel)
        shown = b''
        picture = r'● 6 reachable.*Verdict.*db-unready'
        while not re.search(
            picture, shown.decode(errors='replace'), re.DOTALL
        ):
            shown += os.read(ours, 65536)
        command.process.send_signal(signal.SIGINT)
        # The monitor shows the cursor again.
        while b'\x1b[?25h' not in shown:
            shown += os.read(ours, 65536)
        self.assertEqual(130, command.process.wait(LONG))

    def test_it_outlives_its_terminal_for_its_metrics(self) -> None:
        """Without metrics it ends with its terminal."""
        metrics = ('--textfile', str(self.folder() / 'trove.prom'))
        for arguments, status in ((metrics, 143), ((), 1)):
            ours, command = self.on_terminal(
                'db-healthy', '--interval', '0.2', *arguments
            )
            ended = threading.Event()
            reader = threading.Thread(target=drain, args=(ours, ended))
            reader.start()
            self.wait_for_more_pings(command, 2)
            # A terminal does not close while it is read.
            ended.set()
            reader.join()
            os.close(ours)
            if arguments:
                self.wait_for_more_pings(command, 5)
                command.process.terminate()
            self.assertEqual(status, command.process.wait(LONG))

    def test_a_reader_that_ends_ends_it_quietly(self) -> None:
        """``| head`` is such a reader."""
        monitor = ' '.join([base.program('openstack'), *MONITOR])
        run = base.run(
            *('bash', '-c', f'{monitor} db-dead | :; exit ${{PIPESTATUS[0]}}'),
            env=self.sandbox.env(),
        )
        self.assertEqual((141, ''), (run.status, run.stderr))


def drain(terminal: int, ended: threading.Event) -> None:
    """Read from a terminal until the event."""
    while not ended.is_set():
        if select.select([terminal], [], [], 0.05)[0]:
            os.read(terminal, 65536)
