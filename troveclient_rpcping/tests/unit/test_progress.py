# SPDX-License-Identifier: Apache-2.0

"""How far a ping is, on a terminal and elsewhere."""

import io
import re
import types
from typing import Any

import fixtures
from rich import console
import testtools

from troveclient_rpcping import fixture
from troveclient_rpcping import limits
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.cli import survey as surveys
from troveclient_rpcping.osc import progress
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.tests import base


def plain(text: str) -> str:
    return re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', text)


def series(result: verdicts.PingResult) -> outcomes.Series:
    return base.outcome(outcomes.Target('id'), result).series


UP = series(fixture.ping_result(fixture.reachable()))
DEAD = series(fixture.ping_result(fixture.agent_timeout()))


class ProgressTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.EnvironmentVariable('TERM', 'xterm'))
        self.stderr: io.StringIO = base.Terminal()

    def showing(self, guests: int = 40, **options: Any) -> progress.Progress:
        app = types.SimpleNamespace(
            stderr=self.stderr,
            options=types.SimpleNamespace(verbose_level=1, debug=False),
        )
        deadline = options.pop('deadline', None)
        return progress.Progress(
            app,
            [
                outcomes.Target(f'id-{n}', f'database-{n}')
                for n in range(guests)
            ],
            surveys.Plan(**options),
            deadline,
            clock=lambda: 100.0,
        )

    def picture(self, shown: progress.Progress, width: int) -> str:
        """Return the line that a terminal of this width shows."""
        shown._screen.size = console.ConsoleDimensions(width, 24)
        with shown._screen.capture() as captured:
            shown._screen.print(shown.picture())
        return plain(captured.get())

    def said(self) -> str:
        return plain(self.stderr.getvalue())

    def test_the_count_and_the_clock_stay_on_any_width(self) -> None:
        """Long names of awaited guests are cut instead."""
        shown = self.showing(stable=1)
        with shown.shown():
            shown.saw('id-0', UP)
            for width in (40, 80, 120, 200):
                line = self.picture(shown, width)
                self.assertRegex(
                    line, r'\Awaiting for .* 1/40 0:\d\d:\d\d *\n\Z'
                )
                self.assertLessEqual(len(line.rstrip()), width)
        # The guest that answered is no longer awaited.
        self.assertIn('waiting for "database-1", "', line)

    def test_the_time_to_go_moves_on(self) -> None:
        """The time shrinks with each answer, and only the bar shows it.

        The pause of a server counts, too, until it is over.
        """
        shown = self.showing(rate=0.1)
        with shown.shown():
            self.assertIn('about 6 min 40 s to go', self.picture(shown, 120))
            for number in range(30):
                shown.saw(f'id-{number}', UP)
            self.assertIn('about 1 min 40 s to go', self.picture(shown, 120))
            shown.throttled(limits.Throttle(1.0, 100_000.0))
            line = self.picture(shown, 120)
            self.assertIn('rate limit of the server: about 27 h 46 min', line)
            shown.throttled(limits.Throttle(1.0, 0.0))
            self.assertIn('about 10.0 s to go', self.picture(shown, 120))
        self.assertNotIn('to go\n', self.said())

    def test_bad_guests_are_counted_as_they_come(self) -> None:
        """The bar shows them during the sweep, each guest once."""
        shown = self.showing()
        with shown.shown():
            self.assertNotIn('bad', self.picture(shown, 80))
            shown.saw('id-0', UP)
            for _ in range(2):
                shown.saw('id-1', DEAD)
            self.assertRegex(
                self.picture(shown, 80), r'\A1 bad so far; pings '
            )

    def test_without_a_bar_the_time_to_go_is_a_line(self) -> None:
        """A pipe and a terminal without a cursor get this line.

        A deadline that comes first is always a line.
        """
        slow = 'limited by --rate: about 6 min 40 s to go\n'
        late = 'the time is up before that: about 10 of 40 pings will still'
        for stderr, term, said in (
            (io.StringIO(), 'xterm', f'{slow}{late}'),
            (base.Terminal(), 'dumb', f'{slow}{late}'),
            (base.Terminal(), 'xterm', late),
        ):
            self.stderr = stderr
            with (
                fixtures.EnvironmentVariable('TERM', term),
                self.showing(rate=0.1, deadline=100.0).shown(),
            ):
                pass
            self.assertIn(said, self.said())
            self.assertEqual(slow in said, slow in self.said())
