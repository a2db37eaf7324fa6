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

"""What every client is told, and how it reports. Imports next to nothing."""

import argparse
from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import json
import sys
import time


@dataclasses.dataclass(frozen=True)
class Task:
    """What to ping.

    :param endpoint: the database endpoint.
    :param token: a token for it.
    :param ids: a file with the instances' IDs, one a line.
    :param concurrency: pings in flight at once.
    :param verify: what the server is verified with; True: as usual.
    """

    endpoint: str
    token: str
    ids: str
    concurrency: int
    verify: str | bool

    def instance_ids(self) -> Iterator[str]:
        """Yield the IDs, without ever holding all of them."""
        with open(self.ids, encoding='ascii') as lines:
            for line in lines:
                yield line.rstrip('\n')


def perform(ping: Callable[[Task], int]) -> None:
    """Perform what the command line says.

    :param ping: pings all, and returns how many replies were 204.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument('--endpoint', required=True)
    parser.add_argument('--token', required=True)
    parser.add_argument('--ids', required=True)
    parser.add_argument('--concurrency', type=int, required=True)
    parser.add_argument('--ca', default=None)
    said = parser.parse_args()
    task = Task(
        endpoint=said.endpoint,
        token=said.token,
        ids=said.ids,
        concurrency=said.concurrency,
        verify=said.ca or True,
    )
    start = time.monotonic()
    good = ping(task)
    seconds = time.monotonic() - start
    sys.stdout.write(json.dumps({'good': good, 'seconds': seconds}))
