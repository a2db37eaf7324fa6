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

"""The columns and rows of the ping commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from cliff import columns

from troveclient_rpcping import durations
from troveclient_rpcping import plaintext
from troveclient_rpcping.cli.targets import Target
from troveclient_rpcping.inventory import Instance
from troveclient_rpcping.osc import report
from troveclient_rpcping.outcomes.series import Series
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Verdict

COLUMNS = ('ID', 'Name', 'Verdict', 'RTT', 'Detail')
LONG_COLUMNS = (
    *COLUMNS,
    'Reason',
    'Project ID',
    'Datastore',
    'Status',
    'Last Heartbeat',
    'Sent',
    'Received',
    'RTT Min',
    'RTT Avg',
    'RTT Max',
    'Request ID',
)


#: The columns that need a listing, even for guests named by their IDs.
LISTED_COLUMNS = frozenset(
    {'Project ID', 'Datastore', 'Status', 'Last Heartbeat'}
)

# What says nothing new of a single ping.
_OF_SEVERAL = frozenset({'Sent', 'Received', 'RTT Min', 'RTT Avg', 'RTT Max'})

_BEST_FIRST = list(
    map(
        str,
        (
            *(Verdict.REACHABLE, Verdict.UNKNOWN),
            *(Verdict.ERROR, Verdict.UNREACHABLE),
        ),
    )
)

if TYPE_CHECKING:
    _Column = columns.FormattableColumn[float | None]
    _TextColumn = columns.FormattableColumn[str]
else:
    # That of cliff 4.6 takes no type.
    _Column = _TextColumn = columns.FormattableColumn


class Seconds(_Column):
    """A duration: ``31 ms`` for people, a number for machines."""

    def human_readable(self) -> str:
        """Return the duration in a unit that suits it; empty for none."""
        return '' if self._value is None else durations.human(self._value)

    def machine_readable(self) -> Any:
        """Return the seconds; an empty text for none.

        Only the value formatter asks: it would print a None.
        """
        return '' if self._value is None else self._value

    def __lt__(self, other: object) -> bool:
        # cliff cannot sort a None inside a column: none comes last.
        if not isinstance(other, Seconds):
            return NotImplemented
        return self._order() < other._order()

    def _order(self) -> tuple[bool, float]:
        return self._value is None, self._value or 0.0


class Grade(_TextColumn):
    """A verdict, which sorts by how bad it is: the worst comes last."""

    def human_readable(self) -> str:
        """Return the verdict."""
        return self._value

    def __lt__(self, other: object) -> bool:
        # The last rows stand next to the prompt.
        if not isinstance(other, Grade):
            return NotImplemented
        return _BEST_FIRST.index(self._value) < _BEST_FIRST.index(other._value)


def columns_of(arguments: argparse.Namespace) -> list[str]:
    """Return the columns that a command line asks for.

    A column of ``--long`` that is named comes without ``--long``, too.

    :param arguments: with what cliff's Lister adds.
    """
    several = arguments.count is not None or arguments.wait is not None
    picks = arguments.columns or arguments.sort_columns
    if arguments.long:
        # For people; a program finds every column in every run.
        table = arguments.formatter == 'table' and not picks
        return [
            name
            for name in LONG_COLUMNS
            if several or not table or name not in _OF_SEVERAL
        ]
    named = {
        _normal(name) for name in (*arguments.columns, *arguments.sort_columns)
    }
    return [
        name
        for name in LONG_COLUMNS
        if name in COLUMNS or _normal(name) in named
    ]


def mistake_in_columns(arguments: argparse.Namespace) -> str | None:
    """Say which column does not exist; None if all do.

    cliff says so when all guests are pinged, or never.

    :param arguments: with what cliff's Lister adds.
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
    # As cliff compares them.
    return name.lower().strip().replace(' ', '_')


def row(
    target: Target,
    result: PingResult,
    series: Series,
    *,
    formatter: str,
    columns: Sequence[str],
) -> tuple[Any, ...]:
    """Return the row of one guest.

    :param target: what was asked for.
    :param result: what came of it.
    :param series: the pings that it came of.
    :param formatter: the name of cliff's formatter that will print the row.
    :param columns: which of :data:`LONG_COLUMNS`.
    """

    def duration(seconds: float | None) -> Any:
        number = None if seconds is None else round(seconds, 6)
        return Seconds(number) if formatter in ('table', 'value') else number

    # For want of a listing, a row without anything.
    listed = target.instance or Instance('')
    texts: dict[str, str | None] = {
        'ID': target.instance_id,
        'Name': target.name,
        'Project ID': listed.project_id,
        'Datastore': listed.datastore,
        'Status': listed.status,
        'Last Heartbeat': listed.last_heartbeat,
        'Request ID': result.request_id,
    }
    cells: dict[str, Any] = {
        **{key: plaintext.one_line(text or '') for key, text in texts.items()},
        'Verdict': Grade(str(result.verdict)),
        'RTT': duration(result.rtt),
        'Detail': report.detail(result, series),
        'Reason': str(result.reason or ''),
        'Sent': series.sent,
        'Received': series.received,
        'RTT Min': duration(series.shortest),
        'RTT Avg': duration(series.average),
        'RTT Max': duration(series.longest),
    }
    return tuple(cells[column] for column in columns)
