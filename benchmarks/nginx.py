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

"""An nginx on loopback that answers each ping after 0 or 50 ms."""

from collections.abc import Iterator
import contextlib
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from benchmarks import record
from sandbox import tether

# One process. "echo_sleep" waits in a timer: it delays no other request.
_CONFIG = """\
load_module {module};
daemon off;
master_process off;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location /0/ {{ return 204; }}
        location /50/ {{ echo_status 204; echo_sleep 0.05; }}
    }}
}}
"""


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Run nginx, and yield its URL; the path begins with the delay.

    :raises benchmarks.record.BenchmarkError: if nginx does not run.
    """
    program, module, curl = _paths()
    if not (program and module and curl):
        raise record.BenchmarkError(
            'nginx, its echo module or curl is not installed: '
            'apt-get install nginx-light libnginx-mod-http-echo curl'
        )
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix='rpcping-bench-') as folder:
        config = pathlib.Path(folder, 'nginx.conf')
        config.write_text(_CONFIG.format(module=module, port=port))
        argv = [program, '-p', folder, '-c', config.name, '-e', 'error.log']
        with subprocess.Popen(  # noqa: S603
            tether.tethered(argv), stderr=subprocess.DEVNULL
        ) as process:
            try:
                while not _listens(port):
                    if process.poll() is not None:
                        log = config.with_name('error.log').read_text()
                        raise record.BenchmarkError(f'nginx ended: {log}')
                    time.sleep(0.05)
                yield f'http://127.0.0.1:{port}'
            finally:
                process.kill()


def _paths() -> tuple[str | None, pathlib.Path | None, str | None]:
    """Return the paths of nginx, of its echo module and of curl."""
    modules = pathlib.Path('/usr').glob(
        'lib*/nginx/modules/ngx_http_echo_module.so'
    )
    # Debian has nginx in a folder that is not on every PATH.
    program = shutil.which('nginx') or shutil.which('nginx', path='/usr/sbin')
    return program, next(modules, None), shutil.which('curl')


def installed() -> bool:
    """Whether the benchmark can run here."""
    return all(_paths())


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(('127.0.0.1', port))
