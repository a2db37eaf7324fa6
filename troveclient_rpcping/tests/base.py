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

"""What the tests share: a client, and a server on loopback to talk to."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
import json
import socket
import ssl
import threading
from typing import Any

import fixtures
from keystoneauth1 import plugin
from keystoneauth1 import session as ksa_session
import testtools

from troveclient_rpcping import client

PROJECT = '3f9f5a1c0c7e4f0f9a52cf0c1c2b7c11'
GUEST = '1e4099f1-7f8d-4564-bd83-0b9f66aa35b9'
OTHER = '6b1f4e0e-2a3c-4a57-9d1e-0c6f5b8a7d21'

#: A request as the server saw it: its target, and its header fields by
#: lower-case name.
Request = tuple[str, dict[str, str]]


def raw(
    status: str, body: bytes = b'', headers: dict[str, str] | None = None
) -> bytes:
    """Return a reply as it goes over the wire.

    :param status: code and phrase, as in ``204 No Content``.
    :param headers: on top of Content-Length, or in its place.
    """
    fields = {'Content-Length': str(len(body)), **(headers or {})}
    head = ''.join(f'{name}: {value}\r\n' for name, value in fields.items())
    return f'HTTP/1.1 {status}\r\n{head}\r\n'.encode() + body


def fault(
    status: str, name: str, message: str, headers: dict[str, str] | None = None
) -> bytes:
    """Return an error of Trove, in its shape (trove/common/wsgi.py, Fault)."""
    body = {name: {'code': int(status[:3]), 'message': message}}
    return raw(
        status,
        json.dumps(body).encode(),
        {
            'Content-Type': 'application/json',
            'X-Openstack-Request-Id': 'req-' + GUEST,
            **(headers or {}),
        },
    )


def bad_request(message: str) -> bytes:
    """Return Trove's 400."""
    return fault('400 Bad Request', 'badRequest', message)


PONG = raw(
    '204 No Content',
    headers={
        'Content-Type': 'application/json',
        'X-Openstack-Request-Id': 'req-' + GUEST,
    },
)
DEAD = bad_request('Timeout trying to connect to the Guest Agent.')


class Server(fixtures.Fixture):
    """An HTTP server on loopback that sends what it is told to, raw.

    ``answer`` gets each request, and returns the bytes to send, or an
    iterable of them, which may wait between two, or None to hang up.
    Connections are kept alive.
    """

    def __init__(
        self,
        answer: Callable[[Request], bytes | Iterable[bytes] | None],
        tls: ssl.SSLContext | None = None,
    ):
        super().__init__()
        self.answer = answer
        self._tls = tls
        self.requests: list[Request] = []
        #: How many connections there were.
        self.connections = 0
        #: Set at the end of the test: answers that never end wait on it.
        self.done = threading.Event()

    def _setUp(self) -> None:
        self._listener = socket.create_server(('127.0.0.1', 0), backlog=512)
        self._open: set[socket.socket] = set()
        port = self._listener.getsockname()[1]
        scheme = 'https' if self._tls else 'http'
        self.url = f'{scheme}://127.0.0.1:{port}/v1.0/{PROJECT}'
        threading.Thread(target=self._accept, daemon=True).start()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """Close every connection, and refuse new ones."""
        self.done.set()
        # shutdown() and not close() alone: it wakes the thread in accept().
        for sock in (self._listener, *list(self._open)):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
            finally:
                sock.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            threading.Thread(
                target=self._serve, args=(connection,), daemon=True
            ).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls:
                connection = self._tls.wrap_socket(
                    connection, server_side=True
                )
            with connection, connection.makefile('rb') as reader:
                while self._serve_one(connection, reader):
                    pass
        except OSError:
            # The client hung up.
            return
        finally:
            self._open.discard(connection)

    def _serve_one(self, connection: socket.socket, reader: Any) -> bool:
        request_line = reader.readline().decode('latin-1')
        if not request_line:
            return False
        headers = {}
        while line := reader.readline().decode('latin-1').strip():
            name, _, value = line.partition(':')
            headers[name.lower()] = value.strip()
        request = (request_line.split(' ')[1], headers)
        self.requests.append(request)
        answer = self.answer(request)
        if answer is None:
            return False
        for piece in [answer] if isinstance(answer, bytes) else answer:
            connection.sendall(piece)
        return True


class Login(plugin.BaseAuthPlugin):
    """A login whose tokens are ``token-1``, ``token-2`` and so on."""

    def __init__(self, endpoint: str):
        super().__init__()
        self._endpoint = endpoint
        self.logins = 0
        self._token: str | None = None

    def get_token(self, session: ksa_session.Session) -> str | None:
        if self._token is None:
            self.logins += 1
            self._token = f'token-{self.logins}'
        return self._token

    def get_endpoint(
        self, session: ksa_session.Session, **kwargs: Any
    ) -> str | None:
        return self._endpoint

    def invalidate(self) -> bool:
        self._token = None
        return True


class TestCase(testtools.TestCase):
    """A test that may talk to servers on loopback."""

    def setUp(self) -> None:
        super().setUp()
        # A proxy of the machine is not for loopback.
        for name in ('http_proxy', 'https_proxy', 'all_proxy', 'no_proxy'):
            self.useFixture(fixtures.EnvironmentVariable(name))
            self.useFixture(fixtures.EnvironmentVariable(name.upper()))

    def serve(
        self,
        answer: bytes | Callable[[Request], Any],
        tls: ssl.SSLContext | None = None,
    ) -> Server:
        """Start a server that answers every request with, or by, *answer*."""
        if isinstance(answer, bytes):
            fixed = answer
            return self.useFixture(Server(lambda request: fixed, tls))
        return self.useFixture(Server(answer, tls))

    def connect(self, url: str, **kwargs: Any) -> client.Client:
        """Return a client of a server.

        :param kwargs: for the keystoneauth session.
        """
        session = ksa_session.Session(auth=Login(url), **kwargs)
        return client.Client(session=session)
