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

"""The same comparison with a real trove-api, and the commands for one guest.

The sandbox has a real Keystone and a real trove-api; see sandbox/README.rst.
"""

from collections.abc import Callable
import pathlib
import subprocess

from benchmarks import measure
from benchmarks import workload
from benchmarks.figures import Comparison
from benchmarks.plan import Case
from benchmarks.plan import Plan
from benchmarks.programs import Programs
from benchmarks.race import once_each
from benchmarks.race import Race
from benchmarks.ways import Way
from benchmarks.workload import Workload
from sandbox import Sandbox

# A minute's GETs: more than a sweep can send. The rate limit is another
# matter, and the same for every way.
_NO_LIMIT = 10_000_000


def measured(
    plan: Plan,
    ways: list[Way],
    programs: Programs,
    folder: pathlib.Path,
    say: Callable[[str], None],
) -> tuple[list[Comparison], list[tuple[float, float]]]:
    """Return the comparison, and the seconds of the commands for one.

    :raises BenchmarkError: if a reply was not 204.
    :raises sandbox.SandboxError: if the sandbox does not start.
    """
    guests = max(case.pings for case in plan.cloud)
    say('starting the sandbox')
    with Sandbox(guests=guests, rate_limit=_NO_LIMIT) as box:
        ids = [
            guest.id
            for name, guest in sorted(box.guests.items())
            if name.startswith('guest-')
        ]
        issued, project = token(programs.openstack, box.env())
        endpoint = f'{box.trove_url}/v1.0/{project}'

        def make(case: Case, pings: int, into: pathlib.Path) -> Workload:
            return workload.write(into, endpoint, ids[:pings], token=issued)

        prepare = once_each(make, folder)
        say('warming up: each guest once')
        case = plan.cloud[0]
        for way in ways:
            way.run(prepare(case, case.pings), case.concurrency)
        race = Race(plan, prepare, None, say)
        compared = race.run(plan.cloud, ways)
        say('one instance: ping and show')
        return compared, _single(programs, box, ids[0], plan.single)


def token(openstack: str, env: dict[str, str]) -> tuple[str, str]:
    """Log in; return a token, and its project.

    :param openstack: the command.
    :param env: its environment, which says who logs in where.
    """
    issued = subprocess.run(  # noqa: S603
        [
            *(openstack, 'token', 'issue', '-f', 'value'),
            *('-c', 'id', '-c', 'project_id'),
        ],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    issued_token, project = issued.stdout.split()
    return issued_token, project


def _single(
    programs: Programs, box: Sandbox, instance_id: str, runs: int
) -> list[tuple[float, float]]:
    """Time ping and show in turn: whole commands, each with its login."""
    database = [programs.openstack, 'database', 'instance']
    ping = [*database, 'rpc', 'ping', instance_id]
    show = [*database, 'show', instance_id]
    env = box.env()
    for argv in (ping, show):
        measure.run(argv, env)
    seconds = []
    for lap in range(runs):
        pair = {}
        for argv in (ping, show) if lap % 2 else (show, ping):
            pair[argv is ping] = measure.run(argv, env).wall
        seconds.append((pair[True], pair[False]))
    return seconds
