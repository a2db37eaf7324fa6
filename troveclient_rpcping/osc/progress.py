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

"""The progress of a sweep, on stderr; a bar only on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import datetime
import itertools
import time
from typing import Any

from rich import console
from rich import progress_bar
from rich import table
from rich import text

from troveclient_rpcping import durations
from troveclient_rpcping import plaintext
from troveclient_rpcping.cli.survey import Plan
from troveclient_rpcping.limits import Throttle
from troveclient_rpcping.osc import below
from troveclient_rpcping.outcomes.outcome import BAD
from troveclient_rpcping.outcomes.outcome import Series
from troveclient_rpcping.outcomes.outcome import Target

# A shorter wait, in seconds, is not mentioned.
_LONG = 5.0

# Seconds from one list of awaited guests to the next, and its length.
_NAME_AFTER = 2.0
_NAMED = 5

# The characters that the bar needs beside ASCII.
_CHARACTERS = '━╸╺…'

# The greatest width of the bar itself, in columns.
_BAR = 40


class Progress:
    """Shows how many pings have ended, and how long the rest may take.

    :param deadline: seconds for all of them; None for no limit.
    """

    def __init__(
        self,
        app: Any,
        targets: Sequence[Target],
        plan: Plan,
        deadline: float | None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._clock = clock
        # The names of the guests by ID. In a wait, a guest that is reachable
        # is removed.
        self._awaited = {
            target.instance_id: target.name
            for target in targets
            if target.instance_id
        }
        self._waits = plan.waits
        self._option = '--wait' if self._waits else '--deadline'
        self._stable = plan.stable or 1
        self._pings = len(self._awaited) * plan.count
        self._done = 0
        self._bad: set[str] = set()
        self._begun = self._clock()
        self._end = None if deadline is None else self._clock() + deadline
        # A closed stream is None.
        self._quiet = app.stderr is None or not app.options.verbose_level
        self._said = False
        self._named = 0
        self._name_next = self._clock() + _NAME_AFTER
        self._description = 'pings'
        # Why the sweep is slow, its pings a second, and when it goes on.
        self._slow: tuple[str, float, float] | None = None
        self._screen = console.Console(file=app.stderr, highlight=False)
        self._below = self._bar(app)
        if plan.rate:
            self._slows('limited by --rate', Throttle(plan.rate, 0.0))

    def _bar(self, app: Any) -> below.Below | None:
        """Return the bar; None if the user does not get one."""
        if (
            not self._quiet
            and (self._pings > 1 or self._waits)
            and below.can_show(app.stderr, _CHARACTERS)
            # Log lines would tear the bar.
            and not app.options.debug
        ):
            return below.Below(self._screen, self._picture)
        return None

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bar within the block, if there is one."""
        if self._below is None:
            yield
            return
        with self._below.shown():
            if self._waits:
                self._name_the_awaited()
            try:
                yield
            finally:
                self._below.draw()

    def saw(self, instance_id: str, series: Series) -> None:
        """Show one more result."""
        if not self._waits:
            self._done += 1
            if series.last and series.last.verdict in BAD:
                self._bad.add(instance_id)
        elif series.in_a_row >= self._stable:
            self._awaited.pop(instance_id, None)
            self._done += 1
        if self._waits and self._clock() >= self._name_next:
            self._name_the_awaited()

    def throttled(self, throttle: Throttle) -> None:
        """Show that the rate limit of the server slows the sweep down."""
        self._slows('rate limit of the server', throttle)

    def _picture(self) -> console.RenderableType:
        elapsed = datetime.timedelta(seconds=int(self._clock() - self._begun))
        count = f'{self._done}/{self._pings}'
        width = self._screen.width
        bar = min(_BAR, width // 4)
        # Long words are cut, so that the count and the clock stay.
        room = width - bar - len(count) - len(str(elapsed)) - 4
        words = text.Text(self._words(), no_wrap=True)
        words.truncate(max(1, room), overflow='ellipsis')
        line = table.Table.grid(padding=(0, 1))
        line.add_row(
            words,
            progress_bar.ProgressBar(self._pings, self._done, width=bar),
            text.Text(count, style='green'),
            text.Text(str(elapsed), style='yellow'),
        )
        return line

    def _words(self) -> str:
        words = self._description
        if self._slow is not None and not self._waits:
            words = self._slowness()
        if self._bad:
            words = f'{len(self._bad)} bad so far; {words}'
        return words

    def _name_the_awaited(self) -> None:
        self._name_next = self._clock() + _NAME_AFTER
        if not self._awaited or self._quiet:
            return
        first = itertools.islice(self._awaited.items(), _NAMED)
        names = [self._named_guest(id_, name) for id_, name in first]
        rest = len(self._awaited) - len(names)
        words = f'waiting for {", ".join(names)}'
        if rest:
            words += f' and {rest} more'
        self._description = words
        # Without a bar, one line for each change.
        if self._below is None and len(self._awaited) != self._named:
            self._named = len(self._awaited)
            self._say(words)

    def _named_guest(self, id_: str, name: str | None) -> str:
        if not name:
            return plaintext.word(id_)
        if self._below is not None:
            # The bar has little room, and nothing parses it.
            return plaintext.quoted(name)
        return f'{plaintext.word(id_)} {plaintext.quoted(name)}'

    def _slows(self, cause: str, throttle: Throttle) -> None:
        rate, pause = throttle.rate, throttle.pause
        self._slow = cause, rate, self._clock() + pause
        seconds = self._seconds_to_go()
        if self._said or self._quiet or seconds < _LONG:
            return
        self._said = True
        if self._below is None:
            self._say(self._slowness())
        if self._end is None:
            return
        left = max(0.0, self._end - self._clock())
        if left < seconds:
            still = int(max(0.0, left - pause) * rate)
            self._say(
                f'{self._option} comes before that: about {still} of '
                f'{self._pings - self._done} pings will still be sent'
            )

    def _slowness(self) -> str:
        cause = self._slow[0] if self._slow else ''
        to_go = durations.human(self._seconds_to_go())
        return f'{cause}: about {to_go} to go'

    def _seconds_to_go(self) -> float:
        if self._slow is None:
            return 0.0
        _, rate, begin = self._slow
        pause = max(0.0, begin - self._clock())
        return pause + (self._pings - self._done) / rate

    def _say(self, words: str) -> None:
        if self._below is not None:
            self._below.line(words)
        else:
            self._screen.print(words, markup=False, soft_wrap=True)
