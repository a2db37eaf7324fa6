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

"""The ways to ping many guests: the command line of each, and its proof."""

import abc
import dataclasses
import json
import shlex
import sys
from typing import ClassVar

from benchmarks import measure
from benchmarks.error import BenchmarkError
from benchmarks.measure import Measurement
from benchmarks.programs import Programs
from benchmarks.workload import Workload


@dataclasses.dataclass(frozen=True)
class Run:
    """One measured run.

    :param pings: how many, all of them answered with 204.
    :param call: seconds that the pings took by the word of the client,
        imports not counted; for a command the same as the wall time.
    """

    measurement: Measurement
    pings: int
    call: float


class Way(abc.ABC):
    """One way to ping many guests.

    :param programs: where the programs are.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    #: No more pings than this: too slow for them all.
    most: ClassVar[int | None] = None

    def __init__(self, programs: Programs) -> None:
        self.programs = programs

    @abc.abstractmethod
    def argv(self, work: Workload, concurrency: int) -> list[str]:
        """Return the command line."""

    @abc.abstractmethod
    def good(self, output: str) -> int:
        """Return how many replies were 204, by its output."""

    def call(self, measurement: Measurement) -> float:
        """Return the seconds that the pings took."""
        return measurement.wall

    def run(
        self, work: Workload, concurrency: int, server: int | None = None
    ) -> Run:
        """Run it once.

        :param server: the process ID of the server.
        :raises BenchmarkError: unless every single reply was 204.
        """
        measured = measure.run(
            self.argv(work, concurrency),
            measure.environment(),
            server,
        )
        good = self.good(measured.output)
        if good != work.pings:
            raise BenchmarkError(
                f'{self.label}: {good} of {work.pings} replies were 204'
            )
        return Run(measured, work.pings, self.call(measured))


class _PythonWay(Way):
    """A program in ``benchmarks.clients``."""

    def argv(self, work: Workload, concurrency: int) -> list[str]:
        """Return the command line."""
        argv = [
            *(sys.executable, '-m', f'benchmarks.clients.{self.name}'),
            *('--endpoint', work.endpoint, '--token', work.token),
            *('--ids', str(work.ids), '--concurrency', str(concurrency)),
        ]
        if work.authority:
            argv += ['--ca', str(work.authority)]
        return argv

    def good(self, output: str) -> int:
        """Return how many replies were 204, by its output."""
        return int(json.loads(output)['good'])

    def call(self, measurement: Measurement) -> float:
        """Return the seconds that the pings took."""
        return float(json.loads(measurement.output)['seconds'])


class Sweep(_PythonWay):
    """``rpc_ping_each`` of this project."""

    name = 'sweep'
    label = 'rpc_ping_each'


class Threads(_PythonWay):
    """keystoneauth in a pool of threads."""

    name = 'threads'
    label = 'keystoneauth in threads'


class Curl(Way):
    """``curl --parallel``, with what proves the replies."""

    name = 'curl'
    label = 'curl -Z'

    def argv(self, work: Workload, concurrency: int) -> list[str]:
        """Return the command line."""
        argv = [
            *(self.programs.curl, '--disable', '--silent', '--show-error'),
            *('--no-progress-meter', '--fail-early', '--parallel'),
            *('--parallel-max', str(concurrency)),
            *('--header', f'X-Auth-Token: {work.token}'),
            *('--header', 'Accept: application/json'),
            *('--write-out', r'%{http_code}\n', '--config', str(work.urls)),
        ]
        if work.authority:
            argv += ['--cacert', str(work.authority)]
        return argv

    def good(self, output: str) -> int:
        """Return how many replies were 204, by its output."""
        return output.split('\n').count('204')


class _OpenStackWay(Way):
    """The ``openstack`` command, without a login: as the others have it."""

    def command(self, work: Workload) -> list[str]:
        """Return the command line, up to the words of the command."""
        argv = [
            *(self.programs.openstack, '--os-auth-type', 'admin_token'),
            *('--os-endpoint', work.endpoint, '--os-token', work.token),
        ]
        if work.authority:
            argv += ['--os-cacert', str(work.authority)]
        return [*argv, 'database', 'instance', 'rpc', 'ping']


class OpenStack(_OpenStackWay):
    """The whole command of this project."""

    name = 'openstack'
    label = 'openstack … --from-file'

    def argv(self, work: Workload, concurrency: int) -> list[str]:
        """Return the command line."""
        return [
            *self.command(work),
            *('--from-file', str(work.ids), '-f', 'json'),
            *('--concurrency', str(concurrency)),
        ]

    def good(self, output: str) -> int:
        """Return how many replies were 204, by its output."""
        # Only a 204 makes a guest reachable.
        return sum(row['Verdict'] == 'reachable' for row in json.loads(output))


class Loop(_OpenStackWay):
    """One ``openstack`` command for each guest, one after the other."""

    name = 'loop'
    label = 'loop of openstack'
    most = 5

    def argv(self, work: Workload, concurrency: int) -> list[str]:
        """Return the command line."""
        command = shlex.join(self.command(work))
        ids = shlex.quote(str(work.ids))
        return [
            *('/bin/sh', '-ec'),
            f'while read -r id; do {command} "$id" -f value -c Verdict '
            f'</dev/null; done <{ids}',
        ]

    def good(self, output: str) -> int:
        """Return how many replies were 204, by its output."""
        return output.split('\n').count('reachable')
