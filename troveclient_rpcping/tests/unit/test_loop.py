# SPDX-License-Identifier: Apache-2.0


"""libcurl's event loop, one request on it, and the limits of this machine."""

import errno
import json
import signal
import socket
import subprocess
import sys
import time
from typing import Any
from unittest import mock

import pycurl

from troveclient_rpcping import fixture
from troveclient_rpcping import reply as replies
from troveclient_rpcping.engine import access as engine_access
from troveclient_rpcping.engine import loop as loops
from troveclient_rpcping.osc import shell
from troveclient_rpcping.tests import base

# CURLOPT_QUICK_EXIT, in curl.h since 7.87.
QUICK_EXIT = 322

# Sweeps that would go on for hours, and the number of those interrupted.
INTERRUPTED = """
import signal, sys
from troveclient_rpcping.sweep import run
from troveclient_rpcping.tests import base
signal.signal(signal.SIGALRM, signal.default_int_handler)
manager = base.TestCase('setUp').connect(sys.argv[1]).mgmt_instances
interrupted = 0
for number in range(100):
    guests = (base.GUEST for _ in range(100_000_000))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01 + number / 10_000)
        for _ in manager.rpc_ping_each(guests, concurrency=8):
            pass
    except KeyboardInterrupt:
        interrupted += 1
print(interrupted)
"""

# A limit of the process cannot be raised again.
FLIGHT = """
import json, resource, sys
from troveclient_rpcping.engine import access
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
flight = access.flight(wanted)
print(json.dumps([flight, *resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""

FULL = """
import os, resource
from keystoneauth1 import session
import pycurl
from troveclient_rpcping import client, fixture
from troveclient_rpcping.engine import access, loop
api = client.Client(session=session.Session(auth=fixture.Login('http://x')))
handle = loop.Handle(access.Access(api))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
kept = []
try:
    while True:
        kept.append(os.open(os.devnull, 0))
except OSError:
    outcome = handle.outcome(pycurl.E_COULDNT_CONNECT, 'Could not connect')
os.close(kept.pop())
print(outcome.kind, outcome.message)
outcome = handle.outcome(pycurl.E_COULDNT_CONNECT, 'Could not connect')
print(outcome.kind, outcome.message)
"""


def run(program: str, *arguments: object) -> str:
    """Run a program in a process of its own; return what it prints."""
    process = subprocess.run(
        [sys.executable, '-c', program, *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        timeout=base.LONG,
    )
    return process.stdout + process.stderr


class Signalled(loops.Handle):
    """A handle that gets a signal in one of its callbacks.

    :param name: which callback.
    :param number: which signal.
    """

    def __init__(
        self, access: engine_access.Access, name: str, number: signal.Signals
    ):
        self._signals = {name: number}
        super().__init__(access)

    def _on_header(self, line: bytes) -> int:
        self._signal('header')
        return super()._on_header(line)

    def _on_body(self, data: bytes) -> int:
        self._signal('body')
        return super()._on_body(data)

    def _signal(self, name: str) -> None:
        if name in self._signals:
            signal.raise_signal(self._signals.pop(name))


class TestCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = self.serve(base.PONG)
        self.url = self.server.url
        self.access = engine_access.Access(self.connect(self.url))
        self.loop = loops.Loop()
        self.addCleanup(self.loop.close)

    def start(self, handle: loops.Handle, **kwargs: Any) -> None:
        bounds = {'timeout': base.LONG, 'limit': 1000, **kwargs}
        handle.prepare(self.url, [], **bounds)
        self.loop.start(handle)

    def send(
        self, handle: loops.Handle, **kwargs: Any
    ) -> replies.Reply | replies.NoReply:
        """Send a request, and wait for its end."""
        self.start(handle, **kwargs)
        [(ended, code, message)] = self.loop.wait(base.LONG)
        return ended.outcome(code, message)


class LoopTest(TestCase):
    def test_a_signal_in_a_callback_is_raised(self) -> None:
        """Ctrl-C or SIGTERM may arrive with a header or a body."""
        self.url = self.serve(base.DEAD).url
        for name in ('header', 'body'):
            for number, kind in (
                (signal.SIGINT, KeyboardInterrupt),
                (signal.SIGTERM, shell.Terminated),
            ):
                self.loop = loops.Loop()
                self.addCleanup(self.loop.close)
                handle = Signalled(self.access, name, number)
                with shell.sigterm_raises():
                    self.assertRaises(kind, self.send, handle, fresh=True)

    def test_no_interrupt_of_many_is_lost(self) -> None:
        """An interrupt may arrive at any point; most arrive in callbacks.

        pycurl before 7.48 lost one of six.
        """
        self.assertEqual('100\n', run(INTERRUPTED, self.url))

    def test_a_high_timeout_is_not_an_error(self) -> None:
        """The selector counts milliseconds in 32 bits."""
        handle = loops.Handle(self.access)
        self.start(handle)
        self.assertEqual([(handle, pycurl.E_OK, '')], self.loop.wait(1e12))

    def test_an_absence_ends_no_attempt_to_connect(self) -> None:
        """libcurl ends an attempt to connect by a clock of its own."""
        listener = socket.create_server(('127.0.0.1', 0), backlog=0)
        self.addCleanup(listener.close)
        # This one fills the queue. The next has to try again after a second.
        first = socket.create_connection(listener.getsockname())
        self.addCleanup(first.close)
        self.url = f'http://127.0.0.1:{listener.getsockname()[1]}/'
        handle = loops.Handle(self.access)
        self.start(handle, timeout=0.5)
        self.assertEqual([], self.loop.wait(0.0))
        left = time.monotonic()
        for _ in range(2):
            connection, _ = listener.accept()
            self.addCleanup(connection.close)
        connection.sendall(base.PONG)
        self.loop.discount(time.monotonic() - left)
        self.assertEqual(
            [(handle, pycurl.E_OK, '')], self.loop.wait(base.LONG)
        )


class HandleTest(TestCase):
    def test_a_fresh_request_has_a_connection_of_its_own(self) -> None:
        """Others use a kept connection, also that of another handle."""
        handle = loops.Handle(self.access)
        for each, fresh, connections in (
            (handle, True, 1),
            (handle, False, 2),
            (handle, True, 3),
            (handle, False, 3),
            (loops.Handle(self.access), False, 3),
        ):
            self.send(each, fresh=fresh)
            self.assertEqual(connections, self.server.connections)

    def test_a_timeout_says_whether_there_was_a_connection(self) -> None:
        """The API accepts a new or a kept connection, and keeps silent."""
        handle = loops.Handle(self.access)
        self.send(handle)
        self.server.answer = lambda request: fixture.silence()
        for fresh in (False, True):
            self.assertEqual(
                replies.NoReply(
                    replies.Failure.TIMEOUT,
                    'No answer from the API within 0.5 s',
                ),
                self.send(handle, timeout=0.5, fresh=fresh),
            )

    def test_an_end_does_not_wait_for_a_silent_name_server(self) -> None:
        """An older libcurl does not know the option."""
        if pycurl.version_info()[2] >= 0x075700:
            pycurl.Curl().setopt(QUICK_EXIT, 1)
        for supported in (True, False):
            curl = mock.Mock()

            def setopt(
                option: int, value: object, supported: bool = supported
            ) -> None:
                if option == QUICK_EXIT and not supported:
                    raise pycurl.error('unknown option')

            curl.setopt.side_effect = setopt
            self.patch(pycurl, 'Curl', lambda curl=curl: curl)
            loops.Handle(self.access)
            self.assertIn(mock.call(QUICK_EXIT, 1), curl.setopt.call_args_list)

    def test_an_error_without_a_text_is_named(self) -> None:
        """libcurl has no text for some errors of GnuTLS."""
        handle = loops.Handle(self.access)
        for code, text, words in (
            (35, '', 'libcurl error 35 (ssl connect error)'),
            (56, '', 'libcurl error 56 (recv error)'),
            (999, '', 'libcurl error 999 (unnamed)'),
            (56, 'reset by peer', 'reset by peer'),
        ):
            outcome = handle.outcome(code, text)
            self.assertEqual(
                replies.NoReply(replies.Failure.CONNECTION, words), outcome
            )


class DescriptorsTest(base.TestCase):
    def test_the_limit_is_raised_as_far_as_needed_and_allowed(self) -> None:
        """A ping may take two descriptors, and the process needs some.

        Fewer pings fly where the hard limit is too low.
        """
        for soft, hard, wanted, flights, limits in (
            (1024, 4096, 64, [64], [1024]),
            (256, 4096, 1024, [1024], range(2049, 2200)),
            (256, 256, 1024, range(65, 128), [256]),
            (36, 36, 1024, [1], [36]),
        ):
            flight, *left = json.loads(run(FLIGHT, soft, hard, wanted))
            self.assertIn(flight, flights)
            self.assertIn(left[0], limits)
            self.assertEqual(hard, left[1])

    def test_a_port_that_is_missing_is_named(self) -> None:
        """The message says that this machine has no port left."""
        said = engine_access.shortage(errno.EADDRNOTAVAIL)
        self.assertIn('no local port left', said)
        self.assertEqual('', engine_access.shortage(errno.ECONNREFUSED))

    def test_a_descriptor_that_is_missing_is_named(self) -> None:
        """With a descriptor, the connection has failed for another cause."""
        full, free = run(FULL).splitlines()
        self.assertRegex(
            full, 'connection This machine has no file descriptor left'
        )
        self.assertEqual('connection Could not connect', free)
