# SPDX-License-Identifier: Apache-2.0

"""Servers of the control plane that fail before a sweep or in its middle.

``doc/source/contributor/faults.rst`` lists all faults with their tests. Some
of these tests are in other modules.
"""

import os
import re
import signal

from sandbox import probe
from troveclient_rpcping.tests.functional import base
from troveclient_rpcping.tests.functional import faults

UNREACHABLE_API = (
    'The Trove API cannot be reached: ".*"'
    r'\. Check that trove-api runs, the endpoint in the catalog, and the way '
    r'there: proxies and certificates\.'
)


@base.needs_rabbitmq
class MiddleTest(faults.SweepTest):
    """A server fails in the middle of a sweep. Most of them come back."""

    cloud = base.Cloud.BUS

    def test_a_broker_that_restarts_makes_no_live_guest_dead(self) -> None:
        """A guest whose answer was lost is pinged again."""
        slow, dead = self.live[0], self.id_of('db-dead')
        self.sandbox.set_guest(slow, 'slow', 2)
        command = self.start(
            *(*base.PING, '-f', 'json', '--long'),
            *('--rate', '20', '--concurrency', '8', '--timeout', '600'),
            *(slow, dead, *self.live[1:]),
        )
        self.wait_for_pings(command, 10)
        with command.frozen():
            self.sandbox.kill('broker')
            self.sandbox.start('broker')
            # Until an agent is connected again, nobody can reach it.
            self.wait_for_all_agents()
        run = self.end(command)
        self.assertEqual(
            {slow: 'reachable', dead: 'unreachable'}
            | dict.fromkeys(self.live, 'reachable'),
            {row['ID']: row['Verdict'] for row in run.rows},
        )
        # A line about lost pings may follow.
        self.assert_said(
            run,
            '41 guests: 40 reachable, 1 unreachable, 0 error, 0 unknown .*',
        )
        self.assertEqual(3, run.status)

    def test_a_killed_worker_of_several_costs_what_it_had_in_hand(
        self,
    ) -> None:
        """Its guests are unknown; the other workers answer for the rest."""
        first = self.live[0]
        # No agent answers before the worker is killed.
        self.sandbox.freeze('guests')
        before = self.asked(first)
        command = self.start(
            *(*base.PING, '-f', 'json', '--long'),
            *('--rate', '20', '--concurrency', '16', *self.live),
        )
        self.wait_until(command, lambda: self.asked(first) > before)
        os.kill(self.worker_of(first), signal.SIGKILL)
        self.sandbox.thaw('guests')
        run = self.end(command)
        self.assertEqual(self.live, [row['ID'] for row in run.rows])
        found = [(row['Verdict'], row['Reason']) for row in run.rows]
        self.assertEqual(('unknown', 'connection'), found[0])
        lost = found.count(('unknown', 'connection'))
        self.assertLessEqual(lost, 16)
        self.assertEqual(40 - lost, found.count(('reachable', '')))
        self.assert_said(run, f'{lost} of 40 guests: {UNREACHABLE_API}')
        self.assertEqual(1, run.status)

    def worker_of(self, instance_id: str) -> int:
        """Return the PID of the worker that got the last ping of a guest."""
        found = re.findall(
            r' (\d+) INFO .* Sending RPC PING for a database '
            f'instance {instance_id}',
            self.sandbox.log('trove-api'),
        )
        return int(found[-1])

    def test_an_api_that_restarts_costs_what_it_had_in_hand(self) -> None:
        """The sweep goes on, and the other guests are reachable."""
        run = self.sweep_across(
            lambda: self.sandbox.kill('trove-api'),
            lambda: self.sandbox.start('trove-api'),
            '(?!HTTP)',
        )
        self.assert_gap(run, 'connection', UNREACHABLE_API)

    def test_a_nova_that_breaks_for_a_while_blames_no_guest(self) -> None:
        """Trove answers 400, as for a dead guest."""
        run = self.sweep_across(
            lambda: self.sandbox.set_nova('broken'),
            lambda: self.sandbox.set_nova('ok'),
            'HTTP 400',
        )
        self.assert_gap(
            run,
            'compute-error',
            'Trove could not look up the server in Nova, so the guest was '
            r'never asked: ".*"\. Look at Nova, not at the guest\.',
        )

    def test_a_nova_that_is_gone_for_a_while_blames_no_guest(self) -> None:
        """Trove answers 500 when it cannot connect.

        The sweep pings these guests once more at the end.
        """
        run = self.sweep_across(
            lambda: self.sandbox.kill('cloud'),
            lambda: self.sandbox.start('cloud'),
            'HTTP 500',
        )
        self.assert_all_reachable(run)

    def test_without_keystone_a_sweep_goes_on(self) -> None:
        """trove-api knows the token, and does not ask Keystone again."""
        command = self.start(
            *(*base.PING, '-f', 'json', '--rate', '20'),
            # One connection has one worker, which has seen the token by then.
            # A worker that has not seen the token answers 503.
            *('--concurrency', '1', *self.live),
        )
        self.wait_for_pings(command, 30)
        with command.frozen():
            self.sandbox.kill('keystone')
        run = self.end(command)
        self.assert_all_reachable(run)

    def test_the_monitor_outlives_a_broker(self) -> None:
        """It reports the control plane, and no guest."""
        self.addCleanup(self.wait_for_all_agents)
        command = self.start(
            *base.MONITOR,
            # Trove waits longer for an agent that is not back yet.
            *('--interval', '0.5', '--timeout', '3', '-q', *self.live[:6]),
        )
        self.wait_for_pings(command, 12)
        self.sandbox.kill('broker')
        self.wait_until(command, lambda: 'ok -> failing' in command.stdout)
        self.sandbox.start('broker')
        self.wait_until(
            command,
            lambda: bool(re.search(r'failing -> ok.*\n\Z', command.stdout)),
        )
        command.process.terminate()
        run = self.end(command, [])
        for line in run.stdout.splitlines():
            self.assertRegex(line, r'^\S+ control plane (ok|failing) -> ')
        self.assertEqual(143, run.status)


class BeginningTest(base.TestCase):
    """A fault exists before the command starts."""

    def test_an_api_that_cannot_reach_keystone_leaves_guests_unknown(
        self,
    ) -> None:
        """trove-api answers 503 for a token that it has not seen."""
        plan = self.sandbox.plan
        token, project = probe.login(
            plan.auth_url, 'admin', plan.passwords.admin, 'admin'
        )
        self.sandbox.kill('keystone')
        # A restart clears its cache of tokens.
        self.sandbox.kill('trove-api')
        self.sandbox.start('trove-api')
        run = self.openstack(
            *('--os-auth-type', 'admin_token', '--os-token', token),
            *('--os-endpoint', f'{self.sandbox.trove_url}/v1.0/{project}'),
            *(*base.PING, '-f', 'json', self.id_of('db-healthy')),
            stderr=[
                'Guest .* is unknown: A proxy or a filter in front of the '
                r'Trove API answered in its place: "HTTP 503: .*"\. Check '
                'that trove-api runs, and that it reaches Keystone.*'
            ],
            cloud='',
        )
        self.assertEqual('unknown', run.rows[0]['Verdict'])
        self.assertEqual(1, run.status)

    def test_a_member_without_the_role_learns_of_no_guest(self) -> None:
        """The first refusal ends the sweep; all guests are unknown."""
        names = ('db-healthy', 'db-dead', 'db-old', 'db-slow')
        run = self.ping(
            *map(self.id_of, names),
            *('--concurrency', '1'),
            cloud='sandbox-member',
            stderr=[
                '4 guests: 0 reachable, 0 unreachable, 0 error, 4 unknown .*',
                '1 of 4 guests: The API refuses this user: "User does not '
                r'have admin privileges"\. Only an administrator may ping; '
                r'check the credentials in use\.',
                '3 of 4 guests: The sweep ended early: "The API refuses '
                r'this user"\.',
            ],
        )
        self.assertEqual(
            [(self.id_of(name), 'unknown') for name in names],
            [(row['ID'], row['Verdict']) for row in run.rows],
        )
        self.assertEqual(1, run.status)

    def test_a_broken_nova_leaves_no_listing(self) -> None:
        """The error names Nova."""
        self.sandbox.set_nova('broken')
        run = self.ping(
            '--all',
            stderr=[
                r'The instances could not be listed: .*\. Trove asks Nova for '
                r'its servers: look at Nova\.'
            ],
        )
        self.assertEqual((1, ''), (run.status, run.stdout))
