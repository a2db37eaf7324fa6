# SPDX-License-Identifier: Apache-2.0

"""What the tests share: a client, and a server on loopback to talk to."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import io
import os
import re
import ssl
import threading
import time
from typing import Any

import fixtures
from keystoneauth1 import exceptions as ksa_exceptions
from keystoneauth1 import session as ksa_session
import testtools

from troveclient_rpcping import client
from troveclient_rpcping import fixture
from troveclient_rpcping import reply as replies
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.outcomes import outcome as outcomes

PROJECT = fixture.PROJECT_ID
GUEST = fixture.INSTANCE_ID
OTHER = '6b1f4e0e-2a3c-4a57-9d1e-0c6f5b8a7d21'

# Seconds. Only a test that fails waits for this long.
LONG = 60.0

Login = fixture.Login
Request = fixture.Request
Server = fixture.Server


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


def bad_request(message: str) -> bytes:
    """Return Trove's 400."""
    return fixture.encode(fixture.fault(400, 'badRequest', message))


NOT_ADMIN = fixture.encode(
    fixture.fault(401, 'unauthorized', 'User does not have admin privileges.')
)
PONG = fixture.encode(fixture.reachable())
DEAD = fixture.encode(fixture.agent_timeout())


def outcome(
    target: outcomes.Target, *results: verdicts.PingResult
) -> outcomes.Outcome:
    """Return the outcome of a guest whose last ping had the last result."""
    series = outcomes.Series()
    for result in results:
        series.add(result)
    return outcomes.Outcome(target, results[-1], series)


def findings(
    targets: Sequence[outcomes.Target], results: Sequence[verdicts.PingResult]
) -> outcomes.Findings:
    """Return the findings of a sweep with one result for each target."""
    return outcomes.Findings(list(map(outcome, targets, results)))


class Terminal(io.StringIO):
    """A stream that looks like a terminal."""

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        """Return the printed text without colours and cursor movements."""
        return re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', self.getvalue())


def lose_keystone(trove: client.Client) -> None:
    """Let Keystone refuse connections after the first login of a client."""
    login = trove.client.session.auth
    get_token = login.get_token

    def get_one_token(session: Any) -> Any:
        if login.logins:
            raise ksa_exceptions.ConnectFailure('Keystone is gone')
        return get_token(session)

    login.get_token = get_one_token


def read_terminal(ours: int) -> str:
    """Return all that was written to a pseudo-terminal that is closed.

    The kernel passes on what was written piece by piece, so that one read may
    return less.

    :param ours: the descriptor of the end that reads.
    """
    pieces = []
    # At the end, the read fails with EIO.
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 65536):
            pieces.append(piece)
    return b''.join(pieces).decode()


class TestCase(testtools.TestCase):
    """A test that may talk to servers on loopback."""

    def setUp(self) -> None:
        super().setUp()
        # The first clean-up is the last to run: the servers have stopped.
        self.addCleanup(self._wait_for_threads, set(threading.enumerate()))
        # A proxy of this machine does not reach loopback.
        for name in ('http_proxy', 'https_proxy', 'all_proxy', 'no_proxy'):
            self.useFixture(fixtures.EnvironmentVariable(name))
            self.useFixture(fixtures.EnvironmentVariable(name.upper()))

    def _wait_for_threads(self, before: set[threading.Thread]) -> None:
        """Wait for the threads of this test.

        A login that hangs fails when its server stops. Its log line must not
        end up in the next test.
        """
        end = time.monotonic() + LONG
        # Not by join(): a thread that is about to start cannot be joined.
        while left := set(threading.enumerate()) - before:
            self.assertLess(time.monotonic(), end, str(left))
            time.sleep(0.001)

    def serve(
        self,
        answer: replies.Reply | bytes | Callable[[Request], Any],
        tls: ssl.SSLContext | None = None,
    ) -> Server:
        """Start a server that answers every request with, or by, *answer*."""
        if callable(answer):
            server = Server(answer, tls)
        else:
            fixed = answer
            server = Server(lambda request: fixed, tls)
        server.start()
        self.addCleanup(server.stop)
        return server

    def connect(self, url: str, **kwargs: Any) -> client.Client:
        """Return a client of a server.

        :param kwargs: for the keystoneauth session.
        """
        session = ksa_session.Session(auth=Login(url), **kwargs)
        return client.Client(session=session)
