# SPDX-License-Identifier: Apache-2.0

"""A dead compute host, servers that are off, and exclusions."""

import json

from troveclient_rpcping.tests.functional import base
from troveclient_rpcping.tests.functional import test_evidence

HOST = 'compute-02'


@base.needs_rabbitmq
class CommonTraitTest(test_evidence.EvidenceTest):
    """40 guests on five hosts."""

    def test_the_dead_host_is_named(self) -> None:
        """The summary, the monitor and ``--long`` name the host."""
        monitor = self.monitor('guest-*')
        self.wait_for_pings(monitor, 2 * len(self.live))
        dead = [
            guest.id
            for guest in self.sandbox.guests.values()
            if guest.host == HOST
        ]
        self.sandbox.set_guest(dead, 'dead')
        said = f'8 of 8 unreachable guests are on host {HOST} (8 of its 8)'
        run = self.ping('guest-*')
        self.assertIn(f'{said}.', run.stderr.splitlines())
        rows = [row for row in run.rows if row['Verdict'] == 'unreachable']
        self.assertEqual({HOST}, {row['Host'] for row in rows})
        self.assertEqual({'ACTIVE'}, {row['Server Status'] for row in rows})
        self.assertCountEqual(dead, [row['ID'] for row in rows])
        self.assertTrue(all(row['Server ID'] for row in rows))
        self.wait_until(
            monitor, lambda: monitor.stdout.count('unreachable') >= len(dead)
        )
        monitor.process.terminate()
        events = map(json.loads, self.end(monitor).stdout.splitlines())
        (common,) = (each for each in events if each['event'] == 'in-common')
        self.assertEqual(('host', HOST), (common['trait'], common['value']))

    def test_a_server_that_is_off_explains_the_silence(self) -> None:
        """The guest is unknown, so a runbook does not repair it."""
        states = ('SHUTOFF', 'PAUSED', 'SUSPENDED', 'SHELVED_OFFLOADED')
        self.sandbox.set_guest(self.live[:4], 'dead')
        for id_, status in zip(self.live, states, strict=False):
            self.sandbox.set_guest(id_, 'dead', server=status)
        run = self.ping(*self.live[:5])
        *off, well = run.rows
        self.assertEqual('reachable', well['Verdict'])
        for row, status in zip(off, states, strict=True):
            self.assertEqual(
                ('unknown', 'server-off', status),
                (row['Verdict'], row['Reason'], row['Server Status']),
            )
            self.assertIn(f'is {status} in Nova', row['Detail'])
        self.assertEqual(1, run.status)
        run = self.plugin(*self.live[:5])
        self.assertIn(
            ' OK - 1 of 5 guests reachable, 4 unknown (4 server-off)',
            run.stdout,
        )

    def test_exclusions_leave_guests_out(self) -> None:
        """Each program obeys the file; an expired entry has no effect."""
        dead = self.live[-3:]
        self.sandbox.set_guest(dead, 'dead')
        file = self.folder() / 'left-out'
        file.write_text(
            'guest-0038  # its disk is replaced\n'
            f'{dead[1]} until=9999-12-31\n'
            'guest-0040 until=2026-01-31 # moves\n'
        )
        run = self.ping('guest-*', '--exclude', str(file))
        self.assertEqual(
            [dead[2]],
            [row['ID'] for row in run.rows if row['Verdict'] != 'reachable'],
        )
        self.assertEqual(38, len(run.rows))
        self.assertIn('2 guests left out', run.stderr)
        self.assertIn(
            'line 3: "guest-0040" was left out until 2026-01-31 ("moves"), '
            'and is pinged again',
            run.stderr,
        )
        file.write_text('guest-0038\nguest-0039\nguest-0040\n')
        run = self.plugin('guest-*', '--exclude', str(file))
        self.assertIn(' OK - 37 of 37 guests reachable; 3 guests', run.stdout)
