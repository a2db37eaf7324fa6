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
import sys
import threading
import time

import pycurl

from troveclient_rpcping.engine.access import Access
from troveclient_rpcping.engine.handle import Handle
from troveclient_rpcping.engine.loop import Loop
from troveclient_rpcping.osc import interrupts
from troveclient_rpcping.tests import base

# Seconds that nothing here takes.
LONG = 60.0


class Interrupted(Handle):
    """A handle that is interrupted while the body arrives."""

    def _on_body(self, data: bytes) -> int:
        raise KeyboardInterrupt


class LoopTest(base.TestCase):
    def loop(self) -> Loop:
        loop = Loop()
        self.addCleanup(loop.close)
        return loop

    def test_an_interrupt_in_a_callback_is_raised(self) -> None:
        """pycurl would print and forget it."""
        server = self.serve(base.DEAD)
        handle = Interrupted(Access(self.connect(server.url)))
        handle.prepare(server.url, [], timeout=LONG, limit=1000)
        loop = self.loop()
        hook = sys.excepthook
        loop.start(handle)
        end = time.monotonic() + LONG

        def go_on() -> None:
            while time.monotonic() < end:
                loop.wait(1.0)

        self.assertRaises(KeyboardInterrupt, go_on)
        self.assertIs(hook, sys.excepthook)

    def test_exceptions_of_others_are_printed_again_afterwards(self) -> None:
        """Also if an interrupt came just as the loop had begun to listen."""
        loop = Loop()
        hook = sys.excepthook
        loop._interrupts.__enter__()
        loop.close()
        self.assertIs(hook, sys.excepthook)

    def test_threads_leave_the_hook_of_the_program_alone(self) -> None:
        """Each in a sweep of its own, at the same time."""
        server = self.serve(base.PONG)
        hook = sys.excepthook

        def sweep() -> None:
            manager = self.connect(server.url).mgmt_instances
            ids = [f'{base.GUEST}-{number}' for number in range(500)]
            for _ in manager.rpc_ping_each(ids):
                hooks.add(sys.excepthook)

        hooks = {hook}
        threads = [threading.Thread(target=sweep) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({hook}, hooks)
        self.assertIs(hook, sys.excepthook)

    def test_no_interrupt_of_many_is_lost(self) -> None:
        """Wherever in a sweep it arrives; as the commands run a sweep."""
        server = self.serve(base.PONG)
        manager = self.connect(server.url).mgmt_instances
        main = threading.main_thread().ident or 0
        for _ in range(50):
            stop = threading.Event()

            def interrupt(stop: threading.Event = stop) -> None:
                if not stop.wait(0.02):
                    signal.pthread_kill(main, signal.SIGINT)

            thread = threading.Thread(target=interrupt)

            def sweep(thread: threading.Thread = thread) -> None:
                thread.start()
                ids = (base.GUEST for _ in range(1_000_000))
                with interrupts.none_lost():
                    for _ in manager.rpc_ping_each(ids, concurrency=8):
                        server.requests.clear()

            try:
                self.assertRaises(KeyboardInterrupt, sweep)
            finally:
                stop.set()
                thread.join()

    def test_a_high_timeout_is_no_error(self) -> None:
        """The selector counts milliseconds in 32 bits."""
        server = self.serve(base.PONG)
        handle = Handle(Access(self.connect(server.url)))
        handle.prepare(server.url, [], timeout=LONG, limit=1000)
        loop = self.loop()
        loop.start(handle)
        ended: list[tuple[Handle, int, str]] = []
        while not ended:
            ended = loop.wait(1e12)
        self.assertEqual([(handle, pycurl.E_OK, '')], ended)
