# SPDX-License-Identifier: Apache-2.0

"""The columns and rows of the ping command, as a table or as records."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Sequence
import os
import textwrap
from typing import Any
from typing import TYPE_CHECKING

from cliff import columns as cliff_columns

from troveclient_rpcping import durations
from troveclient_rpcping import inventory
from troveclient_rpcping import plaintext
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.osc import report
from troveclient_rpcping.outcomes import outcome as outcomes

COLUMNS = ('ID', 'Name', 'Verdict', 'RTT', 'Detail')

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
    *(verdicts.Verdict.REACHABLE, verdicts.Verdict.UNKNOWN),
    *(verdicts.Verdict.ERROR, verdicts.Verdict.UNREACHABLE),
)

if TYPE_CHECKING:
    _Column = cliff_columns.FormattableColumn[tuple[Any, Any]]
else:
    # The class of cliff 4.6 is not generic.
    _Column = cliff_columns.FormattableColumn


class Seconds(_Column):
    """A duration: ``31 ms`` for people, a number for machines.

    cliff cannot sort a None inside a column, so the value of the column is a
    pair. A None comes last.
    """

    def __init__(self, seconds: float | None):
        super().__init__((seconds is None, seconds or 0.0))

    def human_readable(self) -> str:
        """Return the duration in a unit that suits it; empty for none."""
        is_none, seconds = self._value
        return '' if is_none else durations.human(seconds)

    def machine_readable(self) -> Any:
        """Return the seconds; an empty text for none.

        Only the value formatter calls this method. It would print a None.
        """
        is_none, seconds = self._value
        return '' if is_none else seconds


class Grade(_Column):
    """A verdict; verdicts sort from the best to the worst.

    The last rows stand next to the prompt, so the worst come last.
    """

    def __init__(self, verdict: verdicts.Verdict):
        super().__init__((_BEST_FIRST.index(verdict), verdict.value))

    def human_readable(self) -> str:
        """Return the verdict."""
        return str(self._value[1])

    def machine_readable(self) -> Any:
        """Return the verdict."""
        return self._value[1]


def _listed(outcome: outcomes.Outcome) -> inventory.Instance:
    # Without a listing, the cells from it are empty.
    return outcome.target.instance or inventory.Instance('')


def _server(outcome: outcomes.Outcome) -> inventory.Server:
    return _listed(outcome).server or inventory.Server()


# The cell of each column. None stands for an empty one.
_CELLS: dict[str, Callable[[outcomes.Outcome], Any]] = {
    'ID': lambda each: each.target.instance_id,
    'Name': lambda each: each.target.name,
    'Verdict': lambda each: Grade(each.result.verdict),
    'RTT': lambda each: each.result.rtt,
    'Detail': report.detail,
    'Reason': lambda each: str(each.result.reason or ''),
    'Project ID': lambda each: _listed(each).project_id,
    'Datastore': lambda each: _listed(each).datastore,
    'Status': lambda each: _listed(each).status,
    'Last Heartbeat': lambda each: _listed(each).last_heartbeat,
    'Server ID': lambda each: _server(each).id,
    'Host': lambda each: _server(each).host,
    'Server Status': lambda each: _server(each).status,
    'Sent': lambda each: each.series.sent,
    'Received': lambda each: each.series.received,
    'RTT Min': lambda each: each.series.shortest,
    'RTT Avg': lambda each: each.series.average,
    'RTT Max': lambda each: each.series.longest,
    'Request ID': lambda each: each.result.request_id,
}
LONG_COLUMNS = tuple(_CELLS)


def columns_of(arguments: argparse.Namespace) -> list[str]:
    """Return the columns that a command line asks for.

    A column of ``--long`` that the user names needs no ``--long``.
    """
    named = {*arguments.columns, *arguments.sort_columns}
    if arguments.long:
        several = arguments.count is not None or arguments.wait is not None
        # People need no empty columns. Programs get every column each time.
        brief = arguments.formatter == 'table' and not named and not several
        return [c for c in LONG_COLUMNS if not brief or c not in _OF_SEVERAL]
    return [c for c in LONG_COLUMNS if c in COLUMNS or c in named]


def name_columns(arguments: argparse.Namespace) -> str | None:
    """Write the names of columns in full: old versions of cliff need that.

    :returns: the mistake, if a column does not exist. cliff would report it
        after the pings, or never.
    """
    full = {_normal(name): name for name in LONG_COLUMNS}
    for names in (arguments.columns, arguments.sort_columns):
        for index, name in enumerate(names):
            if _normal(name) not in full:
                return (
                    f'there is no column {plaintext.quoted(name)}: give one '
                    f'of {", ".join(LONG_COLUMNS)}'
                )
            names[index] = full[_normal(name)]
    return None


def _normal(name: str) -> str:
    # New versions of cliff compare the names of columns in this form.
    return name.lower().strip().replace(' ', '_')


def row(
    outcome: outcomes.Outcome, *, formatter: str, columns: Sequence[str]
) -> tuple[Any, ...]:
    """Return the row of one guest.

    :param formatter: the name of cliff's formatter that will print the row.
    :param columns: which of :data:`LONG_COLUMNS`.
    """
    cells = []
    for name in columns:
        cell = _CELLS[name](outcome)
        if name.startswith('RTT'):
            cell = None if cell is None else round(cell, 6)
            # Other formatters print a None as a null, or as nothing.
            if formatter in ('table', 'value'):
                cell = Seconds(cell)
        elif cell is None:
            cell = ''
        cells.append(cell)
    return tuple(cells)


def records(
    names: Sequence[str], rows: Sequence[Sequence[Any]], stream: Any
) -> str:
    """Return rows as lines if cliff's table of them is too wide.

    Each row becomes lines of a name and a value, without empty values.

    :param stream: the lines go there. Only a terminal has a width.
    :returns: the lines; empty if the table is not too wide.
    """
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return ''
    table = 1
    for name, *cells in zip(names, *rows, strict=True):
        table += 3 + max(len(str(cell)) for cell in (name, *cells))
    if not width or table <= width:
        return ''
    return '\n\n'.join(_record(names, cells, width) for cells in rows)


def _record(names: Sequence[str], cells: Sequence[Any], width: int) -> str:
    label = max(map(len, names)) + 2
    lines = []
    for name, cell in zip(names, cells, strict=True):
        lines += textwrap.wrap(
            str(cell),
            max(width, label + 20),
            initial_indent=f'{name:<{label}}',
            subsequent_indent=' ' * label,
            break_on_hyphens=False,
        )
    return '\n'.join(lines)
