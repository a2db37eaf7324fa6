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

"""A certificate authority to throw away, and a server's certificate by it."""

import dataclasses
import pathlib
import subprocess

_DAYS = '2'
_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']


@dataclasses.dataclass(frozen=True)
class Certificates:
    """Paths of PEM files."""

    authority: pathlib.Path
    server: pathlib.Path
    server_key: pathlib.Path


def make(openssl: str, folder: pathlib.Path, address: str) -> Certificates:
    """Make them.

    :param openssl: the program.
    :param folder: where to.
    :param address: the IP address of the server.
    """
    made = Certificates(
        authority=folder / 'authority.pem',
        server=folder / 'server.pem',
        server_key=folder / 'server.key',
    )
    authority_key = folder / 'authority.key'
    common = [openssl, 'req', '-x509', '-days', _DAYS, *_KEY]
    _run(
        [
            *common,
            *('-subj', '/CN=benchmarks: throw away'),
            *('-keyout', str(authority_key), '-out', str(made.authority)),
        ]
    )
    _run(
        [
            *common,
            *('-CA', str(made.authority), '-CAkey', str(authority_key)),
            *('-subj', f'/CN={address}'),
            *('-addext', f'subjectAltName=IP:{address}'),
            *('-addext', 'basicConstraints=critical,CA:FALSE'),
            *('-keyout', str(made.server_key), '-out', str(made.server)),
        ]
    )
    return made


def _run(argv: list[str]) -> None:
    subprocess.run(argv, check=True, capture_output=True)  # noqa: S603
