# SPDX-License-Identifier: Apache-2.0

"""HAProxy and other proxies between a client and the control plane."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
import http.client
import http.server
import json
import os
import pathlib
import select
import shutil
import socket
import subprocess
import threading
import urllib.parse
import urllib.request

import fixtures
from testtools import content

from sandbox import box as boxes
from sandbox import fleet
from sandbox import probe
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


class HAProxy(fixtures.Fixture):
    """HAProxy in front of servers on loopback, with error pages in HTML.

    :param servers: the port of each server, by its name.
    :param tls: the options behind ``ssl`` in ``bind``; None for HTTP.
    :param settings: further lines of ``defaults``.
    :param rules: further lines of each frontend.
    :param backends: further sections.
    """

    def __init__(
        self,
        servers: Mapping[str, int],
        *,
        tls: str | None = None,
        settings: Iterable[str] = (),
        rules: Iterable[str] = (),
        backends: Iterable[str] = (),
    ):
        super().__init__()
        self._servers = servers
        self._tls = tls
        self._settings = settings
        self._rules = rules
        self._backends = backends
        #: The URL for each server: scheme, host and port.
        self.urls: dict[str, str] = {}

    def _setUp(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self._log = folder / 'log'
        settings = '\n    '.join(self._settings)
        parts = [_CONFIGURATION.format(settings=settings)]
        # HAProxy inherits sockets that listen already. So nobody else can take
        # a port, and no test has to wait for HAProxy.
        listeners = [
            socket.create_server((LOOPBACK, 0), backlog=512)
            for _ in self._servers
        ]
        parts += map(self._frontend, self._servers, listeners)
        configuration = folder / 'haproxy.cfg'
        configuration.write_text('\n'.join([*parts, *self._backends, '']))
        program = haproxy()
        assert program, 'HAProxy is not installed'
        with self._log.open('wb') as log:
            process = subprocess.Popen(
                tether.tethered([program, '-db', '-f', str(configuration)]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[each.fileno() for each in listeners],
            )
        for listener in listeners:
            # The socket must close when HAProxy ends.
            listener.close()
        self.addCleanup(self._end, process)

    def _frontend(self, name: str, listener: socket.socket) -> str:
        scheme = 'http' if self._tls is None else 'https'
        port = listener.getsockname()[1]
        self.urls[name] = f'{scheme}://{LOOPBACK}:{port}'
        return _FRONTEND.format(
            name=name,
            port=self._servers[name],
            descriptor=listener.fileno(),
            bind='' if self._tls is None else f'ssl {self._tls}',
            scheme=scheme,
            rules='\n    '.join(self._rules),
        )

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

    def __init__(self, box: boxes.Sandbox, url: str):
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
        server = _ProxyServer((LOOPBACK, 0), _ProxyHandler)
        server.proxy = self
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = f'http://{LOOPBACK}:{server.server_port}'
        #: The environment for clients. That of the sandbox forbids proxies.
        self.env = dict.fromkeys(('http_proxy', 'https_proxy'), url)
        self.env |= dict.fromkeys(('no_proxy', 'NO_PROXY'), '')


class _ProxyServer(http.server.ThreadingHTTPServer):
    block_on_close = False
    request_queue_size = 512
    proxy: ForwardProxy

    def handle_error(self, *_: object) -> None:
        pass  # a client may close its connection


class _ProxyHandler(http.server.BaseHTTPRequestHandler):
    """Handles one connection: a tunnel, or a single request."""

    server: _ProxyServer

    def log_message(self, *_: object) -> None:
        pass

    def _admitted(self, url: urllib.parse.SplitResult) -> bool:
        self.server.proxy.requests.append((self.command, self.path))
        if url.port in self.server.proxy.refused:
            self.send_error(403, explain='by the policy of this company')
            return False
        return True

    def do_GET(self) -> None:
        """Fetch a URL."""
        url = urllib.parse.urlsplit(self.path)
        if not self._admitted(url):
            return
        connection = http.client.HTTPConnection(url.netloc)
        length = int(self.headers.get('Content-Length', 0))
        connection.request(
            *(self.command, url._replace(scheme='', netloc='').geturl()),
            *(self.rfile.read(length), dict(self.headers)),
        )
        reply = connection.getresponse()
        self.send_response_only(reply.status, reply.reason)
        for name, value in reply.getheaders():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.read())
        connection.close()

    do_POST = do_GET  # noqa: N815

    def do_CONNECT(self) -> None:
        """Make a tunnel."""
        url = urllib.parse.urlsplit(f'//{self.path}')
        if not self._admitted(url):
            return
        with socket.create_connection((url.hostname, url.port)) as server:
            self.send_response_only(200)
            self.end_headers()
            other = {self.connection: server, server: self.connection}
            while True:
                for end in select.select([*other], [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    other[end].sendall(data)
