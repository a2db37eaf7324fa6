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

"""libcurl's event loop, and interrupts in the middle of it."""

import signal
import socket
import subprocess
import sys
import time

import pycurl

from troveclient_rpcping.engine.access import Access
from troveclient_rpcping.engine.handle import Handle
from troveclient_rpcping.engine.loop import Loop
from troveclient_rpcping.osc import shell
from troveclient_rpcping.tests import base

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


class Signalled(Handle):
    """A handle that gets a signal in one of its callbacks.

    :param name: which callback.
    :param number: which signal.
    """

    def __init__(self, access: Access, name: str, number: signal.Signals):
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


class LoopTest(base.TestCase):
    def loop(self) -> Loop:
        loop = Loop()
        self.addCleanup(loop.close)
        return loop

    def test_a_signal_in_a_callback_is_raised(self) -> None:
        """Ctrl-C or SIGTERM may arrive with a header or a body."""
        access = Access(self.connect(self.serve(base.DEAD).url))
        for name in ('header', 'body'):
            for number, kind in (
                (signal.SIGINT, KeyboardInterrupt),
                (signal.SIGTERM, shell.Terminated),
            ):
                loop = self.loop()
                handle = Signalled(access, name, number)
                handle.prepare(
                    access.endpoint,
                    [],
                    timeout=base.LONG,
                    limit=1000,
                    fresh=True,
                )

                def go_on(loop: Loop = loop, handle: Handle = handle) -> None:
                    loop.start(handle)
                    loop.wait(base.LONG)

                with shell.sigterm_raises():
                    self.assertRaises(kind, go_on)

    def test_no_interrupt_of_many_is_lost(self) -> None:
        """An interrupt may arrive at any point; most arrive in callbacks.

        pycurl before 7.48 lost one of six.
        """
        server = self.serve(base.PONG)
        # In a process of its own: threads of the server would end in it.
        process = subprocess.run(
            [sys.executable, '-c', INTERRUPTED, server.url],
            capture_output=True,
            text=True,
            timeout=base.LONG,
        )
        self.assertEqual(('100\n', ''), (process.stdout, process.stderr))

    def test_a_high_timeout_is_not_an_error(self) -> None:
        """The selector counts milliseconds in 32 bits."""
        server = self.serve(base.PONG)
        handle = Handle(Access(self.connect(server.url)))
        handle.prepare(server.url, [], timeout=base.LONG, limit=1000)
        loop = self.loop()
        loop.start(handle)
        self.assertEqual([(handle, pycurl.E_OK, '')], loop.wait(1e12))

    def test_an_absence_ends_no_attempt_to_connect(self) -> None:
        """libcurl ends an attempt to connect by a clock of its own."""
        listener = socket.create_server(('127.0.0.1', 0), backlog=0)
        self.addCleanup(listener.close)
        # This one fills the queue. The next has to try again after a second.
        first = socket.create_connection(listener.getsockname())
        self.addCleanup(first.close)
        url = f'http://127.0.0.1:{listener.getsockname()[1]}/'
        handle = Handle(Access(self.connect(url)))
        handle.prepare(url, [], timeout=0.5, limit=1000)
        loop = self.loop()
        loop.start(handle)
        self.assertEqual([], loop.wait(0.0))
        left = time.monotonic()
        for _ in range(2):
            connection, _ = listener.accept()
            self.addCleanup(connection.close)
        connection.sendall(base.PONG)
        loop.discount(time.monotonic() - left)
        self.assertEqual([(handle, pycurl.E_OK, '')], loop.wait(base.LONG))
