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

"""The programs that take part, and what to do when one is missing."""

import dataclasses
import pathlib
import re
import shutil
import subprocess
import sys

from benchmarks.error import BenchmarkError

_INSTALL = (
    'apt-get install --no-install-recommends '
    'nginx libnginx-mod-http-echo wrk curl openssl'
)
_ECHO = 'ngx_http_echo_module.so'


@dataclasses.dataclass(frozen=True)
class Programs:
    """Where they are."""

    nginx: str
    echo_module: pathlib.Path
    wrk: str
    curl: str
    openssl: str
    openstack: str


def find() -> Programs:
    """Find all programs.

    :raises BenchmarkError: says which are missing and how to install them.
    """
    found = {
        name: _which(name) for name in ('nginx', 'wrk', 'curl', 'openssl')
    }
    missing = [name for name, path in found.items() if path is None]
    module = _echo_module(found['nginx']) if found['nginx'] else None
    if module is None and 'nginx' not in missing:
        missing.append(f"nginx's echo module ({_ECHO})")
    if missing:
        raise BenchmarkError(
            f'Missing: {", ".join(missing)}. On Debian or Ubuntu, as root:\n'
            f'    {_INSTALL}\n'
            'The benchmarks start an nginx of their own; that of the system '
            'may be stopped.'
        )
    return Programs(
        nginx=str(found['nginx']),
        echo_module=pathlib.Path(str(module)),
        wrk=str(found['wrk']),
        curl=str(found['curl']),
        openssl=str(found['openssl']),
        openstack=openstack(),
    )


def openstack() -> str:
    """Find the command of this environment, so that it is this project's.

    :raises BenchmarkError: says what to do if it is missing.
    """
    path = pathlib.Path(sys.executable).parent / 'openstack'
    if not path.exists():
        raise BenchmarkError(
            f'No openstack command beside {sys.executable}: install this '
            'project into its environment, or run tox -e bench.'
        )
    return str(path)


def _which(name: str) -> str | None:
    # nginx is in a folder that only root has in its PATH.
    return shutil.which(name) or shutil.which(name, path='/usr/sbin:/sbin')


def _echo_module(nginx: str) -> pathlib.Path | None:
    built = subprocess.run(  # noqa: S603
        [nginx, '-V'], capture_output=True, text=True, check=True
    ).stderr
    match = re.search(r'--modules-path=(\S+)', built)
    if match is None:
        return None
    module = pathlib.Path(match[1]) / _ECHO
    return module if module.exists() else None
