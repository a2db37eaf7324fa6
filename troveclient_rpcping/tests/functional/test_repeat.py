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

"""Several pings for a guest: ``--count``, and ``--wait``."""

import signal
import subprocess

from troveclient_rpcping.tests.functional import base

# Seconds. Longer than any wait of these tests.
PATIENCE = '300'


class WaitTest(base.TestCase):
    """``--wait``: the command ends when the agent is back."""

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return self.start(*base.PING, '-f', 'json', *arguments)

    def end(
        self, process: subprocess.Popen[str], stderr: list[str]
    ) -> base.Run:
        """Wait for a command.

        :param stderr: its lines, without the remarks about the wait. The
            number of these depends on the time.
        """
        run = base.Run.of(process)
        lines = [
            line
            for line in run.stderr.splitlines()
            if not line.startswith('waiting for ')
        ]
        self.assert_lines(lines, stderr)
        return run

    def wait_for_a_ping(self, process: subprocess.Popen[str]) -> None:
        """Wait until trove-api gets one more ping."""
        total = base.asked(self.sandbox) + 1
        self.wait_until_asked(process, self.sandbox, total)

    def restart(self, name: str, process: subprocess.Popen[str]) -> None:
        """Revive a dead guest after the next ping."""
        self.wait_for_a_ping(process)
        self.sandbox.set_guest(name, 'answering')

    def test_a_guest_that_restarts_is_waited_for(self) -> None:
        """The exit status is 0 when the agent is back."""
        self.with_guest('db-healthy', 'dead')
        process = self.begin('db-healthy', '--wait', PATIENCE)
        self.restart('db-healthy', process)
        run = self.end(
            process, ['Guest .* is reachable after .*"db-healthy".*']
        )
        self.assertEqual('reachable', run.rows[0]['Verdict'])
        self.assertEqual('', run.rows[0]['Detail'])
        self.assertEqual(0, run.status)

    def test_the_others_are_not_asked_again(self) -> None:
        """Only the awaited guest is pinged again."""
        self.with_guest('db-healthy', 'dead')
        process = self.begin(
            *('db-clustered', 'db-healthy', '--long', '--wait', PATIENCE)
        )
        self.restart('db-healthy', process)
        run = self.end(process, ['2 guests: 2 reachable, .*'])
        sent = {row['Name']: row['Sent'] for row in run.rows}
        self.assertEqual(1, sent['db-clustered'])
        self.assertEqual(0, run.status)

    def test_a_guest_that_stays_dead_is_unreachable(self) -> None:
        """After the time its row and the exit status report it."""
        process = self.begin('db-dead', 'db-healthy', '--wait', '8')
        run = self.end(process, ['2 guests: 1 reachable, 1 unreachable, .*'])
        self.assertEqual(
            ['unreachable', 'reachable'], [row['Verdict'] for row in run.rows]
        )
        self.assertEqual(3, run.status)

    def test_an_api_that_restarts_is_waited_for(self) -> None:
        """--wait also waits for an unknown guest."""
        self.sandbox.kill('trove-api')
        # With an ID, the command does not list the instances.
        process = self.begin(
            '--debug', self.id_of('db-healthy'), '--wait', PATIENCE
        )
        assert process.stderr
        while 'rpc_ping: ' not in process.stderr.readline():
            self.assertIsNone(process.poll())
        self.sandbox.start('trove-api')
        run = base.Run.of(process)
        self.assertEqual('reachable', run.rows[0]['Verdict'])
        self.assertEqual(0, run.status)

    def test_stable_is_so_many_answers_in_a_row(self) -> None:
        """With --stable 3, three pings are sent."""
        process = self.begin(
            *('db-healthy', '--wait', '--stable', '3', '--long'),
            *('--interval', '0.1'),
        )
        run = self.end(process, ['Guest .* is reachable after .*'])
        self.assertEqual((3, 0), (run.rows[0]['Sent'], run.status))

    def test_a_terminated_wait_says_what_is_known(self) -> None:
        """The rows have the last results."""
        process = self.begin(
            *('db-healthy', 'db-dead', '--wait', PATIENCE, '--debug'),
        )
        assert process.stderr
        # Wait for the second ping of the dead guest.
        dead = f'GET {self.sandbox.trove_url}'
        asked = 0
        while asked < 2:
            self.assertIsNone(process.poll())
            line = process.stderr.readline()
            asked += dead in line and self.id_of('db-dead') in line
        process.send_signal(signal.SIGTERM)
        run = base.Run.of(process)
        self.assertEqual('reachable', run.rows[0]['Verdict'])
        self.assertIn(run.rows[1]['Verdict'], ('unknown', 'unreachable'))
        self.assertEqual(143, run.status)

    def test_mistakes_are_usage_errors(self) -> None:
        """The exit status is 2, and the last line is the error."""
        for arguments in (
            ('db-healthy', '--stable', '2'),
            ('db-healthy', '--wait', '--count', '2'),
            ('--wait', 'db-healthy'),
            ('db-healthy', '--count', '0'),
            ('db-healthy', '--interval', '1'),
        ):
            run = base.Run.of(self.begin(*arguments))
            self.assertEqual(2, run.status, str(arguments))
            self.assertIn('error: ', run.stderr.splitlines()[-1])


class CountTest(base.TestCase):
    """``--count``: several pings for each guest."""

    def test_several_pings_are_one_row(self) -> None:
        """The row has the number of pings, and their RTTs."""
        run = self.ping(
            *('db-healthy', '--count', '3', '--interval', '0.05', '--long'),
            stderr=['3 pings: 3 answered, 0 lost'],
        )
        (row,) = run.rows
        self.assertEqual((3, 3), (row['Sent'], row['Received']))
        self.assertLessEqual(row['RTT Min'], row['RTT Avg'])
        self.assertLessEqual(row['RTT Avg'], row['RTT Max'])
        self.assertEqual(row['RTT'], row['RTT Avg'])
        self.assertEqual(0, run.status)

    def test_a_guest_that_answers_later_is_alive_and_its_loss_is_named(
        self,
    ) -> None:
        """Its row has the number of lost pings; the exit status is 0."""
        self.with_guest('db-healthy', 'dead')
        guest = self.id_of('db-healthy')
        before = base.asked(self.sandbox, guest)
        process = self.start(
            *base.PING,
            *('db-healthy', 'db-clustered', '-f', 'json', '--long'),
            *('--count', '3', '--interval', '0.1'),
        )
        # The second ping follows the timeout of the first. The last ping is
        # answered.
        self.wait_until_asked(process, self.sandbox, before + 2, guest)
        self.sandbox.set_guest('db-healthy', 'answering')
        run = self.finish(
            process, ['2 guests: 2 reachable, .*', '6 pings: .* [12] lost']
        )
        healthy, clustered = run.rows
        self.assertEqual('reachable', clustered['Verdict'])
        self.assertEqual('reachable', healthy['Verdict'])
        self.assertRegex(healthy['Detail'], '[12] of 3 pings lost')
        self.assertEqual(0, run.status)

    def test_a_fleet_is_pinged_at_a_fixed_pace(self) -> None:
        """Healthy guests do not wait for the dead one."""
        run = self.ping(
            *('--all', '--count', '2', '--interval', '0.1', '--long'),
            stderr=[
                '9 guests: 6 reachable, 1 unreachable, .*',
                '18 pings: 12 answered, 2 lost, 4 failed',
            ],
        )
        self.assertEqual({2}, {row['Sent'] for row in run.rows})
        self.assertEqual(3, run.status)
