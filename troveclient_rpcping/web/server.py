# SPDX-License-Identifier: Apache-2.0

"""The HTTP server of the monitor, for Prometheus and for browsers.

It is the server of Python's ``wsgiref``, as in ``prometheus_client``. It adds
what attacks on that server showed to be missing: see ``user/prometheus.rst``.
``test_server.py`` has such attacks.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import contextlib
import dataclasses
import http
import io
import ipaddress
import logging
import re
import socket
import socketserver
import ssl
import threading
from typing import Any
from typing import Self
from typing import TYPE_CHECKING
from wsgiref import simple_server

from troveclient_rpcping import plaintext

if TYPE_CHECKING:
    from wsgiref import types as wsgi_types

LOG = logging.getLogger(__name__)

_LOOPBACK = '127.0.0.1'

#: Connections at once, at the most. A scrape takes less than a second.
CONNECTIONS = 16

_ADDRESS = r'(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z._-]*))'
_LISTEN = re.compile(rf'(?:{_ADDRESS}:)?(?P<port>[0-9]{{1,5}})')
_HOST = re.compile(rf'{_ADDRESS}(?::[0-9]*)?')


def parse_listen(text: str) -> tuple[str, int]:
    """Return the address and the port that a command line names.

    :param text: ``ADDRESS:PORT``, ``[IPV6]:PORT``, or on loopback ``:PORT`` or
        ``PORT``.
    :raises ValueError: the text is none of these.
    """
    match = _LISTEN.fullmatch(text)
    if match is None or int(match['port']) > 65535:
        raise ValueError(
            f'"{plaintext.one_line(text)}" is not an address to listen on: '
            'write ADDRESS:PORT, as in 127.0.0.1:9877 or [::1]:9877, with a '
            'port from 1 to 65535'
        )
    return match['v6'] or match['name'] or _LOOPBACK, int(match['port'])


def tls(
    cert: str, key: str | None = None, client_ca: str | None = None
) -> ssl.SSLContext:
    """Return how to serve HTTPS.

    :param cert: a file with the certificates.
    :param key: a file with the key; None: it is in the file of *cert*.
    :param client_ca: a file with authorities. A client without a certificate
        of theirs gets nothing.
    :raises OSError: a file cannot be used; says in one line why.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    what = f'certificate {cert}' + (f' with the key {key}' if key else '')
    try:
        # Without a password, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(cert, key, password='')
        if client_ca:
            what = f'certificates of clients {client_ca}'
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        # OpenSSL's text has the names of its parts around it.
        why = re.sub(r'\[.*?\] | \(_ssl.*\)', '', error.strerror or str(error))
        raise OSError(
            f'Cannot use the {plaintext.one_line(what)}: {why}: give files in '
            'PEM, and a key that has no passphrase'
        ) from error
    return context


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request. Its kind is the content type."""

    body: bytes
    kind: str = 'text/plain; charset=utf-8'
    status: http.HTTPStatus = http.HTTPStatus.OK
    headers: tuple[tuple[str, str], ...] = ()


#: Answers a GET, given the Accept header, which may be empty.
Page = Callable[[str], Answer]


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """Serves pages in threads of its own, during a ``with`` block.

    ::

        with Server({'/metrics': metrics.page}, '127.0.0.1', 9877):
            keep_sweeping()

    :param pages: the page of each path.
    :param address: an IP address, or a name; its first address counts.
    :param port: 0 for any free one.
    :param context: how to serve HTTPS; None for HTTP.
    :raises OSError: the server cannot listen there; says in one line why.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        pages: Mapping[str, Page],
        address: str,
        port: int,
        context: ssl.SSLContext | None = None,
    ):
        self._pages = pages
        # The known names that a request may have in its Host field.
        self._names = {
            *('localhost', address.rstrip('.').lower()),
            *_forms(socket.gethostname()),
        }
        # The open connections, the oldest one first.
        self._open: dict[Any, None] = {}
        self._one_ended = threading.Condition()
        try:
            found = socket.getaddrinfo(
                address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            self.address_family, *_, where = found[0]
            super().__init__(where, _Handler)  # type: ignore[arg-type]
        except (OSError, UnicodeError) as error:
            # A text that cannot be a name raises UnicodeError.
            why = getattr(error, 'strerror', None) or error
            shown = f'[{address}]' if ':' in address else address
            raise OSError(f'Cannot listen on {shown}:{port}: {why}') from error
        self.set_app(self._answer)
        if context is not None:
            # The handshake waits for the thread of its connection, or one
            # silent client would keep everybody else out.
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def __enter__(self) -> Self:
        # The server looks every 0.1 s whether it must end.
        threading.Thread(
            target=self.serve_forever, args=(0.1,), daemon=True
        ).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection; if there are too many, end the oldest one."""
        with self._one_ended:
            if len(self._open) == CONNECTIONS:
                # The client may have gone by itself.
                with contextlib.suppress(OSError):
                    # Not the method of SSLSocket, which first ends the
                    # encryption. Under the lock, the socket is open.
                    oldest = next(iter(self._open))
                    socket.socket.shutdown(oldest, socket.SHUT_RDWR)
                self._one_ended.wait_for(lambda: len(self._open) < CONNECTIONS)
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._one_ended:
            del self._open[request]
            self._one_ended.notify()
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what went wrong, and keep it off standard error."""
        LOG.debug('A request went wrong', exc_info=True)

    def _answer(
        self,
        environ: wsgi_types.WSGIEnvironment,
        start_response: wsgi_types.StartResponse,
    ) -> Iterable[bytes]:
        """Answer a request: a WSGI application."""
        answer = self._find(environ)
        status = f'{answer.status} {answer.status.phrase}'
        kind = ('Content-Type', answer.kind)
        length = ('Content-Length', str(len(answer.body)))
        start_response(status, [kind, length, *answer.headers])
        return [] if environ['REQUEST_METHOD'] == 'HEAD' else [answer.body]

    def _find(self, environ: wsgi_types.WSGIEnvironment) -> Answer:
        if environ['REQUEST_METHOD'] not in ('GET', 'HEAD'):
            allow = (('Allow', 'GET, HEAD'),)
            return Answer(b'', status=http.HTTPStatus(405), headers=allow)
        if not self._is_meant(environ.get('HTTP_HOST', '')):
            return Answer(
                b'The name in this URL is not known here. Ask by an IP '
                b'address, or give the name to --listen.\n',
                status=http.HTTPStatus.MISDIRECTED_REQUEST,
            )
        page = self._pages.get(environ['PATH_INFO'])
        if page is None:
            known = f'See {" or ".join(self._pages)}\n'
            return Answer(known.encode(), status=http.HTTPStatus.NOT_FOUND)
        try:
            return page(environ.get('HTTP_ACCEPT', ''))
        except Exception:
            # wsgiref answers 500.
            LOG.exception('A page cannot be made')
            raise

    def _is_meant(self, host: str) -> bool:
        """Whether a request is meant for this server, by its Host field.

        The owner of a web page can let the page's name lead to this machine,
        and a browser would let the page read the answer (DNS rebinding). But
        that name is not one of ours. A browser always sends a Host.
        """
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = (match['v6'] or match['name']).rstrip('.').lower()
        if not host or name in self._names:
            return True
        with contextlib.suppress(ValueError):
            return bool(ipaddress.ip_address(name))
        # This may ask DNS, and wait.
        if name in _forms(socket.getfqdn()):
            self._names.add(name)
        return name in self._names


def _forms(name: str) -> tuple[str, str]:
    """Return a name of this machine in full and in short."""
    full = name.rstrip('.').lower()
    return full, full.partition('.')[0]


class _Handler(simple_server.WSGIRequestHandler):
    """One connection: one request, and its answer."""

    def log_message(self, format: str, *args: Any) -> None:
        LOG.debug('%s', plaintext.one_line(format % args))

    def get_stderr(self) -> io.StringIO:
        # wsgiref writes a traceback there for a client that hangs up.
        return io.StringIO()
