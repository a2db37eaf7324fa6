# SPDX-License-Identifier: Apache-2.0

"""The progress of a sweep, on stderr; a bar only on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import datetime
import math
import time
from typing import Any

from rich import console
from rich import progress_bar
from rich import table
from rich import text

from troveclient_rpcping import durations
from troveclient_rpcping import limits
from troveclient_rpcping import plaintext
from troveclient_rpcping.cli import survey as surveys
from troveclient_rpcping.osc import below
from troveclient_rpcping.osc import shell
from troveclient_rpcping.outcomes import outcome as outcomes

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
        targets: Sequence[outcomes.Target],
        plan: surveys.Plan,
        deadline: float | None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._clock = clock
        self._begun = clock()
        self._end = None if deadline is None else self._begun + deadline
        # The names of the guests by ID. In a wait, a guest that is reachable
        # is removed.
        self._awaited = {
            target.instance_id: target.name
            for target in targets
            if target.instance_id
        }
        self._plan = plan
        self._pings = len(self._awaited) * plan.count
        self._done = 0
        self._bad: set[str] = set()
        # How many guests the last list of awaited guests had.
        self._named = 0
        self._name_next = self._begun + _NAME_AFTER
        # Why the sweep is slow, its pings a second, and when it goes on.
        self._slow = '', math.inf, 0.0
        self._has_warned = False
        self._quiet = shell.is_quiet(app)
        self._screen = console.Console(file=app.stderr, highlight=False)
        self._below: below.Below | None = None
        if (
            not self._quiet
            and (self._pings > 1 or plan.waits)
            and below.can_show(app.stderr, _CHARACTERS)
            # Log lines would tear the bar.
            and not app.options.debug
        ):
            self._below = below.Below(self._screen, self.picture)

    def shown(self) -> contextlib.AbstractContextManager[None]:
        """Show the bar within the block, if there is one."""
        if self._plan.rate:
            self._slows(
                'limited by --rate', limits.Throttle(self._plan.rate, 0.0)
            )
        return self._below.shown() if self._below else contextlib.nullcontext()

    def saw(self, instance_id: str, series: outcomes.Series) -> None:
        """Show one more result."""
        if not self._plan.waits:
            self._done += 1
            if series.last and series.last.verdict in outcomes.BAD:
                self._bad.add(instance_id)
            return
        if series.in_a_row >= (self._plan.stable or 1):
            self._awaited.pop(instance_id, None)
            self._done += 1
        if self._below is None and self._clock() >= self._name_next:
            self._name_next = self._clock() + _NAME_AFTER
            if len(self._awaited) not in (0, self._named):
                self._named = len(self._awaited)
                self._say(self._waiting())

    def throttled(self, throttle: limits.Throttle) -> None:
        """Show that the rate limit of the server slows the sweep down."""
        self._slows('rate limit of the server', throttle)

    def picture(self) -> console.RenderableType:
        """Return the present line with the bar."""
        elapsed = datetime.timedelta(seconds=int(self._clock() - self._begun))
        count = f'{self._done}/{self._pings}'
        width = self._screen.width
        bar = min(_BAR, width // 4)
        words = 'pings'
        if self._plan.waits:
            words = self._waiting()
        elif self._slow[0]:
            words = self._slowness()
        if self._bad:
            words = f'{len(self._bad)} bad so far; {words}'
        # Long words are cut, so that the count and the clock stay.
        room = width - bar - len(count) - len(str(elapsed)) - 4
        cut = text.Text(words, no_wrap=True)
        cut.truncate(max(1, room), overflow='ellipsis')
        line = table.Table.grid(padding=(0, 1))
        line.add_row(
            cut,
            progress_bar.ProgressBar(self._pings, self._done, width=bar),
            text.Text(count, style='green'),
            text.Text(str(elapsed), style='yellow'),
        )
        return line

    def _waiting(self) -> str:
        # The thread of the bar reads what the main thread changes.
        awaited = list(self._awaited.items())
        names = []
        for id_, name in awaited[:_NAMED]:
            guest = [plaintext.quoted(name)] if name else []
            # The bar has little room, and nothing parses it.
            if not name or self._below is None:
                guest.insert(0, plaintext.word(id_))
            names.append(' '.join(guest))
        words = f'waiting for {", ".join(names)}'
        if rest := len(awaited) - len(names):
            words += f' and {rest} more'
        return words

    def _slows(self, cause: str, throttle: limits.Throttle) -> None:
        rate, pause = throttle.rate, throttle.pause
        self._slow = cause, rate, self._clock() + pause
        seconds = self._seconds_to_go()
        if self._has_warned or seconds < _LONG:
            return
        self._has_warned = True
        if self._below is None:
            self._say(self._slowness())
        if self._end is None:
            return
        left = max(0.0, self._end - self._clock())
        if left < seconds:
            still = int(max(0.0, left - pause) * rate)
            self._say(
                f'the time is up before that: about {still} of '
                f'{self._pings - self._done} pings will still be sent'
            )

    def _slowness(self) -> str:
        to_go = durations.human(self._seconds_to_go())
        return f'{self._slow[0]}: about {to_go} to go'

    def _seconds_to_go(self) -> float:
        _, rate, begin = self._slow
        pause = max(0.0, begin - self._clock())
        return pause + (self._pings - self._done) / rate

    def _say(self, words: str) -> None:
        if self._below is not None:
            self._below.line(words)
        elif not self._quiet:
            self._screen.print(words, markup=False, soft_wrap=True)
