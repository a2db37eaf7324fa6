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

"""The first benchmark: the sweep beside other ways to ping many guests."""

import dataclasses
import itertools
import pathlib
import statistics
import sys
import uuid

from benchmarks import nginx
from benchmarks import record
from benchmarks import ways

# The milliseconds that nginx takes for a ping, the pings at once, the guests.
_CASES = ((50, 64, 10_000), (50, 256, 10_000), (0, 64, 10_000), (50, 64, 200))
_QUICK = ((50, 64, 100),)

# A loop is too slow for all guests.
_LOOPED = 50

_HEAD = ['nginx', 'Way', 'Pings a second', 'Time / curl']
_HEAD += ['With start / curl', 'CPU a ping', 'CPU / curl']

# The colours of Okabe and Ito, which the colour-blind can tell apart.
_COLOURS = ('#0072b2', '#009e73', '#d55e00', '#cc79a7', '#e69f00')

# The figures of one job, in each lap, for each way; and of all jobs.
_Laps = list[dict[str, dict[str, float]]]
_Figures = dict[str, _Laps]


def run(folder: pathlib.Path, *, quick: bool) -> None:
    """Measure, print the table, and write all of it into a folder."""
    with nginx.running() as url:
        jobs = [_job(url, *case) for case in (_QUICK if quick else _CASES)]
        figures = _measured(jobs, 1 if quick else 3)
    rows = [
        [name, way, *_cells(laps, way)]
        for name, laps in figures.items()
        for way in ways.WAYS
    ]
    path = folder / 'sweep.json'
    sys.stdout.write(record.publish(path, figures, sweep=(_HEAD, rows)))
    _draw(figures, folder / 'sweep.svg')


def _job(url: str, delay: int, at_once: int, guests: int) -> ways.Job:
    return ways.Job(
        f'{delay} ms, {at_once} at once, {guests:,} guests',
        f'{url}/{delay}/v1.0/project',
        at_once,
        [str(uuid.UUID(int=each)) for each in range(guests)],
    )


def _measured(jobs: list[ways.Job], laps: int) -> _Figures:
    for job in jobs:
        # The server has answered before.
        ways.run(ways.CURL, job)
    figures: _Figures = {job.name: [] for job in jobs}
    for lap, job in itertools.product(range(laps), jobs):
        record.LOG.info('lap %d of %d: %s', lap + 1, laps, job.name)
        few = dataclasses.replace(job, ids=job.ids[:_LOOPED])
        names = list(ways.WAYS)
        figures[job.name].append(
            {
                way: ways.run(way, few if way == ways.LOOP else job)
                # Another way begins each lap.
                for way in names[lap:] + names[:lap]
            }
        )
    return figures


def _cells(laps: _Laps, way: str) -> list[str]:
    wall, cpu = (
        statistics.median(lap[way][figure] for lap in laps)
        for figure in ('wall', 'cpu')
    )
    return [
        f'{1 / wall:,.0f}',
        _spread(_ratios(laps, way, 'wall')),
        # A loop of few pings is mostly start.
        '' if way == ways.LOOP else _spread(_ratios(laps, way, 'process')),
        f'{cpu * 1e6:,.0f} µs',
        _spread(_ratios(laps, way, 'cpu')),
    ]


def _ratios(laps: _Laps, way: str, figure: str) -> list[float]:
    """Return the ratio of a figure to that of curl in each lap."""
    return [lap[way][figure] / lap[ways.CURL][figure] for lap in laps]


def _spread(found: list[float]) -> str:
    middle = statistics.median(found)
    return f'{middle:.2f} ({min(found):.2f} to {max(found):.2f})'


def _draw(figures: _Figures, path: pathlib.Path) -> None:
    """Draw each way's time and CPU time as a multiple of curl's."""
    try:
        from matplotlib import pyplot
    except ImportError:
        record.LOG.info('no picture: matplotlib is not installed')
        return
    # The same figures give the same file.
    pyplot.rcParams['svg.hashsalt'] = 'troveclient-rpcping'
    picture, axes = pyplot.subplots(
        1, 2, figsize=(9, 5), sharey=True, layout='constrained'
    )
    height = 0.8 / len(ways.WAYS)
    for axis, figure in zip(axes, ('wall', 'cpu'), strict=True):
        for number, way in enumerate(ways.WAYS):
            axis.barh(
                [at + number * height for at in range(len(figures))],
                [
                    statistics.median(_ratios(laps, way, figure))
                    for laps in figures.values()
                ],
                height,
                color=_COLOURS[number],
                label=way,
            )
        axis.set_xscale('log')
        axis.xaxis.set_major_formatter('{x:g}')
        axis.axvline(1, color='black', linewidth=0.8)
        axis.grid(axis='x', alpha=0.3)
    axes[0].set_xlabel("time, as a multiple of curl's; less is better")
    axes[1].set_xlabel("CPU time, as a multiple of curl's")
    middle = [at + 2 * height for at in range(len(figures))]
    axes[0].set_yticks(middle, [name.replace(', ', '\n') for name in figures])
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc='outside lower center', ncols=3)
    picture.savefig(path, metadata={'Date': None, 'Creator': None})
