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

# mypy: disable-error-code="import-not-found"

"""The picture: wall time and CPU time against the concurrency."""

import pathlib

import matplotlib as mpl
from matplotlib import pyplot

from benchmarks import figures as figures_
from benchmarks import server
from benchmarks.figures import Comparison
from benchmarks.figures import Figures

# Colours that differ for the colour-blind, too (Okabe and Ito), and marks.
_STYLES = {
    'sweep': ('rpc_ping_each (this project)', '#0072b2', 'o'),
    'openstack': ('openstack … rpc ping --from-file', '#009e73', 's'),
    'curl': ('curl -Z', '#d55e00', '^'),
    'threads': ('keystoneauth in threads', '#cc79a7', 'D'),
}


def draw(figures: Figures, path: pathlib.Path) -> None:
    """Draw it as SVG.

    :param path: where to.
    """
    # The same figures shall give the same file.
    mpl.rcParams['svg.hashsalt'] = 'troveclient-rpcping'
    mpl.rcParams['font.size'] = 9
    figure, axes = pyplot.subplots(
        2, 2, figsize=(9, 7), sharex=True, sharey='row', layout='constrained'
    )
    for column, delay in enumerate(server.DELAYS):
        cases = [one for one in figures.sweeps() if one.case.delay_ms == delay]
        _wall(axes[0][column], cases, figures)
        _cpu(axes[1][column], cases, figures)
        axes[0][column].set_title(f'{delay} ms a ping')
        axes[1][column].set_xlabel('pings at once')
    axes[0][0].set_ylabel('seconds for 10,000 pings')
    axes[1][0].set_ylabel('µs of CPU a ping')
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=2)
    figure.suptitle('Solid: HTTP, dashed: HTTPS; less is better')
    figure.savefig(path, metadata={'Date': None, 'Creator': None})
    pyplot.close(figure)


def _wall(
    axis: pyplot.Axes, cases: list[Comparison], figures: Figures
) -> None:
    for way, (label, colour, mark) in _STYLES.items():
        for tls in (False, True):
            points = [
                (
                    one.case.concurrency,
                    one.spread(way, figures.scaled(one.case)).median,
                )
                for one in cases
                if one.case.tls == tls and one.of(way)
            ]
            _line(axis, points, None if tls else label, colour, mark, tls)
    _logarithmic(axis)


def _cpu(axis: pyplot.Axes, cases: list[Comparison], figures: Figures) -> None:
    for way, (_, colour, mark) in _STYLES.items():
        for tls in (False, True):
            points = [
                (
                    one.case.concurrency,
                    one.spread(way, figures.ping_cpu(one.case)).median * 1e6,
                )
                for one in cases
                if one.case.tls == tls
                and one.of(way)
                and figures_.tells_cpu(one.case)
            ]
            _line(axis, points, None, colour, mark, tls)
    _logarithmic(axis)


def _line(
    axis: pyplot.Axes,
    points: list[tuple[int, float]],
    label: str | None,
    colour: str,
    mark: str,
    dashed: bool,
) -> None:
    axis.plot(
        [x for x, _ in points],
        [y for _, y in points],
        label=label,
        color=colour,
        marker=mark,
        markersize=4,
        linestyle='--' if dashed else '-',
    )


def _logarithmic(axis: pyplot.Axes) -> None:
    axis.set_xscale('log', base=2)
    axis.set_yscale('log')
    axis.set_xticks([1, 64, 256], ['1', '64', '256'])
    axis.minorticks_off()
    axis.grid(visible=True, alpha=0.3)
    axis.yaxis.set_major_formatter('{x:,.6g}')
