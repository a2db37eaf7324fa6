# SPDX-License-Identifier: Apache-2.0

"""The common trait of the bad guests of a sweep."""

from collections.abc import Callable
import datetime
import io
import json
import math
import random
import time
from typing import Any

import testtools

from troveclient_rpcping import inventory
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.osc import events
from troveclient_rpcping.osc import report
from troveclient_rpcping.osc import views
from troveclient_rpcping.outcomes import changes as outcomes_changes
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.outcomes import shared
from troveclient_rpcping.tests import base
from troveclient_rpcping.web import board as boards

Guests = list[tuple[inventory.Instance, verdicts.Verdict]]


def swept(
    size: int, bad: set[int], verdict: verdicts.Verdict, hosts: int = 5
) -> Guests:
    """Return a sweep in which some guests have a verdict.

    The guests are spread over hosts, 3 datastores and 2 projects.
    """
    return [
        (
            inventory.Instance(
                str(number),
                datastore=f'mysql 5.{number % 7 % 3}',
                project_id=f'p{number % 11 % 2}',
                server=inventory.Server('s', f'compute-{number % hosts}'),
            ),
            verdict if number in bad else verdicts.Verdict.REACHABLE,
        )
        for number in range(size)
    ]


def quarter(fields: Callable[[bool], dict[str, Any]]) -> Guests:
    """Return 40 guests of which every fourth is dead.

    :param fields: returns the fields of a row, for a dead guest or another.
    """
    return [
        (
            inventory.Instance(str(number), **fields(dead)),
            verdicts.Verdict.UNREACHABLE
            if dead
            else verdicts.Verdict.REACHABLE,
        )
        for number in range(40)
        for dead in [number % 4 == 0]
    ]


def findings(guests: Guests) -> outcomes.Findings:
    """Return the findings of a sweep."""
    return base.findings(
        [outcomes.Target(row.id, instance=row) for row, _ in guests],
        [
            verdicts.PingResult(instance_id=row.id, verdict=verdict)
            for row, verdict in guests
        ],
    )


def text(guests: Guests) -> str:
    """Return the line of the common trait; empty for none."""
    found = shared.common_trait(findings(guests).outcomes)
    return found.text if found else ''


class CommonTraitTest(testtools.TestCase):
    def test_a_common_trait_is_a_line(self) -> None:
        """The line counts the bad guests, and the guests with the trait.

        Of several traits that say the same, the host is the likely cause.
        """
        on_host = [number for number in range(55) if number % 5 == 2]
        old = swept(60, set(), verdicts.Verdict.ERROR, hosts=60)
        image = [int(r.id) for r, _ in old if r.datastore == 'mysql 5.2'][:9]
        broken = swept(60, set(image), verdicts.Verdict.ERROR, hosts=60)
        # An unreachable guest does not count among those in error.
        broken[0] = (broken[0][0], verdicts.Verdict.UNREACHABLE)
        for guests, line in (
            (
                swept(55, set(on_host[:9]), verdicts.Verdict.UNREACHABLE),
                '9 of 9 unreachable guests are on host compute-2 '
                '(9 of its 11)',
            ),
            (broken, '9 of 9 guests in error run mysql 5.2 (9 of its 17)'),
            (
                quarter(lambda dead: {'project_id': f'p{dead}'}),
                '10 of 10 unreachable guests belong to project pTrue '
                '(10 of its 10)',
            ),
            (
                quarter(
                    lambda dead: {
                        'datastore': f'mysql {dead}',
                        'project_id': f'p{dead}',
                        'server': inventory.Server(
                            's', 'a\n\x1b[31mb' if dead else 'c'
                        ),
                    }
                ),
                # A hostile value forges no other part of the line.
                '10 of 10 unreachable guests are on host a b (10 of its 10)',
            ),
            # A missing server is not a common trait.
            (quarter(lambda dead: {}), ''),
        ):
            self.assertEqual(line, text(guests))

    def test_a_trait_that_chance_explains_is_not_reported(self) -> None:
        """No guest, two of a host, all, or a few anywhere are bad.

        A sweep that ended early pinged only a part of the cloud.
        """
        pinged = [
            (
                row,
                verdict if int(row.id) % 5 == 2 else verdicts.Verdict.UNKNOWN,
            )
            for row, verdict in swept(
                55, {2, 7, 12, 17}, verdicts.Verdict.UNREACHABLE
            )
        ]
        self.assertEqual(['', ''], [text([]), text(pinged)])
        for size, bad in (
            (40, set()),
            (400, {0, 5}),
            (40, set(range(40))),
            (40, {0, 5, 3}),
            (10, {0, 5, 1}),
        ):
            self.assertEqual(
                '', text(swept(size, bad, verdicts.Verdict.UNREACHABLE))
            )

    def test_random_deaths_name_nothing(self) -> None:
        """None of 300 random clouds has a trait; the seed is fixed."""
        dice = random.Random(1)
        for _ in range(300):
            bad = set(dice.sample(range(200), dice.randint(3, 60)))
            guests = swept(200, bad, verdicts.Verdict.UNREACHABLE, hosts=20)
            self.assertEqual('', text(guests))

    def test_five_thousand_guests_are_compared_fast(self) -> None:
        """Each sweep of a monitor compares them."""
        bad = {number for number in range(5000) if number % 400 < 3}
        guests = swept(5000, bad, verdicts.Verdict.UNREACHABLE, hosts=400)
        before = time.process_time()
        self.assertIn(' are on host compute-', text(guests))
        self.assertLess(time.process_time() - before, 1.0)


class WaveTest(testtools.TestCase):
    """Guests of host compute-2 die."""

    dead = swept(55, {2, 7, 12, 17, 22, 27}, verdicts.Verdict.UNREACHABLE)
    more = swept(55, {2, 7, 12, 17, 22, 27, 32}, verdicts.Verdict.UNREACHABLE)
    well = swept(55, set(), verdicts.Verdict.UNREACHABLE)
    line = '6 of 6 unreachable guests are on host compute-2 (6 of its 11)'

    def waves(
        self, watch: outcomes_changes.Watch, guests: Guests
    ) -> list[shared.CommonTrait]:
        changes = watch.swept(findings(guests), 0.0)
        waves = [
            each for each in changes if isinstance(each, shared.CommonTrait)
        ]
        self.assertEqual(waves, changes[: len(waves)], 'they come first')
        return waves

    def test_a_wave_is_reported_once(self) -> None:
        """The line comes before the guests, and again in a new wave."""
        watch = outcomes_changes.Watch()
        unknown = [(row, verdicts.Verdict.UNKNOWN) for row, _ in self.dead]
        for guests, waves in (
            *((self.well, 0), (self.dead, 1), (self.dead, 0), (self.more, 0)),
            *((self.well, 0), (self.dead, 1)),
        ):
            self.assertEqual(waves, len(self.waves(watch, guests)))
        self.assertIsNotNone(watch.common)
        self.assertEqual([], self.waves(watch, unknown))
        self.assertIsNone(watch.common)
        # The control plane failed, and the wave goes on.
        self.assertEqual([], self.waves(watch, self.dead))

    def test_the_waves_of_two_hosts_are_reported_once_each(self) -> None:
        """A wave is over when fewer than three of its guests are bad.

        The larger wave stands out, so the two may take turns. In a large
        cloud some guest is always bad.
        """
        watch = outcomes_changes.Watch()
        some, all_ = {*range(2, 30, 5)}, {*range(2, 55, 5)}
        others = {*range(3, 45, 5)}
        for bad, waves in (
            *((some, ['compute-2']), (some | others, ['compute-3'])),
            *((all_ | others, []), (some | others, []), ({2, 7} | others, [])),
            *((some, ['compute-2']), (some | others, ['compute-3'])),
        ):
            guests = swept(55, bad, verdicts.Verdict.UNREACHABLE)
            self.assertEqual(
                waves, [each.value for each in self.waves(watch, guests)]
            )

    def test_the_monitor_prints_it_in_a_line(self) -> None:
        """There is a form for people, and one in JSON."""
        (wave,) = self.waves(outcomes_changes.Watch(), self.dead)
        noon = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)
        self.assertEqual(
            f'2026-11-22T12:00:00Z in common: {self.line}',
            events.line(wave, noon),
        )
        self.assertEqual(
            {
                'time': '2026-11-22T12:00:00Z',
                'event': 'in-common',
                'verdict': 'unreachable',
                'trait': 'host',
                'value': 'compute-2',
                'bad_here': 6,
                'bad': 6,
                'here': 11,
                'detail': self.line,
            },
            json.loads(events.json_line(wave, noon)),
        )

    def test_the_summary_and_the_view_have_it(self) -> None:
        """The summary has a sentence; the view has it above the list."""
        found = findings(self.dead)
        self.assertIn(f'{self.line}.', report.conclusions(found, 1.0))
        watch, board = outcomes_changes.Watch(), boards.Board(60.0)
        changes = watch.swept(found, 0.0)
        now = datetime.datetime.now(datetime.UTC)
        board.swept(watch, found, changes, seconds=1.0, now=0.0, when=now)
        terminal = io.StringIO()
        screen = views.Screen(terminal, board)
        screen._screen.print(screen.picture())
        self.assertIn(self.line, terminal.getvalue())


class TailTest(testtools.TestCase):
    def test_it_is_the_tail_of_the_hypergeometric_distribution(self) -> None:
        """The sum of the terms is the same for every small cloud."""
        guests = 12
        for bad in range(guests + 1):
            for drawn in range(guests + 1):
                for hits in range(min(bad, drawn) + 1):
                    if hits * guests <= drawn * bad:
                        continue
                    exact = sum(
                        math.comb(bad, hit)
                        * math.comb(guests - bad, drawn - hit)
                        for hit in range(hits, min(bad, drawn) + 1)
                    ) / math.comb(guests, drawn)
                    self.assertAlmostEqual(
                        exact, shared.tail(hits, drawn, bad, guests), places=9
                    )
