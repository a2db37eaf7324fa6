#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""HAProxy and other proxies between a client and the control plane."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
import contextlib
import json
import os
import pathlib
import shutil
import socket
import socketserver
import subprocess
import threading
from typing import cast
import urllib.parse
import urllib.request

import fixtures
from testtools import content

from sandbox import fleet
from sandbox import probe
from sandbox import Sandbox
from sandbox import tether

LOOPBACK = '127.0.0.1'


def haproxy() -> str | None:
    """Return the path of HAProxy; None if it is not installed."""
    # Debian installs it in a folder outside the PATH of a user.
    return shutil.which('haproxy', path=f'{os.environ["PATH"]}:/usr/sbin')


_CONFIGURATION = """\
global
    log stdout format raw local0
    nbthread 1
defaults
    mode http
    log global
    option httplog
    # Report a missing server at once.
    retries 0
    timeout connect 10s
    timeout client 10m
    timeout server 10m
    {settings}
"""

_FRONTEND = """\
frontend {name}
    bind fd@{descriptor} {bind}
    # The replies of Keystone have its own URL.
    http-request set-header X-Forwarded-Proto {scheme}
    {rules}
    default_backend {name}
backend {name}
    server {name} 127.0.0.1:{port}
"""

_ERROR_PAGE = """\
HTTP/1.0 {status}\r
Content-Type: text/html\r
Connection: close\r
\r
<html><head><title>{status}</title></head>
<body><h1>{status}</h1>Sorry. <a href="/status">What is wrong?</a></body>
"""

_ERRORS = (
    '502 Bad Gateway',
    '503 Service Unavailable',
    '504 Gateway Time-out',
)


class HAProxy(fixtures.Fixture):
    """HAProxy in front of servers on loopback, with error pages in HTML.

    :param servers: the port of each server, by its name.
    :param tls: the options behind ``ssl`` in ``bind``; None for HTTP.
    :param settings: further lines of ``defaults``.
    :param rules: further lines for the frontend of a server.
    :param backends: further sections.
    """

    def __init__(
        self,
        servers: Mapping[str, int],
        *,
        tls: str | None = None,
        settings: Iterable[str] = (),
        rules: Mapping[str, Iterable[str]] | None = None,
        backends: Iterable[str] = (),
    ):
        super().__init__()
        self._servers = servers
        self._tls = tls
        self._settings = settings
        self._rules = rules or {}
        self._backends = backends
        #: The URL for each server: scheme, host and port.
        self.urls: dict[str, str] = {}

    def _setUp(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self._log = folder / 'log'
        # HAProxy inherits sockets that listen already. So nobody else can
        # take a port, and no test has to wait for HAProxy.
        listeners = {
            name: socket.create_server((LOOPBACK, 0), backlog=512)
            for name in self._servers
        }
        configuration = folder / 'haproxy.cfg'
        configuration.write_text(self._configuration(folder, listeners))
        program = haproxy()
        assert program, 'HAProxy is not installed'
        descriptors = [each.fileno() for each in listeners.values()]
        with self._log.open('wb') as log:
            process = subprocess.Popen(
                tether.tethered([program, '-db', '-f', str(configuration)]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=descriptors,
            )
        for listener in listeners.values():
            # The socket must close when HAProxy ends.
            listener.close()
        self.addCleanup(self._end, process)

    def _configuration(
        self, folder: pathlib.Path, listeners: Mapping[str, socket.socket]
    ) -> str:
        settings = list(self._settings)
        for status in _ERRORS:
            page = folder / f'{status[:3]}.http'
            page.write_text(_ERROR_PAGE.format(status=status), newline='')
            settings.append(f'errorfile {status[:3]} {page}')
        parts = [_CONFIGURATION.format(settings='\n    '.join(settings))]
        scheme = 'http' if self._tls is None else 'https'
        for name, port in self._servers.items():
            listener = listeners[name]
            self.urls[name] = (
                f'{scheme}://{LOOPBACK}:{listener.getsockname()[1]}'
            )
            parts.append(
                _FRONTEND.format(
                    name=name,
                    port=port,
                    descriptor=listener.fileno(),
                    bind='' if self._tls is None else f'ssl {self._tls}',
                    scheme=scheme,
                    rules='\n    '.join(self._rules.get(name, ())),
                )
            )
        return '\n'.join([*parts, *self._backends, ''])

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        self.addDetail('haproxy', content.text_content(self.log))

    @property
    def log(self) -> str:
        """The log, which has a line for each answered request."""
        return self._log.read_text(errors='replace')


class Catalog(fixtures.Fixture):
    """A catalog with another URL for Trove.

    :param box: a sandbox that runs.
    :param url: scheme, host and port.
    """

    def __init__(self, box: Sandbox, url: str):
        super().__init__()
        self._plan = box.plan
        self._url = url

    def _setUp(self) -> None:
        self._say(self._url)
        self.addCleanup(self._say, self._plan.trove_root)

    def _say(self, url: str) -> None:
        plan = self._plan
        token, _ = probe.login(
            plan.auth_url, 'admin', plan.passwords.admin, 'admin'
        )
        endpoint = fleet.stable_id('endpoint', 'database/public')
        change = {'url': f'{url}/v1.0/%(project_id)s'}
        request = urllib.request.Request(  # noqa: S310
            f'{plan.auth_url}/endpoints/{endpoint}',
            json.dumps({'endpoint': change}).encode(),
            {'X-Auth-Token': token, 'Content-Type': 'application/json'},
            method='PATCH',
        )
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310


class Nobody(fixtures.Fixture):
    """A port on loopback on which nobody can listen."""

    def _setUp(self) -> None:
        sock = socket.socket()
        self.addCleanup(sock.close)
        sock.bind((LOOPBACK, 0))
        self.port: int = sock.getsockname()[1]


_REFUSAL = b"""\
HTTP/1.1 403 Forbidden\r
Content-Type: text/html\r
Connection: close\r
\r
<html><body><h1>Access Denied</h1>by the policy of this company</body></html>
"""


class ForwardProxy(fixtures.Fixture):
    """A proxy on loopback, which clients find in their environment.

    It makes tunnels (CONNECT), and fetches http URLs.

    :param refused: the ports to which it refuses all requests. A test may
        change them.
    """

    def __init__(self, *refused: int):
        super().__init__()
        self.refused = refused
        #: The method and the target of each request.
        self.requests: list[tuple[str, str]] = []

    def _setUp(self) -> None:
        server = _ProxyServer(self)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.url = f'http://{LOOPBACK}:{server.server_address[1]}'

    @property
    def env(self) -> dict[str, str]:
        """The environment for clients of the proxy."""
        return {
            'http_proxy': self.url,
            'https_proxy': self.url,
            # The environment of the sandbox excepts it from proxies.
            'no_proxy': '',
            'NO_PROXY': '',
        }


class _ProxyServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, proxy: ForwardProxy):
        super().__init__((LOOPBACK, 0), _ProxyHandler)
        self.proxy = proxy


class _ProxyHandler(socketserver.StreamRequestHandler):
    """Handles one connection: a tunnel, or a single request."""

    def handle(self) -> None:
        # A client may close its connection.
        with contextlib.suppress(OSError):
            self._handle(cast(_ProxyServer, self.server).proxy)

    def _handle(self, proxy: ForwardProxy) -> None:
        method, _, rest = self.rfile.readline().decode().partition(' ')
        if not rest:
            return
        target = rest.split(' ')[0]
        proxy.requests.append((method, target))
        tunnel = method == 'CONNECT'
        url = urllib.parse.urlsplit(f'//{target}' if tunnel else target)
        fields = self._fields()
        if url.port in proxy.refused:
            self.wfile.write(_REFUSAL)
            return
        address = (url.hostname, url.port or 80)
        with socket.create_connection(address) as server:
            if tunnel:
                self.wfile.write(
                    b'HTTP/1.1 200 Connection established\r\n\r\n'
                )
            else:
                path = url._replace(scheme='', netloc='').geturl()
                head = [f'{method} {path} HTTP/1.1'.encode(), *fields]
                # Each connection serves one request.
                head += [b'Connection: close', b'', b'']
                server.sendall(b'\r\n'.join(head))
            self._relay(server)

    def _fields(self) -> list[bytes]:
        """Return the header fields that the server needs."""
        fields = []
        while line := self.rfile.readline().rstrip(b'\r\n'):
            if not line.lower().startswith((b'connection:', b'proxy-')):
                fields.append(line)
        return fields

    def _relay(self, server: socket.socket) -> None:
        upwards = threading.Thread(
            target=self._relay_up, args=(server,), daemon=True
        )
        upwards.start()
        while data := server.recv(65536):
            self.connection.sendall(data)
        # This wakes the other thread.
        self.connection.shutdown(socket.SHUT_RDWR)
        upwards.join()

    def _relay_up(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := self.rfile.read1(65536):
                server.sendall(data)
            # This wakes the other thread.
            server.shutdown(socket.SHUT_RDWR)
