# SPDX-License-Identifier: Apache-2.0

"""``openstack database instance rpc ping --all`` on a real control plane."""

import base64
from collections.abc import Callable
import os
import re
from typing import Any

from sandbox import box as boxes
from troveclient_rpcping.tests.functional import base
from troveclient_rpcping.tests.functional import faults
from troveclient_rpcping.tests.functional import gateways

# The default fleet without the deleted guest, as --all selects it.
FLEET = {
    'db-clustered': 'reachable',
    'db-dead': 'unreachable',
    'db-failing': 'error',
    'db-healthy': 'reachable',
    'db-old': 'reachable',
    'db-slow': 'reachable',
    'db-twin': 'reachable',
    'db-unready': 'unknown',
}
SUMMARY = '9 guests: 6 reachable, 1 unreachable, 1 error, 1 unknown in .*'


class SweepTest(base.TestCase):
    """A sweep over the sandbox that all classes share."""

    def test_the_whole_cloud_is_pinged_each_guest_once(self) -> None:
        """Clustered guests are included, deleted ones are not."""
        run = self.ping('--all', stderr=[SUMMARY])
        self.assertEqual(
            [*sorted([*FLEET, 'db-twin'])], [row['Name'] for row in run.rows]
        )
        self.assertEqual(
            FLEET, {row['Name']: row['Verdict'] for row in run.rows}
        )
        self.assertEqual(9, len({row['ID'] for row in run.rows}))
        self.assertEqual(3, run.status)

    def test_failed_only_lists_what_is_not_reachable(self) -> None:
        """The IDs feed --from-file; the exit status is that of all guests."""
        run = self.openstack(
            *base.PING,
            *('--all', '--failed-only', '-f', 'value', '-c', 'ID'),
            stderr=[SUMMARY],
        )
        self.assertEqual(3, len(run.stdout.split()))
        self.assertEqual(3, run.status)
        failed = self.folder() / 'failed'
        failed.write_text(f'# last night\n{run.stdout}')
        again = self.ping(
            *('--from-file', str(failed)),
            stderr=['3 guests: 0 reachable, .*'],
        )
        self.assertEqual(run.stdout.split(), [row['ID'] for row in again.rows])


class ChoiceTest(base.TestCase):
    """The options that choose the guests of a sweep."""

    def names(self, *arguments: str, stderr: str = '.* guests: .*') -> Any:
        run = self.ping('--all', *arguments, stderr=[stderr])
        return [row['Name'] for row in run.rows]

    def test_it_is_narrowed_by_project(self) -> None:
        """--project takes names and IDs, and can be repeated."""
        by_name = self.names('--project', 'tenant-b')
        self.assertIn('db-twin', by_name)
        self.assertLess(len(by_name), 9)
        shown = self.openstack(
            'project', 'show', 'tenant-b', '-f', 'value', '-c', 'id'
        )
        by_id = self.names('--project', shown.stdout.strip())
        self.assertEqual(by_name, by_id)
        both = self.names('--project', 'tenant-a', '--project', 'tenant-b')
        self.assertEqual(9, len(both))

    def test_it_is_narrowed_by_datastore_and_status(self) -> None:
        """The letters may have either case; the version is optional."""
        postgres = self.names('--datastore', 'PostgreSQL')
        self.assertEqual(postgres, self.names('--datastore', 'postgresql 16'))
        self.assertIn('db-dead', postgres)
        self.assertNotIn('db-healthy', postgres)
        self.assertNotIn('db-unready', self.names('--status', 'active'))

    def test_nothing_selected_is_an_error(self) -> None:
        """The exit status is 1, not 0, and a line says why."""
        for arguments, words in (
            (
                ('--all', '--status', 'nosuch'),
                r'No instance fits\. There are these statuses: .*',
            ),
            (('--all', '--project', 'nosuch'), '.*nosuch.*'),
        ):
            run = self.ping(*arguments, stderr=[words])
            self.assertEqual((1, ''), (run.status, run.stdout))


class RateLimitTest(base.TestCase):
    @property
    def sandbox(self) -> boxes.Sandbox:
        return self.box

    def setUp(self) -> None:
        # The budget is 60 pings at first, and one more each second.
        self.box = self.enterContext(
            boxes.Sandbox(agent_timeout=2, guests=75, rate_limit=60)
        )
        super().setUp()

    def test_the_limiter_of_trove_loses_nothing(self) -> None:
        """Every verdict is true, and the limit refuses few pings."""
        run = self.ping('--all', stderr=None)
        self.assertRegex(run.stderr, 'limit of the server: about .* to go')
        self.assertEqual(3, run.status)
        self.assertEqual(
            {**FLEET, **{f'guest-{n:04}': 'reachable' for n in range(1, 76)}},
            {row['Name']: row['Verdict'] for row in run.rows},
        )
        log = self.sandbox.log('trove-api')
        refused = len(re.findall('rpc_ping HTTP/1.1" 413', log))
        self.assertGreater(refused, 0)
        # The pings in flight when the budget was spent, and few more.
        self.assertLess(refused, 64 + 0.1 * 84)


class TokenTest(faults.SweepTest):
    """The token of a sweep becomes invalid midway."""

    def sweep_until_refused(
        self, refuse: Callable[[], None], **kwargs: Any
    ) -> base.Run:
        """Sweep the live guests, and end the token midway.

        :param refuse: a further fault, at the same time.
        """
        before = self.answered()
        command = self.start(
            *('--debug', *base.PING, '-f', 'json', '--long'),
            *('--rate', '20', '--concurrency', '2', *self.live),
            **kwargs,
        )
        self.wait_for_pings(command, 20)
        with command.frozen():
            self.wait_until(
                command,
                lambda: (
                    self.answered() - before >= self.asked() - command.asked
                ),
            )
            self.end_tokens()
            refuse()
        return self.end(command)

    def answered(self) -> int:
        """Return how many pings trove-api answered."""
        return self.sandbox.log('trove-api').count('rpc_ping HTTP/1.1" ')

    def end_tokens(self) -> None:
        """Make every token invalid, in Keystone and in trove-api."""
        # Keystone reads these keys for each token.
        for key in self.sandbox.plan.file('fernet-keys').iterdir():
            key.write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
        # trove-api caches the tokens that it has seen.
        self.sandbox.kill('trove-api')
        self.sandbox.start('trove-api')

    def test_a_token_that_expires_midway_costs_no_guest(self) -> None:
        """The sweep logs in again, and repeats the refused pings."""
        run = self.sweep_until_refused(lambda: None)
        self.assertIn('rpc_ping: HTTP 401', run.stderr)
        self.assertEqual(
            dict.fromkeys(self.live, 'reachable'),
            {row['ID']: row['Verdict'] for row in run.rows},
        )
        self.assertEqual(0, run.status)

    def test_a_keystone_that_is_gone_by_then_ends_the_sweep(self) -> None:
        """The verdicts so far stay; the other guests are not asked."""
        proxy = self.useFixture(gateways.ForwardProxy())

        def refuse() -> None:
            # trove-api still reaches Keystone: it answers 401, not 503.
            proxy.refused = (self.sandbox.plan.ports.keystone,)

        run = self.sweep_until_refused(refuse, env=proxy.env)
        self.assertIn('rpc_ping: HTTP 401', run.stderr)
        self.assertEqual(self.live, [row['ID'] for row in run.rows])
        self.assertEqual(
            {'reachable', 'unknown'}, {row['Verdict'] for row in run.rows}
        )
        self.assertIn('not-asked', {row['Reason'] for row in run.rows})
        self.assertEqual(1, run.status)


class AllIsLostTest(faults.SweepTest):
    """A fault in the middle of a sweep ends the sweep."""

    def assert_ended(
        self, fault: Callable[[], None], reason: str, advice: str
    ) -> None:
        """Check that a sweep ends early after a fault."""
        run = self.sweep_until(fault, '--concurrency', '8')
        self.assert_ended_early(run, reason, advice)

    def test_a_killed_api_ends_the_sweep(self) -> None:
        """Connections are refused; the other guests are not asked."""
        self.assert_ended(
            lambda: self.sandbox.kill('trove-api'),
            'connection',
            'The Trove API cannot be reached',
        )

    def test_a_broken_nova_ends_the_sweep(self) -> None:
        """Trove answers 400 at once; the sweep blames no guest."""
        self.assert_ended(
            lambda: self.sandbox.set_nova('broken'),
            'compute-error',
            'Look at Nova, not at the guest',
        )
