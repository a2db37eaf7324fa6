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

"""The figures as tables: for the terminal, and for the documentation."""

import csv
import dataclasses
import io
import statistics

from benchmarks import figures as figures_
from benchmarks import race
from benchmarks import ways
from benchmarks.figures import Comparison
from benchmarks.figures import Figures
from benchmarks.figures import Sample
from benchmarks.figures import Spread
from benchmarks.targets import targets

_LABELS = {
    way.name: way.label
    for way in (
        ways.Sweep,
        ways.OpenStack,
        ways.Curl,
        ways.Threads,
        ways.Loop,
    )
}


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of text below a head.

    :param name: of its file.
    """

    name: str
    title: str
    head: list[str]
    rows: list[list[str]]

    def text(self) -> str:
        """Return it for a terminal."""
        lines = [self.head, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = [
            '  '.join(
                cell.ljust(width)
                for cell, width in zip(line, widths, strict=True)
            ).rstrip()
            for line in lines
        ]
        rule = '  '.join('-' * width for width in widths)
        return '\n'.join([self.title, '', aligned[0], rule, *aligned[1:], ''])

    def csv(self) -> str:
        """Return it for Sphinx's ``csv-table``."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator='\n')
        writer.writerows([self.head, *self.rows])
        return out.getvalue()


def tables(figures: Figures) -> list[Table]:
    """Return all tables."""
    made = [
        _targets(figures),
        _cases('cases', 'Against nginx', figures, figures.sweeps()),
        _capacities(figures),
        _machine(figures),
    ]
    if figures.cloud:
        title = 'Against the real trove-api'
        made.insert(2, _cases('cloud', title, figures, figures.cloud))
    return made


def _targets(figures: Figures) -> Table:
    rows = []
    for target in targets(figures):
        unit = f' {target.unit}' if target.unit else ''
        rows.append(
            [
                target.what,
                f'{target.wanted:.3f}{unit}',
                f'{target.reached.median:.3f}{unit}',
                _extremes(target.reached),
                'yes' if target.met else 'NO',
                target.note,
            ]
        )
    head = ['Target', 'At most', 'Reached', 'Extremes', 'Met', 'Where']
    return Table('targets', 'Targets', head, rows)


def _cases(
    name: str, title: str, figures: Figures, cases: list[Comparison]
) -> Table:
    head = [
        'Delay',
        'At once',
        'TLS',
        'Way',
        'Process',
        '10,000 pings',
        'to curl',
        'CPU a ping',
        'to curl',
        'Memory',
        'Server',
        'Runs',
    ]
    rows = [
        _row(figures, one, way)
        for one in cases
        for way in _LABELS
        if one.of(way)
    ]
    return Table(name, title, head, rows)


def _row(figures: Figures, one: Comparison, way: str) -> list[str]:
    case = one.case
    runs = one.of(way)
    cpu = figures.ping_cpu(case)
    scaled = figures.scaled(case)
    tells = figures_.tells_cpu(case) or way == 'loop'
    compares = figures_.tells_cpu(case) and way != 'loop'
    return [
        '' if case.delay_ms is None else f'{case.delay_ms} ms',
        str(case.concurrency),
        'yes' if case.tls else 'no',
        _LABELS[way],
        f'{one.spread(way, figures_.wall).median:.2f} s',
        f'{one.spread(way, scaled).median:,.2f} s',
        _ratio(one.against(way, 'curl', scaled)),
        f'{one.spread(way, cpu).median * 1e6:,.0f} µs' if tells else '',
        _ratio(one.against(way, 'curl', cpu)) if compares else '',
        f'{max(run.rss for run in runs) / 1e6:.0f} MB',
        _share(one.spread(way, _server)) if case.delay_ms is not None else '',
        f'{len(runs)} × {runs[0].pings:,}',
    ]


def _server(sample: Sample) -> float:
    return sample.server


def _capacities(figures: Figures) -> Table:
    rows = [
        [
            f'{capacity.delay_ms} ms',
            'yes' if capacity.tls else 'no',
            str(capacity.connections),
            f'{capacity.per_second:,.0f}',
            f'{_fastest(figures, capacity.delay_ms, capacity.tls):,.0f}',
        ]
        for capacity in figures.capacities
    ]
    head = [
        'Delay',
        'TLS',
        'Connections',
        'Server: requests a second (wrk)',
        'Fastest client: pings a second',
    ]
    return Table('capacity', 'What the server can do', head, rows)


def _fastest(figures: Figures, delay: int, tls: bool) -> float:
    return max(
        1 / figures_.ping_call(sample)
        for one in figures.sweeps()
        if (one.case.delay_ms, one.case.tls) == (delay, tls)
        for sample in one.samples
    )


def _machine(figures: Figures) -> Table:
    # Only against nginx: with the sandbox, the others are the server.
    shares = [
        sample.foreign for one in figures.cases for sample in one.samples
    ]
    disturbed = sum(share > race.QUIET for share in shares)
    rows = [
        *(list(item) for item in figures.machine.items()),
        [
            'CPU of other processes during a run against nginx',
            f'{statistics.median(shares):.0%} of a core (median), '
            f'{max(shares):.0%} at the most',
        ],
        [
            f'Runs that they disturbed (more than {race.QUIET:.0%})',
            f'{disturbed} of {len(shares)}',
        ],
    ]
    return Table('machine', 'The machine', ['What', 'Which'], rows)


def _share(spread: Spread) -> str:
    return f'{spread.median:.0%}'


def _ratio(spread: Spread | None) -> str:
    return '' if spread is None else f'{spread.median:.2f}'


def _extremes(spread: Spread) -> str:
    return f'{spread.least:.3f} to {spread.most:.3f}'
