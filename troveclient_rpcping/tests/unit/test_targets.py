# SPDX-License-Identifier: Apache-2.0

"""From the command line to instances."""

import argparse
from collections.abc import Callable
import io
import pathlib
from typing import Any

import fixtures
import testtools

from troveclient_rpcping import exceptions
from troveclient_rpcping import inventory
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.cli import arguments as cli_arguments
from troveclient_rpcping.cli import targets
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.tests import base


def unanswered(target: outcomes.Target) -> verdicts.PingResult:
    """Return the outcome of a target that is not pinged."""
    (outcome,) = outcomes.Collector([target]).findings().outcomes
    return outcome.result


def failing(error: Exception) -> Callable[[], list[inventory.Instance]]:
    """Return a listing that fails."""

    def fails() -> list[inventory.Instance]:
        raise error

    return fails


class TestCase(testtools.TestCase):
    def assert_error(
        self, words: str, call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        """Expect a TargetError of one clean line that has *words*."""
        error = self.assertRaises(
            exceptions.TargetError, call, *args, **kwargs
        )
        self.assertIn(words, str(error))
        self.assertTrue(str(error).isprintable(), str(error))


class ResolveTest(TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.instances = [
            inventory.Instance(base.GUEST, 'db-1'),
            inventory.Instance(base.OTHER, 'db-2'),
            inventory.Instance('a', 'twin'),
            inventory.Instance('b', 'twin'),
        ]

    def resolve(
        self, named: list[str], known: targets.Names | None = None
    ) -> list[outcomes.Target]:
        """Find the instances of names; there were none before."""
        return targets.resolve(named, self.instances, known or targets.Names())

    def test_ids_cost_no_listing(self) -> None:
        """They are asked for in lower case."""
        self.instances = []
        self.assertEqual(
            [outcomes.Target(base.GUEST)], self.resolve([base.GUEST.upper()])
        )

    def test_each_guest_is_one_target_in_the_order_of_the_names(self) -> None:
        """Its name and its ID are one target, and so is a repeated name."""
        named = [
            'db-2',
            base.GUEST.upper(),
            'db-1',
            base.GUEST,
            'no',
            'db-2',
            'no',
        ]
        self.assertEqual(
            [(base.OTHER, 'db-2'), (base.GUEST, 'db-1'), (None, 'no')],
            [(each.instance_id, each.name) for each in self.resolve(named)],
        )

    def test_a_name_keeps_the_instance_that_it_began_with(self) -> None:
        """A tenant who takes the name changes nothing."""
        known = targets.Names()
        (first,) = self.resolve(['db-1'], known)
        self.assertEqual((base.GUEST, ''), (first.instance_id, first.doubt))
        for now in (
            [
                inventory.Instance(base.GUEST, 'db-1'),
                inventory.Instance('evil', 'db-1'),
            ],
            [
                inventory.Instance(base.GUEST, 'renamed'),
                inventory.Instance('evil', 'db-1'),
            ],
        ):
            self.instances = now
            (later,) = self.resolve(['db-1'], known)
            self.assertEqual(base.GUEST, later.instance_id)
            self.assertIn('evil', later.doubt)
            self.assertIn(f'"db-1" still stands for {base.GUEST}', later.doubt)

    def test_a_name_finds_the_instance_that_replaces_its_own(self) -> None:
        """A deleted instance does not keep its name."""
        known = targets.Names()
        self.resolve(['db-1'], known)
        self.instances = [inventory.Instance('new', 'db-1')]
        (found,) = self.resolve(['db-1'], known)
        self.assertEqual(('new', ''), (found.instance_id, found.doubt))

    def test_a_later_ambiguous_name_costs_only_itself(self) -> None:
        """Only the ambiguous name is not found."""
        for known, later in (
            (targets.Names(), True),
            (targets.Names(strict=False), False),
        ):
            if later:
                self.resolve(['db-1'], known)
            twin, other = self.resolve(['twin', 'db-1'], known)
            self.assertEqual((None, 'twin'), (twin.instance_id, twin.name))
            self.assertEqual(base.GUEST, other.instance_id)
            result = unanswered(twin)
            self.assertEqual(verdicts.Reason.NOT_FOUND, result.reason)
            self.assertEqual(
                '2 instances are named "twin": a, b. Ask for one of them by '
                'its ID.',
                result.detail,
            )

    def test_a_first_ambiguous_name_is_an_error(self) -> None:
        """A person can give one of the IDs instead. The texts are clean."""
        name = '\x1b[31mtwin\n'
        self.instances = [
            inventory.Instance('a\x07', name),
            inventory.Instance('b', name),
        ]
        self.assert_error('twin": a, b.', self.resolve, ['db-1', name])

    def hint(self, name: str) -> str:
        (found,) = self.resolve([name])
        self.assertIsNone(found.instance_id)
        detail = unanswered(found).detail
        self.assertTrue(detail.startswith('No instance has this name'))
        return detail.removeprefix('No instance has this name')

    def test_a_typing_error_suggests_near_names(self) -> None:
        """Names of the listing are quoted: tenants chose them."""
        self.instances[0] = inventory.Instance(base.GUEST, 'customer-"7"')
        self.assertEqual(
            r'. Similar names: "customer-\"7\""', self.hint('custmer-"7"')
        )
        self.assertEqual('', self.hint('zzz'))

    def test_a_broken_id_is_reported_as_such(self) -> None:
        """A digit may be missing, or there may be one too many."""
        for text, length in (
            (base.GUEST[:-1], 35),
            (f'{base.GUEST}0', 37),
            (base.GUEST.replace('-', ''), 32),
            (f'{base.GUEST[:8]}0{base.GUEST[9:]}', 36),
        ):
            self.assertIn(
                f'It looks like an ID, but is not a UUID: {length} characters',
                self.hint(text),
            )

    def test_a_pattern_stands_for_all_names_of_its_form(self) -> None:
        """Each guest comes once, in the order of the names."""
        for pattern, ids in (
            ('db-*', [base.GUEST, base.OTHER]),
            ('db-[2-9]', [base.OTHER]),
            ('d?-1', [base.GUEST]),
            ('*', [base.GUEST, base.OTHER, 'a', 'b']),
            ('DB-*', [None]),
            ('x*', [None]),
        ):
            found = self.resolve([pattern])
            self.assertEqual(ids, [each.instance_id for each in found])
        found = self.resolve(['db-2', 'db-*'])
        self.assertEqual(
            [base.OTHER, base.GUEST], [each.instance_id for each in found]
        )

    def test_an_instance_named_like_a_pattern_hides_no_guest(self) -> None:
        """A tenant may give any instance such a name, and two the same."""
        for id_, name in (('s1', 'db-*'), ('s2', 'db-*'), ('x', 'x [1]')):
            self.instances.append(inventory.Instance(id_, name))
        for pattern, ids in (
            ('db-*', ['s1', 's2', base.GUEST, base.OTHER]),
            ('x [1]', ['x']),
        ):
            found = self.resolve([pattern])
            self.assertEqual(ids, [each.instance_id for each in found])

    def test_a_listing_that_fails_says_what_to_do(self) -> None:
        """IDs do not help with --all, or if a ping would fail too."""
        by_id = 'Guests that are named by their IDs need no'
        other = 'User with tenant id 7 cannot access this resource.'
        for said, reason, came, ids, words in (
            (
                'why',
                verdicts.Reason.DENIED,
                False,
                True,
                'Only an administrator may',
            ),
            (
                'why',
                verdicts.Reason.COMPUTE_ERROR,
                False,
                True,
                'Trove asks Nova',
            ),
            (
                'why',
                verdicts.Reason.CONNECTION,
                False,
                True,
                'Check that trove-api',
            ),
            (
                'why',
                verdicts.Reason.GATEWAY,
                False,
                True,
                'Check that trove-api',
            ),
            ('why', verdicts.Reason.RATE_LIMITED, False, True, 'Try again'),
            ('why', verdicts.Reason.TIMEOUT, False, True, by_id),
            ('why', verdicts.Reason.TIMEOUT, False, False, ''),
            ('why', verdicts.Reason.BAD_RESPONSE, True, True, by_id),
            ('why', verdicts.Reason.BAD_RESPONSE, False, True, ''),
            ('why', verdicts.Reason.NOT_ASKED, False, True, ''),
            # Trove answers a wrong project with 403; the role is well.
            (
                other,
                verdicts.Reason.DENIED,
                False,
                True,
                'The project in the URL',
            ),
        ):
            failure = exceptions.ListingFailed(said, reason, came=came)
            error = self.assertRaises(
                exceptions.TargetError,
                targets.listed,
                failing(failure),
                ids=ids,
            )
            advice = str(error).partition(said.rstrip('.'))[2].lstrip('. ')
            self.assertTrue(advice.startswith(words), str(error))
            self.assertEqual(bool(words), bool(advice), str(error))


class SelectTest(TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.instances = [
            inventory.Instance('1', 'b', 'p1', 'mysql 8.0', 'ACTIVE'),
            inventory.Instance('2', 'a', 'p2', 'mysql 5.7', 'ACTIVE'),
            inventory.Instance('3', None, 'p1', 'postgresql 16', 'SHUTDOWN'),
            inventory.Instance('4', 'a', None, None, None),
        ]

    def ids(self, **kwargs: Any) -> list[str | None]:
        found = targets.select(self.instances, **kwargs)
        return [target.instance_id for target in found]

    def test_everything_is_selected_by_name(self) -> None:
        """Instances of the same name are in the order of their IDs."""
        self.assertEqual(['3', '2', '4', '1'], self.ids())

    def test_filters_narrow_the_selection(self) -> None:
        """A filter takes several values, and all filters must fit."""
        self.assertEqual(['3', '1'], self.ids(project_ids=['p1']))
        self.assertEqual(['2', '1'], self.ids(datastores=['MySQL']))
        self.assertEqual(['1'], self.ids(datastores=['mysql 8.0']))
        self.assertEqual(['3'], self.ids(statuses=['shutdown']))
        self.assertEqual(
            ['3', '1'], self.ids(datastores=['mysql 8.0', 'postgresql'])
        )
        self.assertEqual(
            ['1'], self.ids(project_ids=['p1', 'p2'], datastores=['mysql 8.0'])
        )

    def test_nothing_selected_is_an_error(self) -> None:
        """An empty selection is never a silent success."""
        self.assert_error(
            'No instance fits. There are these statuses: "ACTIVE", '
            '"SHUTDOWN".',
            targets.select,
            self.instances,
            statuses=['x'],
        )
        self.assert_error(
            'these projects: "p1", "p2". There are these '
            'datastores: "mysql 5.7", "mysql 8.0", "postgresql 16".',
            targets.select,
            self.instances,
            project_ids=['p3'],
            datastores=['x'],
        )
        self.assert_error('no instance in this cloud', targets.select, [])


class ReadTest(TestCase):
    def read(self, data: bytes) -> list[str]:
        stdin = io.TextIOWrapper(io.BytesIO(data))
        return targets.read('-', stdin)

    def test_a_file_has_a_name_or_id_a_line(self) -> None:
        """Comments, empty lines and white space are left out."""
        data = b'\xef\xbb\xbf# all\n db-1 \r\n\n  # no\ndb#2 # mine\nx y'
        self.assertEqual(['db-1', 'db#2', 'x y'], self.read(data))

    def test_a_file_is_read_by_its_path(self) -> None:
        """A hyphen is standard input."""
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (folder / 'names').write_text('db-1\n')
        self.assertEqual(
            ['db-1'], targets.read(str(folder / 'names'), io.StringIO())
        )

    def test_a_file_may_be_empty(self) -> None:
        """A list of failed guests is empty if all are reachable."""
        for data in (b'', b'\n', b'# none\n'):
            self.assertEqual([], self.read(data))


class MistakeTest(testtools.TestCase):
    def mistake(self, **kwargs: Any) -> str | None:
        nothing = {
            'instances': [],
            'all': False,
            'from_file': None,
            'exclude': None,
            'project': [],
            'datastore': [],
            'status': [],
        }
        return cli_arguments.mistake_in_targets(
            argparse.Namespace(**{**nothing, **kwargs})
        )

    def test_one_way_to_name_the_guests_is_needed(self) -> None:
        """Names and a file go together; --all stands alone."""
        for good in (
            {'instances': ['x']},
            {'from_file': 'x'},
            {'instances': ['x'], 'from_file': 'x'},
            {'all': True},
            {'all': True, 'project': ['x'], 'status': ['y']},
        ):
            self.assertIsNone(self.mistake(**good), str(good))
        for bad in (
            {},
            {'project': ['x']},
            {'all': True, 'instances': ['x']},
            {'all': True, 'from_file': 'x'},
            {'instances': ['x'], 'datastore': ['y']},
        ):
            self.assertIsNotNone(self.mistake(**bad), str(bad))
