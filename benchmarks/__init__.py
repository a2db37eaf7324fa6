# SPDX-License-Identifier: Apache-2.0

"""Benchmarks: how fast a sweep is, and what it does to other callers.

See ``doc/source/contributor/performance.rst``.
"""

import json
import logging
import pathlib
import sys
from typing import Any

import prettytable

#: The folder of the figures that the documentation shows.
RECORDED = (
    pathlib.Path(__file__)
    .parents[1]
    .joinpath('doc', 'source', 'contributor', 'performance')
)

#: The command of this environment, whatever the PATH is.
OPENSTACK = (sys.executable, '-m', 'openstackclient.shell')

#: Reports the progress.
LOG = logging.getLogger('benchmarks')


class BenchmarkError(Exception):
    """Something that the user can act upon, in one line."""


def publish(
    path: pathlib.Path, figures: dict[str, Any], **tables: list[dict[str, str]]
) -> str:
    """Write figures as JSON, and tables as CSV beside it; return the tables.

    A table without rows is left out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + '\n')
    shown = ''
    for name, rows in tables.items():
        if rows:
            table = prettytable.PrettyTable([*rows[0]], align='l')
            table.add_rows([[*row.values()] for row in rows])
            text = table.get_csv_string(lineterminator='\n')
            path.with_name(f'{name}.csv').write_text(text)
            shown += f'{table}\n'
    return shown
