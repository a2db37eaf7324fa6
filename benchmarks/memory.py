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

"""How the memory of the sweep grows with the number of pings."""

import pathlib

from benchmarks import ways
from benchmarks import workload
from benchmarks.server import Server

_CONCURRENCY = 64


def measured(
    sweep: ways.Sweep,
    server: Server,
    counts: tuple[int, int],
    folder: pathlib.Path,
) -> dict[int, int]:
    """Return the bytes that the process had at most, by number of pings.

    The IDs come from a generator, and the results are thrown away.
    """
    endpoint = server.endpoint(0, tls=False)
    found = {}
    for count in counts:
        work = workload.write(
            folder / f'memory-{count}', endpoint, workload.invented_ids(count)
        )
        run = sweep.run(work, _CONCURRENCY, server.pid)
        found[count] = run.measurement.rss
    return found
