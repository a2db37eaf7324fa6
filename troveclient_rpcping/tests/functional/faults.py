# SPDX-License-Identifier: Apache-2.0

"""Tests that break a sandbox while a sweep runs."""

from __future__ import annotations

from collections.abc import Callable
import re

from troveclient_rpcping.tests.functional import base


class SweepTest(base.TestCase):
    """A test with a sandbox that has many guests."""

    cloud = base.Cloud.LARGE

    @property
    def live(self) -> list[str]:
        """The IDs of the guests ``guest-0001`` and so on, which all live."""
        return [
            str(guest.id)
            for name, guest in self.sandbox.guests.items()
            if name.startswith('guest-')
        ]

    def wait_for_all_agents(self) -> None:
        """Wait until every live guest answers."""
        command = self.start(
            *(*base.PING, '-f', 'json', '--wait', str(base.LIMIT), *self.live)
        )
        self.assertEqual(0, self.end(command).status)

    def restart_broker(self) -> None:
        """Kill RabbitMQ, and start it. The test ends with all agents back."""
        self.addCleanup(self.wait_for_all_agents)
        self.sandbox.kill('broker')
        self.sandbox.start('broker')

    def sweep_across(
        self,
        fault: Callable[[], None],
        mend: Callable[[], None],
        sign: str,
    ) -> base.Run:
        """Sweep the live guests across a fault, which begins and ends midway.

        :param sign: a regular expression for the line of ``--debug`` about a
            ping that meets the fault, behind the URL.
        """
        command = self.start(
            *('--debug', *base.PING, '-f', 'json', '--long'),
            # With the default concurrency the sweep does not give up: that
            # would take more failures than there are guests.
            *('--rate', '8', *self.live),
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
        command = self.start(
            *(*base.PING, '-f', 'json', '--long', '--rate', '20'),
            *(*arguments, *self.live),
        )
        self.wait_for_pings(command, 15)
        with command.frozen():
            fault()
        return self.end(command)

    def assert_all_reachable(self, run: base.Run) -> None:
        """Check that a sweep found every live guest well."""
        self.assertEqual(
            dict.fromkeys(self.live, 'reachable'),
            {row['ID']: row['Verdict'] for row in run.rows},
        )
        self.assertEqual(0, run.status)

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
        gap = ('unknown', reason)
        self.assertEqual({('reachable', ''), gap}, set(found))
        self.assertGreater(found.count(('reachable', '')), 9)
        # The sweep pinged this guest after the fault.
        self.assertEqual(('reachable', ''), found[-1])
        self.assert_said(run, f'[0-9]+ of {len(self.live)} guests: {advice}')
        self.assertEqual(1, run.status)
