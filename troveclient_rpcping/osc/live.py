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

"""The live view: the present state of the guests, on a terminal."""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import datetime
import time
from typing import Any

from rich import box
from rich import console
from rich import table
from rich import text

from troveclient_rpcping import durations
from troveclient_rpcping.osc import below
from troveclient_rpcping.osc import events
from troveclient_rpcping.osc import views
from troveclient_rpcping.outcomes.changes import Failure
from troveclient_rpcping.outcomes.changes import KnownGuest
from troveclient_rpcping.outcomes.changes import Watch
from troveclient_rpcping.outcomes.outcome import guests_in_words
from troveclient_rpcping.outcomes.outcome import Summary
from troveclient_rpcping.outcomes.shared import CommonTrait
from troveclient_rpcping.verdict import Verdict

# Sweeps whose round-trip times are drawn.
_DRAWN = 60

# The lines of the screen above and below the list of guests.
_HEADROOM = 12

# The least width of a screen, in columns, that has room for IDs too.
_WIDE = 110

_STYLES = {
    Verdict.REACHABLE: 'green',
    Verdict.UNREACHABLE: 'bold red',
    Verdict.ERROR: 'red',
    Verdict.UNKNOWN: 'yellow',
}

# The characters that the view needs beside ASCII.
CHARACTERS = '▁▂▃▄▅▆▇█●─…'

_BARS = '▁▂▃▄▅▆▇█'


class Screen(views.Lines):
    """Shows the state of the guests below the lines of changes.

    :param interval: seconds from sweep to sweep.
    """

    def __init__(
        self,
        terminal: Any,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._screen = console.Console(file=terminal, highlight=False)
        self._interval = interval
        self._clock = clock
        # Copies: another thread draws them.
        self._failure: Failure | None = None
        self._down: list[KnownGuest] = []
        self._common: CommonTrait | None = None
        self._summary: Summary | None = None
        self._status = 'the first sweep begins'
        # The end of the last good sweep, and the end of the first failed one.
        self._known: datetime.datetime | None = None
        self._known_at = self._failing_since = 0.0
        self._guests = self._done = 0
        self._begun = self._clock()
        self._median: collections.deque[float] = collections.deque(
            maxlen=_DRAWN
        )
        self._slow: collections.deque[float] = collections.deque(maxlen=_DRAWN)
        self._below = below.Below(self._screen, self.picture)

    def shown(self) -> contextlib.AbstractContextManager[None]:
        """See :meth:`Lines.shown`."""
        return self._below.shown()

    def begins(self, guests: int) -> None:
        """See :meth:`Lines.begins`."""
        self._begun = self._clock()
        self._guests, self._done = guests, 0

    def saw(self) -> None:
        """See :meth:`Lines.saw`."""
        self._done += 1

    def swept(self, watch: Watch, summary: Summary, seconds: float) -> None:
        """See :meth:`Lines.swept`."""
        self.failed(watch)
        self._summary = summary
        # As in the lines above the view.
        self._known = datetime.datetime.now(datetime.UTC)
        self._known_at = self._clock()
        took = durations.human(seconds)
        self._status = f'swept at {self._known:%H:%M:%S}Z in {took}'
        if summary.rtts:
            self._median.append(summary.percentile(50))
            self._slow.append(summary.percentile(95))

    def failed(self, watch: Watch) -> None:
        """See :meth:`Lines.failed`."""
        self._guests = 0
        if watch.failure is not None and self._failure is None:
            self._failing_since = self._clock()
        self._failure, self._down = watch.failure, watch.not_reachable
        self._common = watch.common
        self._status = 'the last sweep failed'

    def line(self, line: str) -> None:
        """See :meth:`Lines.line`."""
        self._below.line(line)

    def remark(self, words: str) -> None:
        """See :meth:`Lines.remark`."""
        self._below.line(words, style='dim')

    def picture(self) -> console.Group:
        """Return the present picture."""
        parts: list[console.RenderableType] = [self._head()]
        if self._failure is not None:
            parts.append(self._failing(self._failure))
        if self._summary is not None:
            parts.append(_numbers(self._summary, stale=self._is_stale))
        if self._median and not self._is_stale:
            parts.append(_times('p50', self._median))
            parts.append(_times('p95', self._slow))
        if self._common is not None:
            parts.append(text.Text(self._common.text, style='bold'))
        if self._down:
            parts.append(self._list(self._down))
        return console.Group(*parts)

    @property
    def _is_stale(self) -> bool:
        """Whether the state of the guests is only the last known one."""
        return self._failure is not None and self._failure.reason is None

    def _failing(self, failure: Failure) -> text.Text:
        lasts = durations.compact(self._clock() - self._failing_since)
        said = f'control plane failing for {lasts}: {events.failure(failure)}'
        if self._known is not None and self._is_stale:
            said += f'; last known at {self._known:%H:%M:%S}Z:'
        return text.Text(said, style='bold yellow')

    def _head(self) -> text.Text:
        head = text.Text('Trove guest RPC', style='bold')
        status = self._status
        if self._guests:
            status = f'sweeping: {self._done} of {self._guests}'
            if self._is_stale:
                status += ', after a sweep that failed'
        else:
            due = self._begun + self._interval - self._clock()
            if due > 0 and self._status != 'the first sweep begins':
                status += f', again in {durations.compact(due)}'
        return head.append(f'  {status}', style='not bold dim')

    def _list(self, down: Sequence[KnownGuest]) -> table.Table:
        rows = table.Table(box=box.SIMPLE_HEAD, expand=False)
        wide = self._screen.width >= _WIDE
        # The table gives up the width of columns without no_wrap.
        rows.add_column('Name', min_width=10, max_width=28)
        if wide:
            rows.add_column('ID', min_width=36, no_wrap=True)
        rows.add_column('Verdict', min_width=11, no_wrap=True)
        rows.add_column('For', min_width=6, no_wrap=True)
        rows.add_column('Detail')
        room = max(3, self._screen.height - _HEADROOM)
        # The clock stops while the state is not known.
        now = self._known_at if self._is_stale else self._clock()
        for each in down[-room:][::-1]:
            verdict = each.result.verdict
            rows.add_row(
                text.Text(each.name or each.instance_id, no_wrap=True),
                *([text.Text(each.instance_id)] if wide else []),
                text.Text(verdict, style=_STYLES[verdict]),
                durations.compact(max(0.0, now - each.since)),
                text.Text(each.result.detail, no_wrap=True),
            )
        if len(down) > room:
            shortest = down[-room].since
            longer = all(each.since < shortest for each in down[:-room])
            more = f'and {len(down) - room} more'
            rows.caption = f'{more}, for longer' if longer else more
        return rows


def _numbers(summary: Summary, *, stale: bool) -> text.Text:
    """Return the counts by verdict; without colours if they are stale."""
    line = text.Text(f'{guests_in_words(summary.guests)}  ')
    for verdict in Verdict:
        count = summary.verdicts[verdict]
        style = _STYLES[verdict] if count and not stale else 'dim'
        line.append(f'● {count} {verdict}  ', style=style)
    return line


def _times(label: str, values: Sequence[float]) -> text.Text:
    highest = max(values)
    bars = ''.join(
        _BARS[min(int(value / highest * len(_BARS)), len(_BARS) - 1)]
        if highest
        else _BARS[0]
        for value in list(values)
    )
    line = text.Text(f'RTT {label} ')
    line.append(bars, style='cyan')
    return line.append(f' {durations.human(values[-1])}')
