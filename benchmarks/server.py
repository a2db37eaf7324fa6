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

"""nginx as a trove-api that knows one answer: 204, at once or after a pause.

One process, on free ports of loopback, in a folder of its own. It dies with
this process, however that ends.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import pathlib
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from benchmarks import certificates
from benchmarks.error import BenchmarkError
from benchmarks.programs import Programs
from sandbox import tether

_ADDRESS = '127.0.0.1'

#: Milliseconds that the server can take for a ping.
DELAYS = (0, 50)

# "return" is nginx's own, and the fastest. echo_sleep waits in a timer: it
# holds nothing up. master_process off: there is no worker to be left behind.
_CONFIG = """\
load_module {module};
daemon off;
master_process off;
pid nginx.pid;
error_log error.log error;
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
    ssl_certificate {server};
    ssl_certificate_key {server_key};
    ssl_protocols TLSv1.2 TLSv1.3;
    server {{
        listen {address}:{plain} backlog=4096;
        listen {address}:{tls} ssl backlog=4096;
        {locations}
    }}
}}
"""


@dataclasses.dataclass(frozen=True)
class Server:
    """The running server.

    :param pid: its process ID.
    :param authority: the certificate to verify it with.
    """

    pid: int
    plain: int
    tls: int
    authority: pathlib.Path

    def endpoint(self, delay: int, tls: bool) -> str:
        """Return a database endpoint.

        :param delay: milliseconds that it takes for a ping.
        :param tls: by HTTPS.
        """
        scheme, port = ('https', self.tls) if tls else ('http', self.plain)
        return f'{scheme}://{_ADDRESS}:{port}/{delay}/v1.0/project'


@contextlib.contextmanager
def running(programs: Programs) -> Iterator[Server]:
    """Run the server as long as the ``with`` block."""
    with tempfile.TemporaryDirectory(prefix='rpcping-bench-') as name:
        folder = pathlib.Path(name)
        made = certificates.make(programs.openssl, folder, _ADDRESS)
        plain, tls = _free_ports(2)
        config = _CONFIG.format(
            module=programs.echo_module,
            server=made.server,
            server_key=made.server_key,
            address=_ADDRESS,
            plain=plain,
            tls=tls,
            locations='\n        '.join(_location(delay) for delay in DELAYS),
        )
        (folder / 'nginx.conf').write_text(config)
        argv = [programs.nginx, '-p', name, '-c', 'nginx.conf']
        process = subprocess.Popen(  # noqa: S603
            tether.tethered([*argv, '-e', 'error.log']),
            stderr=subprocess.DEVNULL,
            # Ctrl-C is for us: we then stop it.
            start_new_session=True,
        )
        try:
            server = Server(process.pid, plain, tls, made.authority)
            _wait_for(server, process, folder / 'error.log')
            yield server
        finally:
            process.kill()
            process.wait()


def _location(delay: int) -> str:
    answer = (
        f'echo_status 204; echo_sleep {delay / 1000};'
        if delay
        else 'return 204;'
    )
    return f'location /{delay}/ {{ {answer} }}'


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((_ADDRESS, 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _wait_for(
    server: Server, process: 'subprocess.Popen[bytes]', log: pathlib.Path
) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 10
    while True:
        try:
            opener.open(server.endpoint(0, tls=False), timeout=5).close()
        except urllib.error.URLError as exc:
            if process.poll() is not None or time.monotonic() > end:
                words = log.read_text() if log.exists() else ''
                raise BenchmarkError(
                    f'nginx does not start: {words.strip() or exc}'
                ) from exc
            time.sleep(0.05)
        else:
            return
