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

"""What was measured, and what follows from it."""

from collections.abc import Callable
import dataclasses
import statistics
from typing import Self

from benchmarks.capacity import Capacity
from benchmarks.plan import Case
from benchmarks.ways import Run

# Fewer pings than this say nothing about the CPU time of one: the start of
# Python varies by more.
_ENOUGH = 1000

# Times are given for so many pings.
_SCALE = 10_000


@dataclasses.dataclass(frozen=True)
class Sample:
    """One run of a way, as it is recorded.

    :param way: its name.
    :param lap: in which round.
    :param pings: how many.
    :param wall: seconds, of the process.
    :param call: seconds, of the pings by the word of the client.
    :param cpu: seconds, of the process.
    :param rss: bytes, of the process.
    :param foreign: share of a core that other processes used meanwhile.
    :param server: share of a core that the server used meanwhile.
    """

    way: str
    lap: int
    pings: int
    wall: float
    call: float
    cpu: float
    rss: int
    foreign: float
    server: float

    @classmethod
    def of(cls, way: str, lap: int, run: Run) -> Self:
        """Take what is recorded of a run."""
        measured = run.measurement
        return cls(
            way=way,
            lap=lap,
            pings=run.pings,
            wall=round(measured.wall, 4),
            call=round(run.call, 4),
            cpu=round(measured.cpu, 4),
            rss=measured.rss,
            foreign=round(measured.foreign, 3),
            server=round(measured.server, 3),
        )


@dataclasses.dataclass(frozen=True)
class Spread:
    """A figure of several runs."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Self:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All runs in one case."""

    case: Case
    samples: list[Sample]

    def ways(self) -> list[str]:
        """Return the ways that took part, in the order of their names."""
        return sorted({sample.way for sample in self.samples})

    def of(self, way: str) -> list[Sample]:
        """Return the runs of one way."""
        return [sample for sample in self.samples if sample.way == way]

    def spread(self, way: str, figure: Callable[[Sample], float]) -> Spread:
        """Return a figure of one way."""
        return Spread.of([figure(sample) for sample in self.of(way)])

    def against(
        self,
        way: str,
        other: str,
        figure: Callable[[Sample], float],
        compare: Callable[[float, float], float] = lambda a, b: a / b,
    ) -> Spread | None:
        """Compare two ways run by run: each with its neighbour in time.

        :param figure: what of them.
        :param compare: by default, the ratio.
        :returns: None if they never ran in the same round.
        """
        others = {sample.lap: figure(sample) for sample in self.of(other)}
        values = [
            compare(figure(sample), others[sample.lap])
            for sample in self.of(way)
            if sample.lap in others
        ]
        return Spread.of(values) if values else None


@dataclasses.dataclass(frozen=True)
class Figures:
    """Everything.

    :param machine: what it ran on, and with which versions.
    :param capacities: what the server can do.
    :param cases: against nginx.
    :param cloud: against the real trove-api.
    :param memory: bytes of the sweep at most, by the number of pings.
    :param single: seconds of the commands for one instance, in pairs: ours,
        and ``openstack database instance show``.
    """

    machine: dict[str, str]
    capacities: list[Capacity]
    cases: list[Comparison]
    cloud: list[Comparison]
    memory: dict[int, int]
    single: list[tuple[float, float]]

    def sweeps(self) -> list[Comparison]:
        """Return the cases that are more than a start-up."""
        return [one for one in self.cases if one.case.pings > 1]

    def _start(
        self, way: str, tls: bool, figure: Callable[[Sample], float]
    ) -> float:
        """Return a figure of a run with a single ping; 0 if there is none."""
        runs = [
            figure(sample)
            for one in self.cases
            if one.case.pings == 1 and one.case.tls == tls
            for sample in one.of(way)
        ]
        return statistics.median(runs) if runs else 0.0

    def ping_cpu(self, case: Case) -> Callable[[Sample], float]:
        """Return what gives the CPU time of a ping, in seconds.

        That is without the start-up: the CPU time of a run with a single
        ping is taken off. A loop of commands has none to take off.
        """

        def figure(sample: Sample) -> float:
            start = self._start(sample.way, case.tls, lambda one: one.cpu)
            if not start:
                return sample.cpu / sample.pings
            return (sample.cpu - start) / (sample.pings - 1)

        return figure

    def scaled(self, case: Case) -> Callable[[Sample], float]:
        """Return what gives the seconds for 10,000 pings.

        With as many pings that is the time that they took. With fewer, all
        but the start-up is scaled; a loop of commands has none.
        """

        def figure(sample: Sample) -> float:
            start = self._start(sample.way, case.tls, lambda one: one.call)
            if not start:
                return sample.call / sample.pings * _SCALE
            each = (sample.call - start) / (sample.pings - 1)
            return start + each * (_SCALE - 1)

        return figure


def tells_cpu(case: Case) -> bool:
    """Whether a case has enough pings to tell the CPU time of one."""
    return case.pings >= _ENOUGH


def ping_call(sample: Sample) -> float:
    """Return the seconds of a ping, the start-up of Python not counted."""
    return sample.call / sample.pings


def wall(sample: Sample) -> float:
    """Return the seconds of the whole process."""
    return sample.wall
