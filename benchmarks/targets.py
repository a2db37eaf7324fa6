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

"""What was to be reached, and what was."""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses

from benchmarks import figures as figures_
from benchmarks import race
from benchmarks.figures import Comparison
from benchmarks.figures import Figures
from benchmarks.figures import Spread

_MB = 1_000_000


@dataclasses.dataclass(frozen=True)
class Target:
    """One of them.

    :param what: what of it.
    :param wanted: the most that it may be.
    :param reached: what it is: the median, and the extremes.
    :param unit: of both; empty for a ratio.
    :param note: where, and what else there is to know.
    """

    what: str
    wanted: float
    reached: Spread
    unit: str
    note: str

    @property
    def met(self) -> bool:
        """Whether it was reached, by the median."""
        return self.reached.median <= self.wanted


def targets(figures: Figures) -> Iterator[Target]:
    """Yield each target that the figures tell something about."""
    yield from _walls(figures)
    yield from _cpu(figures)
    yield from _memory(figures)
    yield from _command(figures)
    yield from _single(figures)
    yield from _cloud(figures)


def _walls(figures: Figures) -> Iterator[Target]:
    wanted = {64: 1.05, 256: 1.10}
    for one in figures.sweeps():
        case = one.case
        if case.delay_ms != 50 or case.concurrency not in wanted:
            continue
        yield from _time(one, wanted[case.concurrency])


def _cloud(figures: Figures) -> Iterator[Target]:
    for one in figures.cloud:
        yield from _time(one, 1.05)


def _time(one: Comparison, wanted: float) -> Iterator[Target]:
    """Yield both readings: of the call, and of the whole process."""
    for what, figure in (
        ('Wall time of the sweep / curl -Z', figures_.ping_call),
        ('The same, the start of Python included', figures_.wall),
    ):
        ratio = one.against('sweep', 'curl', figure)
        if ratio:
            yield Target(what, wanted, ratio, '', race.describe(one.case))


def _cpu(figures: Figures) -> Iterator[Target]:
    for other, label, wanted in (
        ('curl', 'curl -Z', 2.5),
        ('threads', 'keystoneauth in threads', 1 / 6),
    ):
        yield from _worst(
            f'CPU time of a ping / {label}',
            wanted,
            '',
            [one for one in figures.sweeps() if figures_.tells_cpu(one.case)],
            lambda one, other=other: one.against(  # type: ignore[misc]
                'sweep', other, figures.ping_cpu(one.case)
            ),
        )


def _command(figures: Figures) -> Iterator[Target]:
    yield from _worst(
        'The whole openstack command − curl -Z',
        3.0,
        's',
        figures.sweeps(),
        lambda one: one.against(
            'openstack', 'curl', figures_.wall, lambda a, b: a - b
        ),
    )


def _worst(
    what: str,
    wanted: float,
    unit: str,
    cases: list[Comparison],
    figure: Callable[[Comparison], Spread | None],
) -> Iterator[Target]:
    found = [(figure(one), race.describe(one.case)) for one in cases]
    known = [(spread, where) for spread, where in found if spread]
    if known:
        spread, where = max(known, key=lambda pair: pair[0].median)
        yield Target(
            what, wanted, spread, unit, f'the worst of all cases: {where}'
        )


def _memory(figures: Figures) -> Iterator[Target]:
    few, many = min(figures.memory), max(figures.memory)
    more = (figures.memory[many] - figures.memory[few]) / _MB
    yield Target(
        'Memory of the sweep, more for many pings',
        10.0,
        Spread.of([more]),
        'MB',
        f'{many:,} pings ({figures.memory[many] / _MB:.1f} MB) against '
        f'{few:,} ({figures.memory[few] / _MB:.1f} MB)',
    )


def _single(figures: Figures) -> Iterator[Target]:
    if figures.single:
        yield Target(
            'openstack … rpc ping ID / openstack … show ID',
            1.05,
            Spread.of([ours / show for ours, show in figures.single]),
            '',
            f'trove-api, {len(figures.single)} runs of each, whole commands',
        )
