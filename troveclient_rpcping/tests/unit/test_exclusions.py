# SPDX-License-Identifier: Apache-2.0

"""Guests that are left out on purpose."""

import datetime
import pathlib
import tempfile

from osc_lib import exceptions as osc_exceptions

from troveclient_rpcping import exceptions
from troveclient_rpcping import fixture
from troveclient_rpcping import inventory
from troveclient_rpcping.cli import exclusions as cli_exclusions
from troveclient_rpcping.osc import exits
from troveclient_rpcping.osc import rpc_monitor
from troveclient_rpcping.osc import rpc_ping
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.tests import base
from troveclient_rpcping.tests.unit import test_commands

OTHER = '22222222-2222-4222-8222-222222222222'
TODAY = datetime.date(2026, 12, 1)


def target(
    name: str, status: str = 'ACTIVE', id_: str = OTHER
) -> outcomes.Target:
    """Return a chosen guest."""
    return outcomes.Target(
        id_, name, inventory.Instance(id_, name, status=status)
    )


class ExclusionsTest(base.TestCase):
    def folder(self) -> pathlib.Path:
        return pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def write(self, text: str) -> pathlib.Path:
        file = self.folder() / 'left-out'
        file.write_text(text)
        return file

    def exclusions(
        self, text: str, *statuses: str
    ) -> cli_exclusions.Exclusions:
        return cli_exclusions.Exclusions(
            str(self.write(text)), statuses, today=lambda: TODAY
        )

    def asked(
        self, exclusions: cli_exclusions.Exclusions, *chosen: outcomes.Target
    ) -> list[str]:
        kept = exclusions.leave_out(list(chosen))
        left_out = len(chosen) - len(kept)
        self.assertIn(f'{left_out} guest', exclusions.sentences[0])
        return [each.name or '' for each in kept]

    def test_names_ids_and_patterns_exclude_guests(self) -> None:
        """The case of an ID does not matter; the case of a name does."""
        exclusions = self.exclusions(
            f'\n# a comment\ndb-1\n  {base.GUEST.upper()}\t# its ID\ntest-?*\n'
            'a name # with a comment\nc#sharp\n'
        )
        left_out = 'db-1', 'test-1', 'test-22', 'a name', 'c#sharp'
        asked = ['db-11', 'DB-1', 'test-', 'my-test-1', 'a', '']
        self.assertEqual(
            asked,
            self.asked(
                exclusions,
                *map(target, (*left_out, *asked)),
                target('by its ID', id_=base.GUEST),
            ),
        )

    def test_a_status_is_left_out(self) -> None:
        """The case of a status does not matter."""
        exclusions = cli_exclusions.Exclusions(None, ['build', 'ERROR'])
        self.assertTrue(exclusions.needs_listing)
        chosen = target('a', 'BUILD'), target('b', 'ERROR'), target('c')
        self.assertEqual(['c'], self.asked(exclusions, *chosen))

    def test_a_status_that_fits_no_guest_is_reported(self) -> None:
        """It may have a typing error."""
        exclusions = cli_exclusions.Exclusions(None, ['BIULD'])
        exclusions.leave_out([target('a')])
        self.assertEqual(
            ['0 guests left out (--exclude, --exclude-status)'],
            exclusions.sentences,
        )

    def test_an_entry_lasts_until_its_date_is_over(self) -> None:
        """After it the guest is pinged, and the old entry is reported."""
        exclusions = self.exclusions(
            'db-1 until=2026-12-01\n'
            'db-2 until=2026-11-30 # "moves"\x1b[31m\n'
            'db-*  until=2026-11-29\n'
        )
        chosen = target('db-1'), target('db-2')
        self.assertEqual(['db-2'], self.asked(exclusions, *chosen))
        _, first, second = exclusions.sentences
        self.assertTrue(
            first.endswith(
                'left-out, line 2: "db-2" was left out until 2026-11-30 '
                r'("\"moves\""), and is pinged again'
            ),
            first,
        )
        self.assertIn('line 3: "db-*" was left out', second)

    def test_a_bad_line_is_an_error_with_its_number(self) -> None:
        """The error is one line that says what to give."""
        for line in (
            *('db-7 until=tomorrow', 'db-7 until=', 'db-7 until=2026-13-01'),
            *('until=2026-12-01', 'db-7 untill=2026-12-01'),
            'db-7 until=2026-12-01 until=2026-12-02',
        ):
            error = self.assertRaises(
                exceptions.TargetError,
                self.exclusions,
                f'db-1\n\n{line} # why\n',
            )
            self.assertIn('left-out, line 3: "', str(error))
            self.assertIn('give a name', str(error))
            self.assertTrue(str(error).isprintable())

    def test_a_file_that_is_not_there_is_an_error(self) -> None:
        """The error comes before the first request."""
        file = str(self.folder() / 'missing')
        error = self.assertRaises(
            exceptions.TargetError, cli_exclusions.Exclusions, file
        )
        self.assertIn('Cannot read', str(error))

    def test_a_file_that_changes_is_read_again(self) -> None:
        """While the file has a bad line, its last good version counts."""
        file = self.write('db-1\n')
        exclusions = cli_exclusions.Exclusions(str(file))
        chosen = target('db-1'), target('db-2')
        for text, asked, complaints in (
            ('db-2\n', ['db-1'], 0),
            ('db-1 until=never\n', ['db-1'], 1),
            ('', ['db-1', 'db-2'], 0),
        ):
            file.write_text(text)
            exclusions.refresh()
            self.assertEqual(asked, self.asked(exclusions, *chosen))
            self.assertEqual(complaints, len(exclusions.sentences) - 1)

    def test_ids_alone_need_no_listing(self) -> None:
        """Guests that are given by ID are pinged without a listing."""
        self.assertFalse(self.exclusions(f'{OTHER}\n').needs_listing)
        self.assertTrue(self.exclusions('db-1\n').needs_listing)


class CommandsTest(test_commands.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.folder / 'left-out'

    def exclude(self, *arguments: str) -> int:
        return self.run_command(
            rpc_ping.PingDatabaseInstances,
            *('--exclude', str(self.file), *arguments),
        )

    def test_an_excluded_guest_is_not_pinged(self) -> None:
        """The guest has no row, and the report counts such guests."""
        self.file.write_text('db-8\n')
        self.trove.add('db-7')
        self.trove.add('db-8', fixture.agent_timeout())
        self.assertEqual(exits.ALL_REACHABLE, self.exclude('--all'))
        self.assertEqual(['db-7'], self.trove.pinged)
        self.assertNotIn('db-8', self.printed())
        self.assertIn('1 guest left out', self.stderr.getvalue())

    def test_a_name_excludes_a_guest_that_is_given_by_its_id(self) -> None:
        """A listing is needed. To leave out all guests is an error."""
        self.file.write_text('db-*\n')
        self.trove.add(inventory.Instance(base.GUEST, 'db-7', status='ACTIVE'))
        error = self.assertRaises(
            osc_exceptions.CommandError, self.exclude, base.GUEST
        )
        self.assertIn('No instance is left to ask: 1 guest', str(error))
        self.assertEqual([], self.trove.pinged)

    def test_a_bad_line_is_found_before_the_first_request(self) -> None:
        """There is not even a request for a listing."""
        self.file.write_text('db-8 until=soon\n')
        self.assertRaises(osc_exceptions.CommandError, self.exclude, '--all')
        self.assertEqual([], self.trove.requests)

    def test_a_monitor_reads_the_file_for_each_sweep(self) -> None:
        """A guest that is no longer left out is watched again."""
        self.file.write_text('db-8\n')
        self.trove.add('db-7')
        self.trove.add('db-8', fixture.agent_timeout())

        def empty() -> None:
            self.file.write_text('')

        self.stdout = test_commands.Script(test_commands.interrupt)
        self.stderr = test_commands.Script(
            test_commands.nothing,
            empty,
            *[test_commands.nothing] * 3,
        )
        status = self.run_command(
            rpc_monitor.MonitorDatabaseInstances,
            *('--all', '--interval', '0.01', '--exclude', str(self.file)),
        )
        self.assertEqual(exits.INTERRUPTED, status)
        self.assertIn(' db-8 new -> unreachable', self.printed())
        said = self.stderr.getvalue()
        self.assertTrue(said.startswith('1 guest left out (--exclude,'), said)
        self.assertIn('\n0 guests left out (--exclude,', said)
