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

"""The output of the monitor."""

import argparse
import errno
import io
import os
import pty
import re
import signal
import termios
import types
from typing import Any

import fixtures
from rich import console
import testtools

from troveclient_rpcping.osc import below
from troveclient_rpcping.osc import live
from troveclient_rpcping.osc import views
from troveclient_rpcping.outcomes.changes import Watch
from troveclient_rpcping.outcomes.outcome import Findings
from troveclient_rpcping.outcomes.outcome import Target
from troveclient_rpcping.tests import base
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict


def findings(*names: str, dead: bool = True) -> Findings:
    """Return the findings about guests of these names."""
    return base.findings(
        [Target(f'id-{name}', name) for name in names],
        [
            PingResult(
                instance_id=f'id-{name}',
                verdict=Verdict.UNREACHABLE if dead else Verdict.REACHABLE,
                reason=Reason.AGENT_TIMEOUT if dead else None,
                message='Timeout' if dead else '',
                rtt=0.5,
            )
            for name in names
        ],
    )


class ScreenTest(testtools.TestCase):
    def shown(self, *names: str, dead: bool = True) -> str:
        """Return what a terminal shows after a sweep."""
        terminal = base.Terminal()
        screen = live.Screen(terminal, 60.0, lambda: 100.0)
        watch = Watch()
        found = findings(*names, dead=dead)
        watch.swept(found, 0.0)
        screen.swept(watch, found.summary, 6.4)
        screen.line('[red]what changed[/red]')
        screen._screen.print(screen.picture())
        return terminal.getvalue()

    def test_it_lists_the_guests_that_are_down(self) -> None:
        """The counts stand above the list."""
        shown = self.shown('db-7')
        for words in ('1 guest ', '● 1 unreachable', 'db-7', 'Timeout'):
            self.assertIn(words, shown)

    def test_it_draws_the_round_trip_times(self) -> None:
        """The median and the slow ones have a row each."""
        shown = self.shown('db-7', dead=False)
        self.assertRegex(shown, 'RTT p50 .*█.* 500 ms')
        self.assertNotIn('db-7', shown)

    def test_names_are_text_and_nothing_else(self) -> None:
        """A name has neither markup nor escape sequences."""
        shown = self.shown('[bold]db\x1b]0;x\x07')
        self.assertIn('[bold]db', shown)
        self.assertNotIn('\x1b]0', shown)
        self.assertIn('[red]what changed', shown)

    def outage(self) -> tuple[live.Screen, base.Terminal]:
        """Return a view of an outage, after a sweep with a dead guest."""
        terminal = base.Terminal()
        screen = live.Screen(terminal, 60.0, lambda: 100.0)
        watch = Watch()
        found = findings('db-7')
        watch.swept(found, 0.0)
        screen.swept(watch, found.summary, 6.4)
        watch.failed('refused', 1.0)
        screen.failed(watch)
        return screen, terminal

    def test_an_outage_shows_the_last_known_state(self) -> None:
        """The state has its time in UTC, and its clock stands still."""
        screen, terminal = self.outage()
        screen._screen.print(screen.picture())
        plain = re.sub(r'\x1b\[[0-9;]*m', '', terminal.getvalue())
        shown = ' '.join(plain.split())
        self.assertIn('the last sweep failed', shown)
        self.assertRegex(
            shown,
            r'control plane failing for 0s: no sweep: "refused"; last known '
            r'at \d\d:\d\d:\d\dZ: 1 guest ● 0 reachable ● 1 unreachable',
        )
        self.assertNotIn('swept at', shown)
        self.assertNotIn('RTT', shown)

    def test_the_counts_of_an_outage_have_no_colours(self) -> None:
        """Green would say that the guests are reachable now."""
        screen, terminal = self.outage()
        screen._screen = console.Console(file=terminal, force_terminal=True)
        with fixtures.EnvironmentVariable('TERM', 'xterm'):
            screen._screen.print(screen.picture())
        shown = terminal.getvalue()
        self.assertNotIn('\x1b[32m', shown)
        self.assertNotRegex(shown, r'\x1b\[1;31m● ')

    def test_the_count_says_whether_guests_are_down_for_longer(self) -> None:
        """Guests that went down together are not down for longer."""
        names = [f'db-{number}' for number in range(100)]
        self.assertNotIn('for longer', self.shown(*names))
        terminal = base.Terminal()
        screen = live.Screen(terminal, 60.0, lambda: 100.0)
        watch = Watch()
        found = findings('db-x')
        watch.swept(found, 0.0)
        # These guests leave no room for the one above.
        room = max(3, screen._screen.height - live._HEADROOM)
        found = findings('db-x', *(f'db-{number}' for number in range(room)))
        watch.swept(found, 9.0)
        screen.swept(watch, found.summary, 6.4)
        screen._screen.print(screen.picture())
        self.assertIn('and 1 more, for longer', terminal.getvalue())

    def test_a_thousand_dead_guests_leave_room(self) -> None:
        """The latest guests are listed, and the others are counted."""
        shown = self.shown(*(f'db-{number}' for number in range(1000)))
        self.assertLess(len(shown.splitlines()), 60)
        self.assertIn('db-999', shown)
        self.assertRegex(shown, 'and 9[0-9]+ more')

    def test_a_text_that_is_cut_ends_in_an_ellipsis(self) -> None:
        """On a narrow screen, names and details are cut."""
        name = 'customer-orders-production-primary-01'
        for width in (50, 70, 100):
            terminal = base.Terminal()
            screen = live.Screen(terminal, 60.0, lambda: 100.0)
            screen._screen.size = console.ConsoleDimensions(width, 24)
            watch = Watch()
            result = PingResult(
                instance_id='id-1',
                verdict=Verdict.UNREACHABLE,
                message='Timeout ' * 20,
            )
            found = base.findings([Target('id-1', name)], [result])
            watch.swept(found, 0.0)
            screen.swept(watch, found.summary, 6.4)
            screen._screen.print(screen.picture())
            self.assertRegex(
                terminal.text(), r'\n +custom[\w-]*… +unreach\w+ .* T.*… +\n'
            )


class ViewTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.EnvironmentVariable('TERM', 'xterm'))

    def view(self, stdout: Any, **options: Any) -> views.Lines:
        output = views.Output(stdout, None, expendable=False)
        return views.view(
            types.SimpleNamespace(
                stderr=io.StringIO(),
                options=types.SimpleNamespace(
                    **{'verbose_level': 1, 'debug': False, **options}
                ),
            ),
            argparse.Namespace(json=False, interval=60.0),
            output,
        )

    def assert_lines(self, stdout: Any, **options: Any) -> None:
        """Expect the view that only prints lines."""
        self.assertIs(views.Lines, type(self.view(stdout, **options)))

    def test_only_a_person_at_a_terminal_gets_the_live_view(self) -> None:
        """A pipe, a log or a quiet user gets lines."""
        self.assertIsInstance(self.view(base.Terminal()), live.Screen)
        self.assert_lines(io.StringIO())
        for options in ({'verbose_level': 0}, {'debug': True}):
            self.assert_lines(base.Terminal(), **options)

    def test_a_terminal_without_a_cursor_gets_lines(self) -> None:
        """A terminal without the characters of the view gets lines, too."""
        for term in ('dumb', 'unknown', ''):
            with fixtures.EnvironmentVariable('TERM', term):
                self.assert_lines(base.Terminal())

        class Latin(base.Terminal):
            encoding = 'latin-1'

        self.assert_lines(Latin())

    def test_each_line_is_there_at_once(self) -> None:
        """The reader of a pipe gets each line when it is printed."""
        flushed = []

        class Pipe(io.StringIO):
            def flush(self) -> None:
                flushed.append(self.getvalue())

        self.view(Pipe()).line('changed')
        self.assertEqual(['changed\n'], flushed)


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

    def test_other_errors_are_raised(self) -> None:
        """A failing disk and a full disk raise an error."""

        class Failing(io.StringIO):
            def flush(self) -> None:
                raise OSError(errno.EIO, 'Input/output error')

        class Full(base.Terminal):
            def flush(self) -> None:
                raise OSError(errno.ENOSPC, 'No space left on device')

        for stream in (Failing(), Full()):
            output = views.Output(stream, None, expendable=False)
            self.assertRaises(OSError, output.flush)

    def test_a_monitor_with_metrics_goes_on_without_its_output(self) -> None:
        """A monitor without a reader still ends."""

        class Full(io.StringIO):
            def write(self, text: str) -> int:
                raise OSError(errno.ENOSPC, 'No space left on device')

        class Pipe(io.StringIO):
            def write(self, text: str) -> int:
                raise BrokenPipeError(errno.EPIPE, 'Broken pipe')

        output = views.Output(Full(), None, expendable=True)
        self.assertEqual(3, output.write('abc'))
        self.assertIn('No space left', output.trouble)
        self.assertFalse(output.gone)
        output = views.Output(Pipe(), None, expendable=True)
        self.assertRaises(BrokenPipeError, output.write, 'abc')

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
