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

"""``openstack database instance rpc ping --all`` on a real control plane."""

import json
import pathlib
import re
from typing import Any

import fixtures

from sandbox import rabbitmq
from sandbox import Sandbox
from troveclient_rpcping.tests.functional import base

# The default fleet, as --all has it: without the deleted one.
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


class AllTest(base.TestCase):
    def names(self, *arguments: str, stderr: str = '.* guests: .*') -> Any:
        run = self.ping('--all', *arguments, stderr=[stderr])
        return [row['Name'] for row in run.rows]

    def test_the_whole_cloud_is_pinged_each_guest_once(self) -> None:
        """Clustered ones and namesakes too, deleted ones not; by name."""
        run = self.ping('--all', stderr=[SUMMARY])
        self.assertEqual(
            [*sorted([*FLEET, 'db-twin'])], [row['Name'] for row in run.rows]
        )
        self.assertEqual(
            FLEET, {row['Name']: row['Verdict'] for row in run.rows}
        )
        self.assertEqual(9, len({row['ID'] for row in run.rows}))
        self.assertEqual(3, run.status)

    def test_it_is_narrowed_by_project(self) -> None:
        """By name or by ID, one or more."""
        by_name = self.names('--project', 'tenant-b')
        self.assertIn('db-twin', by_name)
        self.assertLess(len(by_name), 9)
        process = self.openstack(
            'project', 'show', 'tenant-b', '-f', 'value', '-c', 'id'
        )
        by_id = self.names('--project', process.stdout.strip())
        self.assertEqual(by_name, by_id)
        both = self.names('--project', 'tenant-a', '--project', 'tenant-b')
        self.assertEqual(9, len(both))

    def test_it_is_narrowed_by_datastore_and_status(self) -> None:
        """In either case, with or without the version."""
        postgres = self.names('--datastore', 'PostgreSQL')
        self.assertEqual(postgres, self.names('--datastore', 'postgresql 16'))
        self.assertIn('db-dead', postgres)
        self.assertNotIn('db-healthy', postgres)
        self.assertNotIn('db-unready', self.names('--status', 'active'))

    def test_nothing_selected_is_an_error(self) -> None:
        """Exit status 1, and not a silent 0."""
        for arguments in (('--status', 'nosuch'), ('--datastore', 'x')):
            words = r'No instance fits\. There are these \w+: .*'
            run = self.ping('--all', *arguments, stderr=[words])
            self.assertEqual((1, ''), (run.status, run.stdout))

    def test_a_project_that_does_not_exist_is_named(self) -> None:
        """In a line."""
        run = self.ping('--all', '--project', 'nosuch', stderr=['.*nosuch.*'])
        self.assertEqual(1, run.status)

    def test_failed_only_lists_what_is_not_reachable(self) -> None:
        """Their IDs feed --from-file; the exit status is that of all."""
        run = self.openstack(
            *base.PING,
            *('--all', '--failed-only', '-f', 'value', '-c', 'ID'),
            stderr=[SUMMARY],
        )
        self.assertEqual(3, len(run.stdout.split()))
        self.assertEqual(3, run.status)
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (folder / 'failed').write_text(f'# last night\n{run.stdout}')
        again = self.ping(
            '--from-file',
            str(folder / 'failed'),
            stderr=['3 guests: 0 reachable, .*'],
        )
        self.assertEqual(run.stdout.split(), [row['ID'] for row in again.rows])

    def test_mistakes_in_the_choice_are_usage_errors(self) -> None:
        """Exit status 2, with what to do."""
        for arguments in (
            ('--all', 'db-healthy'),
            ('--project', 'x', 'db-healthy'),
            ('--rate', '0', 'db-healthy'),
        ):
            process = self.start(*base.PING, *arguments)
            _, stderr = process.communicate(timeout=120)
            self.assertEqual(2, process.returncode, str(arguments))
            self.assertIn('error: ', stderr.splitlines()[-1])

    def test_a_file_that_cannot_be_read_is_said(self) -> None:
        """In a line, with exit status 1."""
        run = self.ping(
            *('--from-file', '/nonexistent'),
            stderr=['Cannot read /nonexistent: No such file or directory'],
        )
        self.assertEqual(1, run.status)

    def test_after_the_deadline_the_rest_is_not_asked(self) -> None:
        """And what was asked by then had no answer in time."""
        self.addCleanup(self.sandbox.set_guest, 'db-slow', 'slow', 1)
        self.sandbox.set_guest('db-slow', 'slow', 60)
        run = self.ping(
            *('db-slow', 'db-healthy', '--long'),
            *('--concurrency', '1', '--deadline', '1.5'),
            stderr=[
                '2 guests: 0 reachable, .* 2 unknown .*',
                '1 of 2 guests: The deadline passed before an answer came.*',
                '1 of 2 guests: Not asked to the end: "The deadline .*',
            ],
        )
        self.assertEqual(
            ['timeout', 'not-asked'], [row['Reason'] for row in run.rows]
        )
        self.assertEqual(1, run.status)


class RateLimitTest(base.TestCase):
    def test_the_limiter_of_trove_loses_nothing(self) -> None:
        """Every guest has its true verdict, and few pings go in vain."""
        with Sandbox(agent_timeout=2, guests=60, rate_limit=120) as box:
            # A new bucket holds 120: spend half of it.
            status, rows, stderr = self.sweep(box)
            self.assertEqual(69, len(rows))
            status, rows, stderr = self.sweep(box)
            log = box.log('trove-api')
        self.assertRegex(stderr, 'rate limit of the server: about .* to go')
        self.assertEqual(3, status)
        self.assertEqual(
            {**FLEET, **{f'guest-{n:04}': 'reachable' for n in range(1, 61)}},
            {row['Name']: row['Verdict'] for row in rows},
        )
        refused = len(re.findall('rpc_ping HTTP/1.1" 413', log))
        self.assertGreater(refused, 0)
        # What was in flight when the limit set in, and little more.
        self.assertLess(refused, 64 + 0.1 * 138)

    def sweep(self, box: Sandbox) -> tuple[int, Any, str]:
        process = base.start_openstack(box, *base.PING, '--all', '-f', 'json')
        stdout, stderr = process.communicate(timeout=300)
        return process.returncode, json.loads(stdout), stderr

    def test_a_budget_below_the_need_is_said_before_the_wait(self) -> None:
        """Not after it."""
        with Sandbox(agent_timeout=2, guests=60, rate_limit=30) as box:
            process = base.start_openstack(
                box, *base.PING, '--all', '-f', 'json', '--deadline', '15'
            )
            stdout, stderr = process.communicate(timeout=300)
        first, second, *_ = stderr.splitlines()
        self.assertRegex(first, 'rate limit of the server: about .* to go')
        self.assertRegex(second, '--deadline comes before that: about .*')
        self.assertEqual(69, len(json.loads(stdout)))
        self.assertIn('Not asked to the end: "The deadline passed', stderr)


class TokenTest(base.TestCase):
    """A sweep that outlasts its token.

    keystoneauth renews a token 30 s before its end, Trove's own one too: with
    shorter ones Trove would log in for each request.
    """

    lifetime = 35

    def test_a_token_that_expires_midway_costs_no_guest(self) -> None:
        """The sweep logs in again, and asks again who was refused."""
        with Sandbox(guests=60, token_lifetime=self.lifetime) as box:
            process = base.start_openstack(
                box,
                *('--debug', *base.PING),
                *('--all', '-f', 'json', '--rate', '1.5'),
            )
            stdout, stderr = process.communicate(timeout=200)
        self.assertEqual(
            {**FLEET, **{f'guest-{n:04}': 'reachable' for n in range(1, 61)}},
            {row['Name']: row['Verdict'] for row in json.loads(stdout)},
        )
        self.assertIn('69 guests: 66 reachable', stderr)
        self.assertEqual(3, process.returncode)
        self.assertIn('HTTP 401', stderr)

    def test_a_keystone_that_is_gone_by_then_ends_the_sweep(self) -> None:
        """What had answered stays; the rest says why it was not asked."""
        with Sandbox(guests=60, token_lifetime=self.lifetime) as box:
            process = base.start_openstack(
                box,
                *base.PING,
                *('--all', '-f', 'json', '--long', '--rate', '1.5'),
            )
            self.wait_until_asked(process, box, 12)
            box.kill('keystone')
            stdout, stderr = process.communicate(timeout=200)
        rows = json.loads(stdout)
        self.assertEqual(69, len(rows))
        verdicts = {row['Verdict'] for row in rows}
        self.assertIn('reachable', verdicts)
        self.assertIn('not-asked', {row['Reason'] for row in rows})
        self.assertEqual(
            set(),
            {
                row['Name']
                for row in rows
                if row['Verdict'] == 'unreachable' and row['Name'] != 'db-dead'
            },
        )
        self.assertNotIn('Traceback', stderr)


class AllIsLostTest(base.TestCase):
    """A fault in the middle of a sweep: it ends, and tells the truth."""

    guests = 300

    def sweep_until(self, box: Sandbox, *arguments: str) -> Any:
        """Start a sweep, and return it once it is in its middle."""
        before = base.asked(box)
        process = base.start_openstack(
            box,
            *base.PING,
            *('--all', '-f', 'json', '--long', '--concurrency', '16'),
            *arguments,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.wait_until_asked(process, box, before + 60)
        return process

    def assert_ended(
        self, process: Any, reasons: set[str], advice: str
    ) -> None:
        stdout, stderr = process.communicate(timeout=100)
        rows = json.loads(stdout)
        self.assertEqual(self.guests + 9, len(rows))
        up = [row for row in rows if row['Verdict'] == 'reachable']
        self.assertGreater(len(up), 30)
        self.assertLess(len(up), self.guests)
        rest = {
            row['Reason']
            for row in rows
            if row['Name'].startswith('guest') and row not in up
        }
        self.assertEqual(reasons, rest)
        # No guest was called dead for it.
        self.assertEqual(
            set(),
            {
                row['Name']
                for row in rows
                if row['Verdict'] == 'unreachable' and row['Name'] != 'db-dead'
            },
        )
        self.assertIn(advice, stderr)
        self.assertNotIn('Traceback', stderr)
        bad = any(row['Verdict'] in ('unreachable', 'error') for row in rows)
        self.assertEqual(3 if bad else 1, process.returncode)

    def test_a_killed_api_ends_the_sweep(self) -> None:
        """Connections are refused, and the rest is not asked."""
        with Sandbox(guests=self.guests, rate_limit=1_000_000) as box:
            process = self.sweep_until(box, '--rate', '60')
            box.kill('trove-api')
            self.assert_ended(
                process,
                {'connection', 'not-asked'},
                'The Trove API cannot be reached',
            )

    def test_a_broken_nova_ends_the_sweep(self) -> None:
        """Trove answers 400 at once, and no guest is blamed."""
        with Sandbox(guests=self.guests, rate_limit=1_000_000) as box:
            process = self.sweep_until(box, '--rate', '60')
            box.set_nova('broken')
            self.assert_ended(
                process,
                {'compute-error', 'not-asked'},
                'Look at Nova, not at the guest',
            )

    def test_a_stopped_broker_ends_the_sweep(self) -> None:
        """The API hangs; one timeout later it is over."""
        with self.rabbit_sandbox() as box:
            process = self.sweep_until(box, '--rate', '60', '--timeout', '21')
            box.kill('broker')
            self.assert_ended(
                process,
                {'timeout', 'not-asked'},
                'check the message bus (RabbitMQ)',
            )

    def test_a_broker_that_comes_back_leaves_no_live_guest_dead(self) -> None:
        """Trove timed out on those in flight, and agents are not back yet."""
        with self.rabbit_sandbox() as box:
            process = self.sweep_until(box, '--rate', '20')
            box.kill('broker')
            box.start('broker')
            stdout, stderr = process.communicate(timeout=200)
        rows = json.loads(stdout)
        self.assertEqual(self.guests + 9, len(rows))
        dead = {row['Name'] for row in rows if row['Verdict'] == 'unreachable'}
        self.assertEqual(set(), dead - {'db-dead'})
        self.assertNotIn('Traceback', stderr)

    def rabbit_sandbox(self) -> Sandbox:
        """Return a sandbox whose Trove waits for guests as Trove does."""
        if not rabbitmq.installed():
            self.skipTest('RabbitMQ is not installed')
        return Sandbox(
            'rabbit',
            guests=self.guests,
            rate_limit=1_000_000,
            agent_timeout=15,
        )
