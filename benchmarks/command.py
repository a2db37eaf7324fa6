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

"""``python -m benchmarks``: everything in one go."""

from collections.abc import Callable
import importlib.util
import os
import pathlib
import signal
import sys
import tempfile
import time

from benchmarks import arguments
from benchmarks import capacity
from benchmarks import cloud
from benchmarks import machine
from benchmarks import memory
from benchmarks import neighbours
from benchmarks import plan as plan_
from benchmarks import programs as programs_
from benchmarks import record
from benchmarks import server as server_
from benchmarks import tables as tables_
from benchmarks import ways
from benchmarks import workload
from benchmarks.error import BenchmarkError
from benchmarks.figures import Figures
from benchmarks.plan import Case
from benchmarks.programs import Programs
from benchmarks.race import once_each
from benchmarks.race import Race
from benchmarks.workload import Workload
from sandbox.error import SandboxError


def main(argv: list[str]) -> int:
    """Run what the command line says; return the exit status."""
    # What is under way is cleaned up on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if argv[:1] == ['neighbours']:
        return neighbours.main(argv[1:], _teller())
    said = arguments.parse(argv)
    plan = plan_.quick() if said.quick else plan_.full()
    try:
        _require_matplotlib()
        programs = programs_.find()
        with tempfile.TemporaryDirectory(prefix='rpcping-bench-') as name:
            figures = _measure(
                plan, programs, pathlib.Path(name), sandbox=said.sandbox
            )
    except (BenchmarkError, SandboxError) as exc:
        sys.stderr.write(f'{exc}\n')
        return 1
    except KeyboardInterrupt:
        return 130
    made = tables_.tables(figures)
    for table in made:
        sys.stdout.write(f'{table.text()}\n')
    record.write(figures, made, said.folder)
    if said.quick:
        sys.stdout.write('A quick run: distrust its figures.\n')
    shown = os.path.relpath(said.folder)
    sys.stdout.write(f'Picture, tables and figures: {shown}\n')
    return 0


def _require_matplotlib() -> None:
    if importlib.util.find_spec('matplotlib') is None:
        raise BenchmarkError(
            'Missing: matplotlib, for the picture. Run tox -e bench, or\n'
            '    python -m pip install -r benchmarks/requirements.txt'
        )


def _measure(
    plan: plan_.Plan,
    programs: Programs,
    folder: pathlib.Path,
    *,
    sandbox: bool,
) -> Figures:
    say = _teller()
    sweep = ways.Sweep(programs)
    racing: list[ways.Way] = [
        sweep,
        ways.OpenStack(programs),
        ways.Curl(programs),
        ways.Threads(programs),
        ways.Loop(programs),
    ]
    with server_.running(programs) as server:
        say('what the server can do')
        capacities = [
            capacity.measured(
                programs.wrk, server, delay, tls=tls, seconds=plan.load_seconds
            )
            for delay in server_.DELAYS
            for tls in (False, True)
        ]
        prepare = once_each(_maker(server), folder)
        _warm_up(plan.cases[0], racing, prepare)
        cases = Race(plan, prepare, server.pid, say).run(plan.cases, racing)
        say('memory')
        grown = memory.measured(sweep, server, plan.memory, folder)
    compared, single = (
        cloud.measured(plan, racing[:-1], programs, folder, say)
        if sandbox
        else ([], [])
    )
    return Figures(
        machine=machine.description(programs),
        capacities=capacities,
        cases=cases,
        cloud=compared,
        memory=grown,
        single=single,
    )


def _maker(
    server: server_.Server,
) -> Callable[[Case, int, pathlib.Path], Workload]:
    def make(case: Case, pings: int, into: pathlib.Path) -> Workload:
        return workload.write(
            into,
            server.endpoint(case.delay_ms or 0, case.tls),
            workload.invented_ids(pings),
            authority=server.authority if case.tls else None,
        )

    return make


def _warm_up(
    case: Case,
    racing: list[ways.Way],
    prepare: Callable[[Case, int], Workload],
) -> None:
    """Let every way read its files once, and Python compile what it must."""
    for way in racing:
        way.run(prepare(case, 1), case.concurrency)


def _teller() -> Callable[[str], None]:
    start = time.monotonic()

    def say(line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - start), 60)
        sys.stderr.write(f'{minutes:2}:{seconds:02} {line}\n')

    return say
