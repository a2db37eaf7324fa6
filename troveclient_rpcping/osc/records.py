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

"""Rows as lines, in place of a table that is wider than the terminal."""

from __future__ import annotations

from collections.abc import Sequence
import os
import textwrap
from typing import Any


def instead(
    stream: Any, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> str:
    """Return rows as lines if the table is too wide; otherwise an empty text.

    :param stream: where the table would be printed.
    :param names: the names of the columns.
    :param rows: the cells; at least one row.
    """
    width = width_of(stream)
    if width is None or table_width(names, rows) <= width:
        return ''
    return text(names, rows, width)


def width_of(stream: Any) -> int | None:
    """Return the width of a terminal in columns; None for other streams."""
    try:
        if not stream.isatty():
            return None
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError, AttributeError):
        return None


def table_width(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
    """Return the width of a table of cliff, in columns of a terminal."""
    longest = [
        max(len(name), *(len(str(row[index])) for row in rows))
        for index, name in enumerate(names)
    ]
    return sum(length + 3 for length in longest) + 1


def text(
    names: Sequence[str], rows: Sequence[Sequence[Any]], width: int
) -> str:
    """Return each row as lines of a name and a value, without empty values.

    :param names: the names of the columns.
    :param rows: the cells.
    :param width: the longest line, in characters.
    """
    label = max(map(len, names)) + 2
    records = []
    for row in rows:
        lines = []
        for name, cell in zip(names, row, strict=True):
            value = str(cell)
            if value:
                lines += textwrap.wrap(
                    value,
                    max(width, label + 20),
                    initial_indent=f'{name:<{label}}',
                    subsequent_indent=' ' * label,
                    break_on_hyphens=False,
                )
        records.append('\n'.join(lines))
    return '\n\n'.join(records)
