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

"""What is pinged: the same instances, the same URLs, for every way."""

import dataclasses
import pathlib
import random
import uuid


@dataclasses.dataclass(frozen=True)
class Workload:
    """One set of pings, in the files that the ways read.

    :param endpoint: the database endpoint.
    :param token: a token for it.
    :param authority: the certificate to verify it with; None for no TLS.
    :param ids: a file with the instances' IDs, one a line.
    :param urls: a file with their URLs, as ``curl --config`` reads it.
    :param pings: how many there are.
    """

    endpoint: str
    token: str
    authority: pathlib.Path | None
    ids: pathlib.Path
    urls: pathlib.Path
    pings: int


def write(
    folder: pathlib.Path,
    endpoint: str,
    instance_ids: list[str],
    *,
    token: str = 'token',  # noqa: S107 -- nginx asks for none
    authority: pathlib.Path | None = None,
) -> Workload:
    """Write the files of a workload into a folder of its own."""
    folder.mkdir()
    ids = folder / 'ids'
    ids.write_text(''.join(f'{one}\n' for one in instance_ids))
    urls = folder / 'urls'
    urls.write_text(
        ''.join(
            f'url = "{endpoint}/mgmt/instances/{one}/rpc_ping"\n'
            for one in instance_ids
        )
    )
    return Workload(endpoint, token, authority, ids, urls, len(instance_ids))


def invented_ids(count: int) -> list[str]:
    """Return IDs, the same ones each time."""
    chance = random.Random(2014)  # noqa: S311
    return [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(count)]
