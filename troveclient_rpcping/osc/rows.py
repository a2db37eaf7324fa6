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

"""The columns and rows of the ping command, as a table or as records."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import os
import textwrap
from typing import Any
from typing import TYPE_CHECKING

from cliff import columns

from troveclient_rpcping import durations
from troveclient_rpcping import plaintext
from troveclient_rpcping.inventory import Instance
from troveclient_rpcping.inventory import Server
from troveclient_rpcping.osc import report
from troveclient_rpcping.outcomes.outcome import Outcome
from troveclient_rpcping.verdict import Verdict

COLUMNS = ('ID', 'Name', 'Verdict', 'RTT', 'Detail')
LONG_COLUMNS = (
    *COLUMNS,
    'Reason',
    'Project ID',
    'Datastore',
    'Status',
    'Last Heartbeat',
    'Server ID',
    'Host',
    'Server Status',
    'Sent',
    'Received',
    'RTT Min',
    'RTT Avg',
    'RTT Max',
    'Request ID',
)

#: The columns that need a listing, even for guests named by their IDs.
LISTED_COLUMNS = frozenset(
    {
        *('Project ID', 'Datastore', 'Status', 'Last Heartbeat'),
        *('Server ID', 'Host', 'Server Status'),
    }
)

# These columns repeat the others if there is only one ping.
_OF_SEVERAL = frozenset({'Sent', 'Received', 'RTT Min', 'RTT Avg', 'RTT Max'})

_BEST_FIRST = (
    *(Verdict.REACHABLE, Verdict.UNKNOWN),
    *(Verdict.ERROR, Verdict.UNREACHABLE),
)

if TYPE_CHECKING:
    _Column = columns.FormattableColumn[float | None]
    _TextColumn = columns.FormattableColumn[str]
else:
    # The class of cliff 4.6 is not generic.
    _Column = _TextColumn = columns.FormattableColumn


class Seconds(_Column):
    """A duration: ``31 ms`` for people, a number for machines."""

    def human_readable(self) -> str:
        """Return the duration in a unit that suits it; empty for none."""
        return '' if self._value is None else durations.human(self._value)

    def machine_readable(self) -> Any:
        """Return the seconds; an empty text for none.

        Only the value formatter calls this method. It would print a None.
        """
        return '' if self._value is None else self._value

    def __lt__(self, other: object) -> bool:
        # cliff cannot sort a None inside a column. Here a None comes last.
        if not isinstance(other, Seconds):
            return NotImplemented
        return self._order() < other._order()

    def _order(self) -> tuple[bool, float]:
        return self._value is None, self._value or 0.0


class Grade(_TextColumn):
    """A verdict; verdicts sort from the best to the worst."""

    def human_readable(self) -> str:
        """Return the verdict."""
        return self._value

    def __lt__(self, other: object) -> bool:
        # The last rows stand next to the prompt, so the worst come last.
        if not isinstance(other, Grade):
            return NotImplemented
        return self._rank() < other._rank()

    def _rank(self) -> int:
        return _BEST_FIRST.index(Verdict(self._value))


def columns_of(arguments: argparse.Namespace) -> list[str]:
    """Return the columns that a command line asks for.

    A column of ``--long`` that the user names needs no ``--long``.
    """
    named = {_normal(c) for c in arguments.columns + arguments.sort_columns}
    if arguments.long:
        several = arguments.count is not None or arguments.wait is not None
        # People need no empty columns. Programs get every column each time.
        brief = arguments.formatter == 'table' and not named and not several
        return [c for c in LONG_COLUMNS if not brief or c not in _OF_SEVERAL]
    return [c for c in LONG_COLUMNS if c in COLUMNS or _normal(c) in named]


def mistake_in_columns(arguments: argparse.Namespace) -> str | None:
    """Say which column does not exist; None if all do.

    cliff would say so after the pings, or never.
    """
    known = set(map(_normal, LONG_COLUMNS))
    for name in (*arguments.columns, *arguments.sort_columns):
        if _normal(name) not in known:
            return (
                f'there is no column {plaintext.quoted(name)}: give one of '
                f'{", ".join(LONG_COLUMNS)}'
            )
    return None


def _normal(name: str) -> str:
    # cliff compares the names of columns in this form.
    return name.lower().strip().replace(' ', '_')


def row(
    outcome: Outcome, *, formatter: str, columns: Sequence[str]
) -> tuple[Any, ...]:
    """Return the row of one guest.

    :param formatter: the name of cliff's formatter that will print the row.
    :param columns: which of :data:`LONG_COLUMNS`.
    """
    human = formatter in ('table', 'value')
    cells = _cells(outcome)
    return tuple(
        Seconds(cells[name])
        if human and name.startswith('RTT')
        else cells[name]
        for name in columns
    )


def _cells(outcome: Outcome) -> dict[str, Any]:
    target, result, series = outcome.target, outcome.result, outcome.series
    # Without a listing, these cells are empty.
    listed = target.instance or Instance('')
    server = listed.server or Server()
    texts = {
        'ID': target.instance_id,
        'Name': target.name,
        'Project ID': listed.project_id,
        'Datastore': listed.datastore,
        'Status': listed.status,
        'Last Heartbeat': listed.last_heartbeat,
        'Server ID': server.id,
        'Host': server.host,
        'Server Status': server.status,
        'Request ID': result.request_id,
    }
    seconds = {
        'RTT': result.rtt,
        'RTT Min': series.shortest,
        'RTT Avg': series.average,
        'RTT Max': series.longest,
    }
    return {
        **{name: text or '' for name, text in texts.items()},
        **{
            name: None if value is None else round(value, 6)
            for name, value in seconds.items()
        },
        'Verdict': Grade(str(result.verdict)),
        'Detail': report.detail(outcome),
        'Reason': str(result.reason or ''),
        'Sent': series.sent,
        'Received': series.received,
    }


def width_of(stream: Any) -> int | None:
    """Return the width of a terminal in columns; None for other streams."""
    try:
        if not stream.isatty():
            return None
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError, AttributeError):
        return None


def records(
    names: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None
) -> str:
    """Return rows as lines if cliff's table of them is too wide.

    Each row becomes lines of a name and a value, without empty values.

    :param width: the longest line, in characters; None for no limit.
    :returns: the lines; empty if the table is not too wide.
    """
    if width is None:
        return ''
    table = 1
    for name, *cells in zip(names, *rows, strict=True):
        table += 3 + max(len(str(cell)) for cell in (name, *cells))
    if table <= width:
        return ''
    return '\n\n'.join(_record(names, row, width) for row in rows)


def _record(names: Sequence[str], row: Sequence[Any], width: int) -> str:
    label = max(map(len, names)) + 2
    lines = []
    for name, cell in zip(names, row, strict=True):
        lines += textwrap.wrap(
            str(cell),
            max(width, label + 20),
            initial_indent=f'{name:<{label}}',
            subsequent_indent=' ' * label,
            break_on_hyphens=False,
        )
    return '\n'.join(lines)
