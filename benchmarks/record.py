# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

"""Write picture, tables and figures into a folder."""

import dataclasses
import json
import pathlib

from benchmarks.figures import Figures
from benchmarks.tables import Table


def write(figures: Figures, tables: list[Table], folder: pathlib.Path) -> None:
    """Write everything.

    :param folder: where to; made if it is not there.
    """
    # Not at the top: whoever has no matplotlib hears of it, and how to get
    # it, before anything is measured; see benchmarks.command.
    from benchmarks import picture

    folder.mkdir(parents=True, exist_ok=True)
    picture.draw(figures, folder / 'wall-and-cpu.svg')
    for table in tables:
        (folder / f'{table.name}.csv').write_text(table.csv())
    (folder / 'figures.json').write_text(_json(figures))


def _json(figures: Figures) -> str:
    """Return all of it, a run a line."""
    whole = dataclasses.asdict(figures)
    text = json.dumps(whole, indent=1)
    # An object without another inside is one line.
    return f'{_folded(text)}\n'


def _folded(text: str) -> str:
    lines: list[str] = []
    pending: list[str] = []
    for line in text.split('\n'):
        bare = line.strip()
        if bare in ('{', '[') or bare.endswith((': {', ': [')):
            lines += pending
            pending = [line]
        elif pending and bare.rstrip(',') in ('}', ']'):
            inner = ' '.join(part.strip() for part in pending[1:])
            lines.append(f'{pending[0]}{inner}{bare}')
            pending = []
        elif pending:
            pending.append(line)
        else:
            lines.append(line)
    return '\n'.join(lines + pending)
