# SPDX-License-Identifier: Apache-2.0

"""The output of the monitor."""

import argparse
import datetime
import errno
import io
import os
import pty
import signal
import termios
import types
from typing import Any

import fixtures
from rich import console
import testtools

from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.osc import below
from troveclient_rpcping.osc import views
from troveclient_rpcping.outcomes import changes as outcomes_changes
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.tests import base
from troveclient_rpcping.web import board as boards

NOON = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)


class ScreenTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.watch = outcomes_changes.Watch()
        self.board = boards.Board(60.0)
        self.terminal = base.Terminal()
        self.screen = views.Screen(
            *(self.terminal, self.board), lambda: 0.0, lambda: NOON
        )

    def sweep(
        self, *names: str, detail: str = 'Timeout', dead: bool = True
    ) -> None:
        """Sweep guests of these names, a minute before noon."""
        found = base.findings(
            [outcomes.Target(f'id-{name}', name) for name in names],
            [
                verdicts.PingResult(
                    instance_id=f'id-{name}',
                    verdict=verdicts.Verdict.UNREACHABLE
                    if dead
                    else verdicts.Verdict.REACHABLE,
                    reason=verdicts.Reason.AGENT_TIMEOUT if dead else None,
                    message=detail if dead else '',
                    rtt=0.5,
                )
                for name in names
            ],
        )
        self.board.swept(
            *(self.watch, found, self.watch.swept(found, 0.0)),
            seconds=6.4,
            now=0.0,
            when=NOON - datetime.timedelta(minutes=1),
        )
        self.screen.swept(found.summary)

    def lose(self) -> None:
        """Let a sweep fail, half a minute before noon."""
        changes = self.watch.failed('refused', 30.0)
        when = NOON - datetime.timedelta(seconds=30)
        self.board.failed(self.watch, changes, when=when)
        self.screen.swept(None)

    def shown(self, width: int = 80) -> str:
        """Return what a terminal shows, with its colours."""
        ours = self.screen._screen
        ours.size = console.ConsoleDimensions(width, 24)
        ours.print(self.screen.picture())
        return self.terminal.getvalue()

    def plain(self, width: int = 80) -> str:
        """Return the shown words, in one line."""
        self.shown(width)
        return ' '.join(self.terminal.text().split())

    def test_it_lists_the_guests_that_are_down(self) -> None:
        """The counts stand above the list. Without times, none are drawn."""
        self.assertEqual(
            'Trove guest RPC the first sweep begins', self.plain()
        )
        self.sweep('db-7')
        self.assertRegex(
            self.plain(),
            r'swept at 11:59:00Z in 6\.4 s, again in 1m '
            r'1 guest ● 0 reachable ● 1 unreachable .* '
            r'db-7 unreachable 1m Timeout\Z',
        )
        self.screen.begins(9)
        self.screen.saw()
        self.assertIn('sweeping: 1 of 9', self.plain())

    def test_it_draws_the_round_trip_times(self) -> None:
        """The median and the slow ones have a row each."""
        self.sweep('db-7', dead=False)
        self.assertRegex(self.plain(), r'RTT p50 █ 500 ms RTT p95 █ 500 ms\Z')

    def test_names_are_text_and_nothing_else(self) -> None:
        """A name has neither markup nor escape sequences."""
        self.sweep('[bold]db\x1b]0;x\x07')
        self.screen.line('[red]what changed[/red]')
        shown = self.shown()
        self.assertIn('[bold]db', shown)
        self.assertNotIn('\x1b]0', shown)
        self.assertIn('[red]what changed', shown)

    def test_an_outage_shows_the_last_known_state(self) -> None:
        """The state has its time in UTC, and its clock stands still.

        Without colours: green would say that the guests are reachable now.
        """
        self.sweep('db-7')
        self.lose()
        self.screen._screen = console.Console(
            file=self.terminal, force_terminal=True
        )
        with fixtures.EnvironmentVariable('TERM', 'xterm'):
            shown = self.plain()
        self.assertRegex(
            shown,
            r'the last sweep failed.* control plane failing for 30s: '
            r'"no sweep: refused"; last known at 11:59:00Z: '
            r'1 guest ● 0 reachable ● 1 unreachable .* 0s Timeout\Z',
        )
        coloured = self.terminal.getvalue()
        self.assertNotIn('\x1b[32m', coloured)
        self.assertNotRegex(coloured, r'\x1b\[1;31m● ')

    def test_a_thousand_dead_guests_leave_room(self) -> None:
        """The guests without a row are counted."""
        self.sweep(*(f'db-{number}' for number in range(1000)))
        self.assertLess(len(self.shown().splitlines()), 24)
        self.assertRegex(self.plain(), 'and 988 more')

    def test_a_text_that_is_cut_ends_in_an_ellipsis(self) -> None:
        """On a narrow screen, names and details are cut."""
        name = 'customer-orders-production-primary-01'
        self.sweep(name, detail='Timeout ' * 20)
        for width in (50, 70, 100):
            self.assertRegex(
                self.plain(width), r'For Detail ─+ custom[\w-]*… .* T.*…\Z'
            )


class ViewTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.EnvironmentVariable('TERM', 'xterm'))

    def view(self, stdout: Any, **options: Any) -> views.Lines:
        app = types.SimpleNamespace(
            stderr=io.StringIO(),
            options=types.SimpleNamespace(
                **{'verbose_level': 1, 'debug': False, **options}
            ),
        )
        output = views.Output(stdout, None, expendable=False)
        arguments = argparse.Namespace(json=False)
        return views.view(app, arguments, output, boards.Board(60.0))

    def test_only_a_person_at_a_terminal_gets_the_live_view(self) -> None:
        """Others get lines: a pipe, a log, a quiet user, an old terminal."""

        class Latin(base.Terminal):
            encoding = 'latin-1'

        self.assertIsInstance(self.view(base.Terminal()), views.Screen)
        for term, stdout, options in (
            ('xterm', io.StringIO(), {}),
            ('xterm', base.Terminal(), {'verbose_level': 0}),
            ('xterm', base.Terminal(), {'debug': True}),
            ('xterm', Latin(), {}),
            ('dumb', base.Terminal(), {}),
            ('unknown', base.Terminal(), {}),
            ('', base.Terminal(), {}),
        ):
            with fixtures.EnvironmentVariable('TERM', term):
                view = self.view(stdout, **options)
                self.assertIs(views.Lines, type(view))

    def test_each_line_is_there_at_once(self) -> None:
        """The reader of a pipe gets each line when it is printed."""
        flushed = []

        class Pipe(io.StringIO):
            def flush(self) -> None:
                flushed.append(self.getvalue())

        self.view(Pipe()).line('changed')
        self.assertEqual(['changed\n'], flushed)


class Failing(io.StringIO):
    """A stream whose writes fail."""

    def __init__(self, number: int, terminal: bool = False):
        super().__init__()
        self._number = number
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        raise OSError(self._number, os.strerror(self._number))


class OutputTest(testtools.TestCase):
    def test_a_terminal_that_goes_away_is_not_an_error(self) -> None:
        """Neither a write nor the buffer at the end raises."""
        ours, theirs = pty.openpty()
        with open(theirs, 'w') as stdout, open(os.dup(theirs), 'w') as stderr:
            output = views.Output(stdout, stderr, expendable=False)
            output.write('abc')
            output.flush()
            self.assertFalse(output.gone)
            os.close(ours)
            stderr.write('said')
            output.write('def')
            output.flush()
            self.assertTrue(output.gone)
            self.assertEqual(3, output.write('ghi'))

    def test_a_monitor_with_metrics_goes_on_without_its_output(self) -> None:
        """A monitor without metrics, or without its reader, ends."""
        for number, terminal, expendable in (
            (errno.EIO, False, False),
            (errno.ENOSPC, True, False),
            (errno.EPIPE, False, True),
        ):
            stream = Failing(number, terminal)
            output = views.Output(stream, None, expendable=expendable)
            self.assertRaises(OSError, output.write, 'abc')
        output = views.Output(Failing(errno.ENOSPC), None, expendable=True)
        self.assertEqual(3, output.write('abc'))
        self.assertIn('No space left', output.trouble)
        self.assertFalse(output.gone)

    def test_a_closed_output_is_gone(self) -> None:
        """A closed output is not a terminal, and ignores text."""
        output = views.Output(None, None, expendable=True)
        self.assertTrue(output.gone)
        self.assertFalse(output.isatty())
        output.write('abc')
        output.flush()


class BelowTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.terminal = base.Terminal()
        self.screen = console.Console(
            file=self.terminal,
            width=40,
            height=10,
            force_terminal=True,
            highlight=False,
        )
        self.picture = 'one\ntwo'
        self.below = below.Below(self.screen, lambda: self.picture)

    def drawn(self) -> str:
        """Return the text written since the last call."""
        text = self.terminal.getvalue()
        self.terminal.seek(0)
        self.terminal.truncate()
        return text

    def test_a_line_takes_the_place_of_the_picture(self) -> None:
        """The picture is drawn again below the line."""
        self.below.draw()
        self.drawn()
        self.below.line('changed')
        self.assertEqual(
            '\r\x1b[2A\x1b[Jchanged\n\r\x1b[Jone\ntwo\n', self.drawn()
        )

    def test_another_size_leaves_no_copy_behind(self) -> None:
        """The lines and the picture are drawn anew."""
        self.below.line('changed')
        self.drawn()
        self.screen.size = console.ConsoleDimensions(20, 10)
        self.below.draw()
        self.assertEqual('\x1b[H\x1b[2Jchanged\none\ntwo\n', self.drawn())
        self.below.draw()
        self.assertNotIn('\x1b[2J', self.drawn())

    def test_a_picture_that_is_too_high_is_cut(self) -> None:
        """Rows that have left the screen could not be erased."""
        self.picture = '\n'.join(map(str, range(50)))
        self.below.draw()
        self.drawn()
        self.below.draw()
        self.assertTrue(self.drawn().startswith('\r\x1b[8A\x1b[J0\n'))

    def test_the_cursor_and_the_echo_come_back(self) -> None:
        """Without the echo, typed characters do not break the picture."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        with open(theirs, 'w') as terminal:
            drawn = below.Below(
                console.Console(file=terminal, force_terminal=True),
                lambda: 'picture',
            )

            def echoes() -> bool:
                return bool(termios.tcgetattr(theirs)[3] & termios.ECHO)

            before = signal.getsignal(signal.SIGTSTP)
            self.assertTrue(echoes())
            with drawn.shown():
                self.assertFalse(echoes())
            self.assertTrue(echoes())
            self.assertIs(before, signal.getsignal(signal.SIGTSTP))
        written = base.read_terminal(ours)
        self.assertIn('\x1b[?25l', written)
        self.assertTrue(written.endswith('\x1b[?25h'), written)
