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

"""What the figures were measured on, and with which versions."""

import importlib.metadata
import os
import pathlib
import platform
import re
import ssl
import subprocess

import pycurl

from benchmarks.programs import Programs

_PACKAGES = (
    'keystoneauth1',
    'requests',
    'urllib3',
    'python-openstackclient',
    'python-troveclient',
)


def description(programs: Programs) -> dict[str, str]:
    """Return what the machine and its programs are."""
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return {
        'Processor': f'{_processor()}, {os.cpu_count()} cores',
        'Memory': f'{memory / 1e9:.0f} GB',
        'System': platform.freedesktop_os_release()['PRETTY_NAME'],
        'Kernel': f'Linux {platform.release().partition("-")[0]}',
        'Python': f'{platform.python_version()}, {ssl.OPENSSL_VERSION}',
        'pycurl': ' '.join(pycurl.version.split()[:3]).replace('/', ' '),
        'curl': ' '.join(
            _version([programs.curl, '--version']).split()[3:5]
        ).replace('/', ' '),
        'nginx': _version([programs.nginx, '-v']).rpartition('/')[2],
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    text = pathlib.Path('/proc/cpuinfo').read_text()
    match = re.search(r'^model name\s*:\s*(.+)$', text, re.MULTILINE)
    return match[1] if match else platform.machine()


def _version(argv: list[str]) -> str:
    said = subprocess.run(  # noqa: S603
        argv, capture_output=True, text=True, check=True
    )
    return (said.stdout or said.stderr).partition('\n')[0]
