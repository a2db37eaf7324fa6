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

"""No Ctrl-C and no SIGTERM is lost."""

from collections.abc import Callable
import signal
import sys
import threading
import time

import testtools

from troveclient_rpcping.osc import interrupts

# Seconds that nothing takes.
LONG = 60.0


class Dying:
    """Does something when nobody holds it any more."""

    def __init__(self, last_act: Callable[[], None]) -> None:
        self._last_act = last_act

    def __del__(self) -> None:
        self._last_act()


def sleep() -> None:
    """Sleep until something is raised."""
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        time.sleep(0.1)


class InterruptsTest(testtools.TestCase):
    def assert_raised(
        self, kind: type[BaseException], number: signal.Signals
    ) -> None:
        """A signal in a destructor raises *kind* outside of it."""

        def work() -> None:
            with interrupts.sigterm_raises(), interrupts.none_lost():
                Dying(lambda: signal.raise_signal(number))
                sleep()

        self.assertRaises(kind, work)

    def test_ctrl_c_in_a_destructor_is_not_lost(self) -> None:
        """Python prints and forgets it."""
        self.assert_raised(KeyboardInterrupt, signal.SIGINT)

    def test_sigterm_in_a_destructor_is_not_lost(self) -> None:
        """A service is to end when it is told to."""
        self.assert_raised(interrupts.Terminated, signal.SIGTERM)

    def test_other_exceptions_in_destructors_are_left_to_python(self) -> None:
        """They are nobody's wish to end the program."""
        seen: list[type[BaseException]] = []
        self.patch(
            sys,
            'unraisablehook',
            lambda unraisable: seen.append(unraisable.exc_type),
        )
        with interrupts.none_lost():
            Dying(lambda: [][0])
        self.assertEqual([IndexError], seen)

    def test_one_that_is_lost_last_is_raised_at_the_end(self) -> None:
        """No alarm comes after it: nobody would handle that."""

        def work() -> None:
            with interrupts.none_lost():
                Dying(lambda: signal.raise_signal(signal.SIGINT))

        self.assertRaises(KeyboardInterrupt, work)
        self.assertEqual((0.0, 0.0), signal.getitimer(signal.ITIMER_REAL))
        self.assertEqual(signal.SIG_DFL, signal.getsignal(signal.SIGALRM))

    def test_a_timer_of_the_program_goes_on(self) -> None:
        """As long as nothing was lost; and its alarm means nothing else."""
        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_REAL, LONG)
        with interrupts.none_lost():
            signal.raise_signal(signal.SIGALRM)
        self.assertGreater(signal.getitimer(signal.ITIMER_REAL)[0], 0)

    def test_in_another_thread_nothing_changes(self) -> None:
        """Signals arrive in the main one only."""
        handlers: list[object] = []

        def work() -> None:
            with interrupts.sigterm_raises(), interrupts.none_lost():
                handlers.append(signal.getsignal(signal.SIGTERM))
                handlers.append(signal.getsignal(signal.SIGALRM))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertEqual([signal.SIG_DFL, signal.SIG_DFL], handlers)
