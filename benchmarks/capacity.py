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

"""Show that the server is not the bottleneck: wrk, a load generator in C."""

import dataclasses
import re
import subprocess

from benchmarks import measure
from benchmarks.error import BenchmarkError
from benchmarks.server import Server

# Connections that make the delay no limit: 50 ms allow each 20 a second.
_CONNECTIONS = {0: 64, 50: 1024}


@dataclasses.dataclass(frozen=True)
class Capacity:
    """How many requests a second the server answers, the client beside it."""

    delay_ms: int
    tls: bool
    connections: int
    per_second: float


def measured(
    wrk: str, server: Server, delay: int, *, tls: bool, seconds: int
) -> Capacity:
    """Load the server as much as it takes.

    :param wrk: the program.
    :param delay: milliseconds that the server takes for a ping.
    :param seconds: for how long.
    """
    connections = _CONNECTIONS[delay]
    url = f'{server.endpoint(delay, tls)}/mgmt/instances/x/rpc_ping'
    argv = [wrk, '-t1', f'-c{connections}', f'-d{seconds}', url]
    said = subprocess.run(  # noqa: S603
        argv,
        env=measure.environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rate = re.search(r'Requests/sec:\s+([\d.]+)', said)
    if rate is None or 'Non-2xx' in said:
        raise BenchmarkError(f'wrk did not get its answers: {said}')
    return Capacity(delay, tls, connections, float(rate[1]))
