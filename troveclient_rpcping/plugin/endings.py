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
SIGHUP. For Nagios, a plugin that a signal kills is CRITICAL. So each of these
signals raises :class:`Ended`, and the plugin ends with its line.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from types import FrameType

# Seconds to print the line after a second signal.
_GRACE = 2.0

# Seconds until a lost signal comes again.
_SOON = 0.01

_LEFT_ALONE = {
    # Nobody can catch these.
    *(signal.SIGKILL, signal.SIGSTOP),
    # These end no process.
    *(signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH),
    *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
    # After the handler, the process would meet the same fault again.
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL),
}


class Ended(BaseException):
    """A signal arrived that ends the process.

    :param number: the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        """Return the reason of the end, for the line."""
        with contextlib.suppress(ValueError):
            return f'ended by {signal.Signals(self.number).name}'
        return f'ended by signal {self.number}'


def catch() -> None:
    """Let the first signal raise :class:`Ended` in the main thread.

    Signals that the caller of the process ignores stay ignored.
    """
    sys.unraisablehook = _lost
    _handle_by(_end)


def hold_off() -> None:
    """Let signals end the process only after the time to print the line."""
    _handle_by(_hurry)


def _handle_by(handler: object) -> None:
    for number in signal.valid_signals() - _LEFT_ALONE:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)  # type: ignore[arg-type]


def _end(number: int, frame: FrameType | None) -> None:
    # "timeout" sends its signal twice. The second one must not interrupt.
    hold_off()
    raise Ended(number)


def _hurry(number: int, frame: FrameType | None) -> None:
    # Not by a thread: the signal may have interrupted the start of one.
    ends = time.monotonic() + _GRACE

    def give_up(alarm: int, frame: FrameType | None) -> None:
        if time.monotonic() >= ends:
            os._exit(3)

    if not any(signal.getitimer(signal.ITIMER_REAL)):
        signal.signal(signal.SIGALRM, give_up)
        signal.setitimer(signal.ITIMER_REAL, _GRACE, _SOON)


def _lost(unraisable: sys.UnraisableHookArgs) -> None:
    """Raise again a signal that Python drops, as in a destructor.

    Nothing is printed: Icinga takes standard error for output.
    """
    lost = unraisable.exc_value
    if isinstance(lost, Ended):
        number = lost.number

        def raise_again(alarm: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGALRM, _hurry)
            raise Ended(number)

        signal.signal(signal.SIGALRM, raise_again)
        # Not at once: it would arrive in this handler, and be lost again.
        signal.setitimer(signal.ITIMER_REAL, _SOON)
