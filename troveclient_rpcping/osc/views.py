# SPDX-License-Identifier: Apache-2.0

"""The output of the monitor: lines in a pipe, a live view on a terminal."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import datetime
import errno
import time
from typing import Any

from rich import box
from rich import console
from rich import table
from rich import text

from troveclient_rpcping import durations
from troveclient_rpcping import plaintext
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.osc import below
from troveclient_rpcping.osc import report
from troveclient_rpcping.osc import shell
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.web import board as boards

# The lines of the screen above and below the list of guests.
_HEADROOM = 12

# The least width of a screen, in columns, that has room for IDs too.
_WIDE = 110

_STYLES = {
    verdicts.Verdict.REACHABLE: 'green',
    verdicts.Verdict.UNREACHABLE: 'bold red',
    verdicts.Verdict.ERROR: 'red',
    verdicts.Verdict.UNKNOWN: 'yellow',
}

_BARS = '▁▂▃▄▅▆▇█'

# The characters that the view needs beside ASCII.
_CHARACTERS = f'{_BARS}●─…'


def utc_now() -> datetime.datetime:
    """Return the present time, in UTC."""
    return datetime.datetime.now(datetime.UTC)


class Output:
    """Standard output, which may fail.

    :param stream: the stream; None if it is closed.
    :param stderr: standard error. It is discarded together with *stream* if
        both are a terminal that went away.
    :param expendable: whether the monitor goes on after an error. It always
        ends when the reader of a pipe ends.
    """

    def __init__(self, stream: Any, stderr: Any, *, expendable: bool):
        self._stream = stream
        self._expendable = expendable
        # isatty() is false for a terminal that went away.
        self._terminals = [
            each for each in (stream, stderr) if each and each.isatty()
        ]
        #: Whether the stream is closed, or its terminal went away.
        self.gone = stream is None
        #: The last error; empty for none. Its reader empties it.
        self.trouble = ''

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Whether the stream is, or was, a terminal."""
        return self._stream is not None and self._stream in self._terminals

    def write(self, words: str) -> int:
        """Print, unless the stream is gone."""
        self._do(lambda: self._stream.write(words))
        return len(words)

    def flush(self) -> None:
        """Flush, unless the stream is gone."""
        self._do(lambda: self._stream.flush())

    def _do(self, act: Callable[[], object]) -> None:
        if self.gone:
            return
        try:
            act()
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.errno == errno.EIO and self.isatty():
                self.gone = True
                shell.discard(*self._terminals)
            elif self._expendable:
                self.trouble = f'Cannot print what changes: {error.strerror}'
            else:
                raise


class Lines:
    """Prints changes to standard output, and remarks to standard error.

    The live view overrides every method.
    """

    def __init__(self, app: Any, stdout: Any):
        self._app = app
        self._stdout = stdout
        self._announced = False

    def shown(self) -> contextlib.AbstractContextManager[None]:
        """Show the view within the block."""
        return contextlib.nullcontext()

    def begins(self, guests: int) -> None:
        """A sweep of this number of guests begins."""

    def saw(self) -> None:
        """One more result came."""

    def swept(self, summary: outcomes.Summary | None) -> None:
        """The sweep ended; None if it brought nothing."""
        if summary is not None and not self._announced:
            self._announced = True
            self.remark(f'Watching {report.counts(summary)}')

    def line(self, line: str) -> None:
        """Print a change."""
        self._stdout.write(f'{line}\n')
        # A reader wants each line at once.
        self._stdout.flush()

    def remark(self, words: str) -> None:
        """Print a remark about the monitor itself, unless it is empty."""
        if words:
            shell.say(self._app, words)


class Screen(Lines):
    """Shows the state of the guests below the lines of changes.

    :param board: has the state; another thread draws it.
    :param now: returns the time in UTC.
    """

    def __init__(
        self,
        terminal: Any,
        board: boards.Board,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime.datetime] = utc_now,
    ):
        self._screen = console.Console(file=terminal, highlight=False)
        self._board = board
        self._clock = clock
        self._now = now
        # Whether the last sweep brought nothing. Then the state of the guests
        # is only the last known one.
        self._is_stale = False
        self._begun = clock()
        # The guests of the present sweep; 0 between two sweeps.
        self._guests = self._done = 0
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

    def swept(self, summary: outcomes.Summary | None) -> None:
        """See :meth:`Lines.swept`."""
        self._guests = 0
        self._is_stale = summary is None

    def line(self, line: str) -> None:
        """See :meth:`Lines.line`."""
        self._below.line(line)

    def remark(self, words: str) -> None:
        """See :meth:`Lines.remark`."""
        if words:
            self._below.line(words, style='dim')

    def picture(self) -> console.Group:
        """Return the present picture."""
        status = self._board.status
        parts: list[console.RenderableType] = [self._head(status)]
        if status.failing is not None:
            parts.append(self._failing(status, status.failing))
        if status.swept is not None:
            parts.append(self._numbers(status))
        times = status.round_trips
        reached = status.verdicts[verdicts.Verdict.REACHABLE]
        if times and reached and not self._is_stale:
            parts.append(_times('p50', [each['p50'] for each in times]))
            parts.append(_times('p95', [each['p95'] for each in times]))
        if status.common:
            parts.append(text.Text(status.common, style='bold'))
        if status.guests:
            parts.append(self._list(status))
        return console.Group(*parts)

    def _head(self, status: boards.Status) -> text.Text:
        if self._guests:
            said = f'sweeping: {self._done} of {self._guests}'
            if self._is_stale:
                said += ', after a sweep that failed'
        elif status.swept is None and not self._is_stale:
            said = 'the first sweep begins'
        else:
            said = 'the last sweep failed'
            if status.swept is not None and not self._is_stale:
                took = durations.human(status.seconds)
                said = f'swept at {status.swept:%H:%M:%S}Z in {took}'
            due = self._begun + status.interval - self._clock()
            if due > 0:
                said += f', again in {durations.compact(due)}'
        head = text.Text('Trove guest RPC', style='bold')
        return head.append(f'  {said}', style='not bold dim')

    def _failing(
        self, status: boards.Status, failing: boards.Record
    ) -> text.Text:
        lasts = _lasts(failing['since'], self._now())
        why = plaintext.quoted(failing['why'].rstrip('.'))
        said = f'control plane failing for {lasts}: {why}'
        if status.swept is not None and self._is_stale:
            said += f'; last known at {status.swept:%H:%M:%S}Z:'
        return text.Text(said, style='bold yellow')

    def _numbers(self, status: boards.Status) -> text.Text:
        """Return the counts by verdict; without colours if they are stale."""
        guests = outcomes.guests_in_words(sum(status.verdicts.values()))
        line = text.Text(f'{guests}  ')
        for verdict, count in status.verdicts.items():
            lit = count and not self._is_stale
            style = _STYLES[verdict] if lit else 'dim'
            line.append(f'● {count} {verdict}  ', style=style)
        return line

    def _list(self, status: boards.Status) -> table.Table:
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
        now = (self._is_stale and status.swept) or self._now()
        for guest in status.guests[:room]:
            verdict = guest['verdict']
            rows.add_row(
                text.Text(guest['name'] or guest['instance_id'], no_wrap=True),
                *([text.Text(guest['instance_id'])] if wide else []),
                text.Text(verdict, style=_STYLES[verdict]),
                _lasts(guest['since'], now),
                text.Text(guest['detail'], no_wrap=True),
            )
        more = status.more + len(status.guests[room:])
        if more:
            rows.caption = f'and {more} more'
        return rows


def view(
    app: Any,
    arguments: argparse.Namespace,
    output: Output,
    board: boards.Board,
) -> Lines:
    """Return the view for an output; *board* has the state of the guests."""
    options = app.options
    wants_lines = arguments.json or options.debug or not options.verbose_level
    if wants_lines or not below.can_show(output, _CHARACTERS):
        return Lines(app, output)
    return Screen(output, board)


def _times(label: str, values: Sequence[float]) -> text.Text:
    highest = max(values) or 1.0
    bars = ''.join(
        _BARS[min(int(value / highest * len(_BARS)), len(_BARS) - 1)]
        for value in values
    )
    line = text.Text(f'RTT {label} ')
    line.append(bars, style='cyan')
    return line.append(f' {durations.human(values[-1])}')


def _lasts(since: datetime.datetime, now: datetime.datetime) -> str:
    return durations.compact(max(0.0, (now - since).total_seconds()))
