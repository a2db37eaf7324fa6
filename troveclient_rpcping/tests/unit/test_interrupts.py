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

"""The signals that end a command."""

import signal
import threading

import testtools

from troveclient_rpcping.osc import shell


class InterruptsTest(testtools.TestCase):
    def test_sigterm_raises_within_the_block_only(self) -> None:
        """Afterwards, the program has its old handler again."""
        before = signal.getsignal(signal.SIGTERM)

        def work() -> None:
            with shell.sigterm_raises():
                signal.raise_signal(signal.SIGTERM)

        self.assertRaises(shell.Terminated, work)
        self.assertIs(before, signal.getsignal(signal.SIGTERM))

    def test_in_another_thread_nothing_changes(self) -> None:
        """Only the main thread may set handlers."""
        handlers: list[object] = []

        def work() -> None:
            with shell.sigterm_raises(), shell.sighup_ignored():
                handlers.append(signal.getsignal(signal.SIGTERM))
                handlers.append(signal.getsignal(signal.SIGHUP))

        before = [signal.getsignal(signal.SIGTERM)]
        before.append(signal.getsignal(signal.SIGHUP))
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertEqual(before, handlers)
