# SPDX-License-Identifier: Apache-2.0

"""The real ``check_trove_guest_rpc`` against a real control plane."""

import re

from troveclient_rpcping.tests.functional import base
from troveclient_rpcping.tests.unit import test_check


class CheckTest(base.TestCase):
    """The plugin, guests of each kind, and a fault of the control plane."""

    def assert_outcome(
        self, status: int, said: str, *argv: str
    ) -> tuple[dict[str, float], list[str]]:
        """Run the plugin, and match its first line.

        Any text on stderr fails the test.

        :returns: the performance data by label, and the further lines.
        """
        run = self.openstack(*argv, name=base.PLUGIN)
        first, *lines = run.stdout.splitlines()
        found, bar, _ = first.partition(' | ')
        if not re.fullmatch(f'TROVE GUEST RPC {said}', found):
            self.fail(f'"{found}" does not match "{said}"')
        self.assertEqual(status, run.status)
        data = test_check.performance(first) if bar else {}
        values = {
            label: float(datum['value']) for label, datum in data.items()
        }
        return values, lines

    def test_guests_that_answer_are_ok(self) -> None:
        """The performance data has RTTs and a duration."""
        data, lines = self.assert_outcome(
            0, 'OK - 2 of 2 guests reachable', 'db-healthy', 'db-slow'
        )
        self.assertEqual([], lines)
        self.assertEqual(2, data['reachable'])
        self.assertEqual(0, data['bad'])
        # db-slow answers after a second.
        self.assertGreater(data['rtt_max'], 1)
        self.assertGreater(data['rtt_max'], data['rtt_p50'])
        self.assertGreater(data['duration'], 1)

    def test_a_dead_guest_is_critical(self) -> None:
        """When the guest is back, the status is OK again."""
        argv = ('db-healthy', 'db-clustered', '-v')
        self.sandbox.set_guest('db-clustered', 'dead')
        data, lines = self.assert_outcome(
            2,
            r'CRITICAL - 1 of 2 guests reachable, 1 bad \(1 agent-timeout\)',
            *argv,
        )
        self.assertEqual((1, 1), (data['bad'], data['unreachable']))
        (line,) = lines
        self.assertRegex(line, r'\A\S+ unreachable: .* "db-clustered"\Z')
        self.sandbox.set_guest('db-clustered', 'answering')
        self.assert_outcome(0, 'OK - 2 of 2 guests reachable', *argv)

    def test_the_whole_cloud_is_counted(self) -> None:
        """-vvv prints a clean line for each guest."""
        data, lines = self.assert_outcome(
            2,
            r'CRITICAL - 6 of 9 guests reachable, 2 bad \(.*\), '
            r'1 unknown \(1 not-ready\)',
            *('--all', '-vvv'),
        )
        labels = 'reachable', 'unreachable', 'error', 'unknown', 'bad'
        self.assertEqual([6, 1, 1, 1, 2], [data[each] for each in labels])
        self.assertEqual(9, len(lines))
        for line in lines:
            self.assertTrue(line.isprintable(), line)

    def test_projects_go_by_name_and_by_id(self) -> None:
        """The plugin looks names up in Keystone."""
        owner = self.sandbox.guests['db-slow'].project
        projects = self.openstack(
            'project', 'show', owner, '-f', 'value', '-c', 'id'
        )
        for project in (owner, projects.stdout.strip()):
            self.assert_outcome(
                0,
                r'OK - 2 of 3 guests reachable, 1 unknown \(1 not-ready\)',
                *('--all', '--project', project, '--unknown', '2'),
            )
        for project, why in (
            ('service', 'No instance fits. .*'),
            ('nosuch', 'No Project found for nosuch'),
        ):
            self.assert_outcome(
                3,
                f'UNKNOWN - choosing the guests failed: {why}',
                *('--all', '--project', project),
            )

    def test_a_broken_nova_is_unknown(self) -> None:
        """Trove answers 400 as for a dead guest, without asking the guest."""
        self.sandbox.set_nova('broken')
        data, _ = self.assert_outcome(
            3,
            r'UNKNOWN - 0 of 1 guests reachable, 1 unknown '
            r'\(1 compute-error\): .*',
            self.id_of('db-healthy'),
        )
        self.assertEqual(0, data['bad'])
