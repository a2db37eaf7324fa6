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

"""Serves the metrics to Prometheus over HTTP.

A scrape gets what the last sweep left, and never causes one. Whoever can
connect may try to hold the server up: connections are bounded in number and
in time, and the oldest one goes when one too many comes.
"""

from __future__ import annotations

from collections.abc import Iterable
import contextlib
import errno
import functools
import io
import ipaddress
import logging
import re
import socket
import socketserver
import threading
import time
from types import TracebackType
from typing import Any
from typing import Self
from typing import TYPE_CHECKING
from wsgiref import simple_server

from troveclient_rpcping import plaintext
from troveclient_rpcping.prometheus.metrics import Metrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIEnvironment

LOG = logging.getLogger(__name__)

#: The port to listen on, by default.
PORT = 9877
_LOOPBACK = '127.0.0.1'

#: Connections at once, at the most. A scrape takes milliseconds.
CONNECTIONS = 16

#: Seconds for a connection, in all: for 10,000 guests over a slow line.
PATIENCE = 30.0

# Seconds: how often it looks whether a connection takes too long, and whether
# it is to end.
_TICK = 0.1

_LISTEN = re.compile(
    r'(?:(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z._-]*)):)?'
    r'(?P<port>[0-9]{1,5})'
)

# What a Host field holds.
_HOST = re.compile(
    r'(?:\[(?P<v6>[^\[\]]+)\]|(?P<name>[^\[\]:@/]+))(?::[0-9]*)?'
)

# Why one address of several cannot be listened on: the system lacks IPv6, say.
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

_TEXT = 'text/plain; charset=utf-8'
_INDEX = (
    b'<!DOCTYPE html><title>Trove guest RPC</title>'
    b'<p><a href="/metrics">Metrics</a> of the last sweep.\n'
)
_NOT_OURS = (
    b'The name in this URL is not known here. Ask by an IP address, or give '
    b'the name to --listen.\n'
)


def parse_listen(text: str) -> tuple[str, int]:
    """Return the address and the port that a command line names.

    :param text: ``ADDRESS:PORT``, ``[IPV6]:PORT``, ``:PORT`` or ``PORT``. An
        address that is not named is that of loopback.
    :raises ValueError: it is none of these; says in one line what to write.
    """
    match = _LISTEN.fullmatch(text)
    if match is None:
        raise ValueError(
            f'"{plaintext.one_line(text)}" is no address to listen on: write '
            f'ADDRESS:PORT, as in {_LOOPBACK}:{PORT} or [::1]:{PORT}'
        )
    port = int(match['port'])
    if port > 65535:
        raise ValueError(
            f'There is no port {port}: write one from 1 to 65535, as in '
            f'{_LOOPBACK}:{PORT}'
        )
    return match['v6'] or match['name'] or _LOOPBACK, port


class Exporter:
    """An HTTP server for ``/metrics``, in a thread, for a ``with`` block.

    ::

        with Exporter(metrics, '127.0.0.1', 9877):
            keep_sweeping(metrics)

    :param metrics: what to serve.
    :param address: where to listen: an IP address, or a name: on every
        address of it.
    :param port: on which port; 0 for any that is free.
    :param connections: how many at once, at the most.
    :param patience: seconds for a connection, in all.
    :raises OSError: (on entering) it cannot listen there; says in one line
        why.
    """

    def __init__(
        self,
        metrics: Metrics,
        address: str,
        port: int,
        *,
        connections: int = CONNECTIONS,
        patience: float = PATIENCE,
    ):
        self._metrics = metrics
        self._address = address
        self._port = port
        self._connections = connections
        self._patience = patience

    def __enter__(self) -> Self:
        where = _host_and_port(self._address, self._port)
        connections = _Connections(self._connections, self._patience)
        try:
            self._servers = _listen(self._address, self._port, connections)
        except (OSError, UnicodeError) as error:
            # The name of a host that cannot be one is the second.
            why = getattr(error, 'strerror', None) or error
            raise OSError(f'Cannot listen on {where}: {why}') from error
        self._threads = []
        for server in self._servers:
            server.set_app(self._answer)
            thread = threading.Thread(
                target=server.serve_forever, args=(_TICK,), daemon=True
            )
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.shutdown()
        for server in self._servers:
            server.server_close()
        for thread in self._threads:
            thread.join()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._servers[0].server_port

    @functools.cached_property
    def _names(self) -> set[str]:
        """The names that a request may have in its Host field."""
        # Not at the start: the second one may ask DNS, and wait.
        machine = [socket.gethostname(), socket.getfqdn()]
        short = [name.partition('.')[0] for name in machine]
        return {
            name.rstrip('.').lower()
            for name in ('localhost', self._address, *machine, *short)
        }

    def _is_meant(self, host: str | None) -> bool:
        """Whether a request is meant for this server, by its Host field.

        The owner of a web page can let the page's name lead to this machine.
        A browser would then let the page read the answer (DNS rebinding). The
        name of such a page is not one of ours. An IP address cannot be led
        elsewhere, and a browser always sends a Host.
        """
        if not host:
            return True
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = (match['v6'] or match['name']).rstrip('.').lower()
        with contextlib.suppress(ValueError):
            return bool(ipaddress.ip_address(name))
        return name in self._names

    def _answer(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer a request: a WSGI application."""
        method = environ['REQUEST_METHOD']
        headers = []
        if method not in ('GET', 'HEAD'):
            status, body, kind = '405 Method Not Allowed', b'', _TEXT
            headers = [('Allow', 'GET, HEAD')]
        elif not self._is_meant(environ.get('HTTP_HOST')):
            status, body, kind = '421 Misdirected Request', _NOT_OURS, _TEXT
        elif environ['PATH_INFO'] == '/metrics':
            status = '200 OK'
            body, kind = self._render(environ.get('HTTP_ACCEPT', ''))
        elif environ['PATH_INFO'] == '/':
            status, body, kind = '200 OK', _INDEX, 'text/html; charset=utf-8'
        else:
            status, body, kind = '404 Not Found', b'See /metrics\n', _TEXT
        headers += [
            ('Content-Type', kind),
            ('Content-Length', str(len(body))),
        ]
        start_response(status, headers)
        return [] if method == 'HEAD' else [body]

    def _render(self, accept: str) -> tuple[bytes, str]:
        try:
            return self._metrics.render(accept)
        except Exception:
            # wsgiref answers 500; this is a bug, and no fault of the scraper.
            LOG.exception('The metrics cannot be rendered')
            raise


class _Handler(simple_server.WSGIRequestHandler):
    """One connection: one request, and its answer."""

    # The answer leaves in one piece, not the status and each field for itself.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        LOG.debug('%s', plaintext.one_line(format % args))

    def get_stderr(self) -> io.StringIO:
        # Where wsgiref tells of scrapers that hung up.
        return io.StringIO()


class _Connections:
    """The open connections of all servers: few, and none for long.

    :param most: how many at once, at the most.
    :param patience: seconds for each, in all.
    """

    def __init__(self, most: int, patience: float):
        self._most = most
        self._patience = patience
        # When each open connection began, the oldest one first.
        self._open: dict[Any, float] = {}
        self._changed = threading.Condition()

    def add(self, request: Any) -> None:
        """Take one more; hang up on the oldest one if there is no room."""
        with self._changed:
            if not self._has_room():
                _hang_up(next(iter(self._open)))
                self._changed.wait_for(self._has_room, timeout=5.0)
            if not self._has_room():
                raise ConnectionRefusedError('too many connections')
            self._open[request] = time.monotonic()

    def _has_room(self) -> bool:
        return len(self._open) < self._most

    def remove(self, request: Any) -> None:
        """Forget one, before it is closed."""
        # Under the lock, nobody hangs up on a socket that is closed, or on
        # another that has got its number since.
        with self._changed:
            self._open.pop(request, None)
            self._changed.notify_all()

    def end_late_ones(self) -> None:
        """Hang up on connections that take too long."""
        with self._changed:
            now = time.monotonic()
            for request, began in self._open.items():
                if now - began > self._patience:
                    _hang_up(request)

    def end(self) -> None:
        """Hang up on all, and wait until they are gone."""
        with self._changed:
            for request in self._open:
                _hang_up(request)
            self._changed.wait_for(lambda: not self._open, timeout=5.0)


class _Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """Listens on one address."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        family: socket.AddressFamily,
        address: Any,
        connections: _Connections,
        *,
        v6_only: bool,
    ):
        self.address_family = family
        self._connections = connections
        self._v6_only = v6_only
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(
                socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, self._v6_only
            )
        # That of HTTPServer asks DNS for the name of the address, and waits.
        socketserver.TCPServer.server_bind(self)
        host, port, *_ = self.server_address
        self.server_name, self.server_port = str(host), int(port)
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.remove(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Hang up on late connections: is called with every tick."""
        self._connections.end_late_ones()

    def server_close(self) -> None:
        super().server_close()
        self._connections.end()

    def handle_error(self, request: Any, client_address: Any) -> None:
        LOG.debug('a scrape went wrong', exc_info=True)


def _hang_up(request: socket.socket) -> None:
    """End a connection, so that the thread that serves it ends."""
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


def _listen(
    address: str, port: int, connections: _Connections
) -> list[_Server]:
    """Listen on every address of a name, on one port."""
    found = socket.getaddrinfo(
        address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    places = dict.fromkeys((family, where) for family, *_, where in found)
    # "::" alone is every address; beside 0.0.0.0 it must leave that alone.
    v6_only = any(family == socket.AF_INET for family, _ in places)
    with contextlib.ExitStack() as stack:
        servers: list[_Server] = []
        missing: OSError | None = None
        for family, (host, _, *rest) in places:
            if servers:
                port = servers[0].server_port
            try:
                server = _Server(
                    family, (host, port, *rest), connections, v6_only=v6_only
                )
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                missing = error
                continue
            stack.callback(server.server_close)
            servers.append(server)
        if missing is not None and not servers:
            raise missing
        stack.pop_all()
    return servers


def _host_and_port(address: str, port: int) -> str:
    return f'[{address}]:{port}' if ':' in address else f'{address}:{port}'
