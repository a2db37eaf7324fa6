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

"""The signals that end ``check_trove_guest_rpc``.

A monitoring system sends SIGTERM, a wrapper SIGALRM or SIGXCPU, a terminal
SIGHUP. If such a signal kills the plugin, Nagios reports CRITICAL. So each of
these signals raises :class:`Ended`, and the plugin still prints its line.
"""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType

# Seconds from the second signal to the end, even if nobody reads the line.
_GRACE = 2.0

_LEFT_ALONE = {
    # A process cannot catch these.
    *(signal.SIGKILL, signal.SIGSTOP),
    # These do not end a process.
    *(signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH),
    *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
    # After the handler of a fault, the same fault happens again.
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL),
}


class Ended(BaseException):
    """A signal came that ends the process.

    :param number: the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        """Return the text for the line."""
        with contextlib.suppress(ValueError):
            return f'ended by {signal.Signals(self.number).name}'
        return f'ended by signal {self.number}'


def catch() -> None:
    """Let the first signal raise :class:`Ended` in the main thread.

    The plugin goes on ignoring a signal that its caller ignores.
    """
    _handle_by(_end)


def hold_off() -> None:
    """Let the plugin print its line: a signal ends it only after a grace."""
    _handle_by(_hurry)


def _handle_by(handler: object) -> None:
    for number in signal.valid_signals() - _LEFT_ALONE:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)  # type: ignore[arg-type]


def _end(number: int, frame: FrameType | None) -> None:
    # "timeout" sends its signal twice. The second one must not interrupt the
    # printing.
    hold_off()
    raise Ended(number)


def _hurry(number: int, frame: FrameType | None) -> None:
    # Not with a thread: the signal may have interrupted the start of another.
    if not any(signal.getitimer(signal.ITIMER_REAL)):
        signal.signal(signal.SIGALRM, _give_up)
        signal.setitimer(signal.ITIMER_REAL, _GRACE)


def _give_up(number: int, frame: FrameType | None) -> None:
    os._exit(3)
