# SPDX-License-Identifier: Apache-2.0

"""Several pings for a guest: ``--count``, and ``--wait``."""

import signal

from troveclient_rpcping.tests.functional import base

# Seconds. Longer than any wait of these tests.
PATIENCE = str(base.LIMIT)


class WaitTest(base.TestCase):
    """``--wait``: the command ends when the agent is back."""

    def begin(self, *arguments: str) -> base.Command:
        return self.start(*base.PING, '-f', 'json', *arguments)

    def end_wait(self, command: base.Command, *stderr: str) -> base.Run:
        """Wait for a command.

        :param stderr: its lines, without the remarks about the wait. The
            number of these depends on the time.
        """
        run = self.end(command)
        lines = [
            line
            for line in run.stderr.splitlines()
            if not line.startswith('waiting for ')
        ]
        self.assert_lines(lines, stderr)
        return run

    def test_a_guest_that_restarts_is_waited_for(self) -> None:
        """The command ends when the agent is back.

        Only the awaited guest is pinged again.
        """
        self.sandbox.set_guest('db-healthy', 'dead')
        command = self.begin(
            *('db-clustered', 'db-healthy', '--long', '--wait', PATIENCE)
        )
        self.wait_for_more_pings(command, 1, self.id_of('db-healthy'))
        self.sandbox.set_guest('db-healthy', 'answering')
        run = self.end_wait(command, '2 guests: 2 reachable, .*')
        clustered, healthy = run.rows
        self.assertEqual(1, clustered['Sent'])
        self.assertEqual(
            ('reachable', ''), (healthy['Verdict'], healthy['Detail'])
        )
        self.assertEqual(0, run.status)

    def test_a_guest_that_stays_dead_is_unreachable(self) -> None:
        """After the time its row and the exit status report it."""
        command = self.begin('db-dead', 'db-healthy', '--wait', '20')
        run = self.end_wait(command, '2 guests: 1 reachable, 1 unreach.*')
        self.assertEqual(
            ['unreachable', 'reachable'], [row['Verdict'] for row in run.rows]
        )
        self.assertEqual(3, run.status)

    def test_an_api_that_restarts_is_waited_for(self) -> None:
        """--wait also waits for an unknown guest."""
        self.sandbox.kill('trove-api')
        # With an ID, the command does not list the instances.
        command = self.begin(
            '--debug', self.id_of('db-healthy'), '--wait', PATIENCE
        )
        self.wait_until(command, lambda: 'rpc_ping: ' in command.stderr)
        self.sandbox.start('trove-api')
        run = self.end(command)
        self.assertEqual('reachable', run.rows[0]['Verdict'])
        self.assertEqual(0, run.status)

    def test_stable_is_a_number_of_answers_in_a_row(self) -> None:
        """With --stable 3, three pings are sent."""
        command = self.begin(
            *('db-healthy', '--wait', '--stable', '3', '--long'),
            *('--interval', '0.1'),
        )
        run = self.end_wait(command, 'Guest .* is reachable after .*')
        self.assertEqual((3, 0), (run.rows[0]['Sent'], run.status))

    def test_a_terminated_wait_says_what_is_known(self) -> None:
        """The rows have the last results."""
        command = self.begin(
            *('db-healthy', 'db-dead', '--wait', PATIENCE),
        )
        self.wait_for_more_pings(command, 2, self.id_of('db-dead'))
        command.process.send_signal(signal.SIGTERM)
        run = self.end(command)
        self.assertEqual('reachable', run.rows[0]['Verdict'])
        self.assertIn(run.rows[1]['Verdict'], ('unknown', 'unreachable'))
        self.assertEqual(143, run.status)


class CountTest(base.TestCase):
    """``--count``: several pings for each guest."""

    def test_a_guest_that_answers_later_is_alive_and_its_loss_is_named(
        self,
    ) -> None:
        """Its row has the number of lost pings; the exit status is 0."""
        self.sandbox.set_guest('db-healthy', 'dead')
        guest = self.id_of('db-healthy')
        before = self.asked(guest)
        command = self.start(
            *base.PING,
            *('db-healthy', 'db-clustered', '-f', 'json', '--long'),
            *('--count', '3', '--interval', '0.1'),
        )
        # The second ping follows the timeout of the first. The last ping is
        # answered.
        self.wait_until(command, lambda: self.asked(guest) >= before + 2)
        self.sandbox.set_guest('db-healthy', 'answering')
        run = self.end(
            command, ['2 guests: 2 reachable, .*', '6 pings: .* [12] lost']
        )
        healthy, clustered = run.rows
        self.assertEqual('reachable', clustered['Verdict'])
        self.assertEqual('reachable', healthy['Verdict'])
        self.assertRegex(healthy['Detail'], '[12] of 3 pings lost')
        self.assertEqual(0, run.status)

    def test_a_fleet_is_pinged_at_a_fixed_pace(self) -> None:
        """Healthy guests do not wait for the dead one. Each has one row."""
        run = self.ping(
            *('--all', '--count', '2', '--interval', '0.1', '--long'),
            stderr=[
                '9 guests: 6 reachable, 1 unreachable, .*',
                '18 pings: 12 answered, 2 lost, 4 failed',
            ],
        )
        self.assertEqual({2}, {row['Sent'] for row in run.rows})
        self.assertEqual(3, run.status)
