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

"""The ways to ping many guests, each a process of its own."""

from collections.abc import Callable
import dataclasses
import json
import resource
import subprocess
import sys
import time

from benchmarks import record


@dataclasses.dataclass(frozen=True)
class Job:
    """Guests to ping.

    :param name: what the table calls it.
    :param endpoint: the database endpoint.
    :param at_once: how many pings may be in flight.
    :param ids: the IDs of the guests.
    """

    name: str
    endpoint: str
    at_once: int
    ids: list[str]


#: The command of this environment, whatever the PATH is.
OPENSTACK = (sys.executable, '-m', 'openstackclient.shell')


def _client(way: str) -> Callable[[Job], list[str]]:
    program = (sys.executable, '-m', 'benchmarks.client', way)
    return lambda job: [*program, job.endpoint, str(job.at_once)]


def _openstack(job: Job) -> list[str]:
    return [
        *(*OPENSTACK, '--os-auth-type', 'admin_token'),
        *('--os-endpoint', job.endpoint, '--os-token', 'a-token'),
        *('database', 'instance', 'rpc', 'ping', '--from-file', '-'),
        *('--concurrency', str(job.at_once), '-f', 'value', '-c', 'Verdict'),
    ]


def _curl(job: Job) -> list[str]:
    return [
        *('curl', '--disable', '--silent', '--show-error', '--fail-early'),
        *('--parallel', '--parallel-max', str(job.at_once)),
        *('--header', 'X-Auth-Token: a-token'),
        *('--header', 'Accept: application/json'),
        *('--write-out', r'%{http_code}\n', '--config', '-'),
    ]


#: The ways by their names in the table.
CURL, LOOP = 'curl -Z', 'loop of rpc_ping'
WAYS = {
    'rpc_ping_each': _client('sweep'),
    'openstack … --from-file': _openstack,
    CURL: _curl,
    'keystoneauth in threads': _client('threads'),
    LOOP: _client('loop'),
}


def run(way: str, job: Job) -> dict[str, float]:
    """Run a way once; return seconds for each ping.

    ``wall`` is time and ``cpu`` is CPU time. For a client in Python both
    leave out its start, which ``process`` includes.

    :raises benchmarks.record.BenchmarkError: unless every reply was 204.
    """
    begun, cpu = time.monotonic(), _cpu_of_children()
    done = subprocess.run(  # noqa: S603
        WAYS[way](job),
        input=_urls(job) if way == CURL else '\n'.join(job.ids),
        capture_output=True,
        text=True,
    )
    process, cpu = time.monotonic() - begun, _cpu_of_children() - cpu
    words = done.stdout.split()
    # curl prints 204, and only a 204 makes a guest reachable.
    good = words.count('204') + words.count('reachable')
    took = {'good': good, 'wall': process, 'cpu': cpu}
    if done.stdout.startswith('{'):
        took = json.loads(done.stdout)
    pings = len(job.ids)
    if took.pop('good') != pings:
        raise record.BenchmarkError(
            f'{way}: not all of {pings} replies were 204. '
            f'{done.stderr.strip()[-500:]}'
        )
    took['process'] = process
    return {name: round(took[name] / pings, 7) for name in took}


def _urls(job: Job) -> str:
    base = f'{job.endpoint}/mgmt/instances'
    return ''.join(f'url = "{base}/{each}/rpc_ping"\n' for each in job.ids)


def _cpu_of_children() -> float:
    """Return the seconds of CPU of all processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
