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

"""The ways side by side: A B C D, then B C D A, again and again."""

from collections.abc import Callable
import itertools
import pathlib

from benchmarks.figures import Comparison
from benchmarks.figures import Sample
from benchmarks.plan import Case
from benchmarks.plan import Plan
from benchmarks.ways import Run
from benchmarks.ways import Way
from benchmarks.workload import Workload

#: The share of a core that other processes may use during a run.
QUIET = 0.15

# How many times a run that they disturbed is made again, at the most.
_REPEATS = 2


class Race:
    """Runs every way in every case, interleaved over the whole time.

    :param plan: how many times.
    :param prepare: makes the workload of a case with so many pings.
    :param server: the process ID of the server.
    :param say: is told what is going on.
    """

    def __init__(
        self,
        plan: Plan,
        prepare: Callable[[Case, int], Workload],
        server: int | None,
        say: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._patience = plan.patience
        self._prepare = prepare
        self._server = server
        self._say = say

    def run(self, cases: list[Case], ways: list[Way]) -> list[Comparison]:
        """Return a comparison for each case.

        :raises BenchmarkError: if a reply was not 204.
        """
        compared = [Comparison(case, []) for case in cases]
        rounds = max(case.rounds for case in cases)
        for lap, comparison in itertools.product(range(rounds), compared):
            case = comparison.case
            if lap >= case.rounds:
                continue
            racing = [way for way in ways if self._races(way, case, lap)]
            turn = lap % len(racing) if racing else 0
            self._say(f'round {lap + 1} of {rounds}: {describe(case)}')
            for way in racing[turn:] + racing[:turn]:
                run = self._quiet_run(way, case)
                comparison.samples.append(Sample.of(way.name, lap, run))
        return compared

    def _races(self, way: Way, case: Case, lap: int) -> bool:
        if lap >= self._plan.rounds[way.name]:
            return False
        # One after the other is what a loop is; TLS makes no difference.
        return way.most is None or (
            case.concurrency == 1 and case.pings > 1 and not case.tls
        )

    def _quiet_run(self, way: Way, case: Case) -> Run:
        """Run; again, if other processes disturbed it."""
        pings = min(case.pings, way.most or case.pings)
        work = self._prepare(case, pings)
        best = way.run(work, case.concurrency, self._server)
        for _ in range(_REPEATS):
            if best.measurement.foreign <= QUIET or self._patience <= 0:
                break
            again = way.run(work, case.concurrency, self._server)
            self._patience -= again.measurement.wall
            best = min(best, again, key=lambda run: run.measurement.foreign)
        return best


def describe(case: Case) -> str:
    """Say what a case is, in a few words."""
    delay = 'trove-api' if case.delay_ms is None else f'{case.delay_ms} ms'
    scheme = ', TLS' if case.tls else ''
    return f'{delay}, {case.concurrency} at once{scheme}, {case.pings} pings'


def once_each(
    make: Callable[[Case, int, pathlib.Path], Workload], folder: pathlib.Path
) -> Callable[[Case, int], Workload]:
    """Make workloads only once, each in a folder of its own."""
    made: dict[tuple[int | None, bool, int], Workload] = {}

    def prepare(case: Case, pings: int) -> Workload:
        key = (case.delay_ms, case.tls, pings)
        if key not in made:
            name = f'{case.delay_ms}-{case.tls:d}-{pings}'
            made[key] = make(case, pings, folder / name)
        return made[key]

    return prepare
