# SPDX-License-Identifier: Apache-2.0

"""``check_trove_guest_rpc``: the start and the end of the process.

In every case the process prints a line and ends with a status from 0 to 3. A
monitoring system takes any 1 for a warning and any 2 for an outage, so a
plugin that fails must end with 3. At its top this module imports only modules
that are always there. If a later import fails, the line says so.

A monitoring system sends SIGTERM, a wrapper SIGALRM or SIGXCPU, a terminal
SIGHUP. If such a signal kills the plugin, Nagios reports CRITICAL. So each of
these signals raises :class:`Ended`, and the plugin still prints its line.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import io
import logging
import os
import signal
import sys
import time
import types
from typing import NoReturn
import warnings

# The exit status UNKNOWN.
_UNKNOWN = 3

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
    """A signal came that ends the process; the text names the signal."""


def main() -> NoReturn:
    """Run the plugin, and end the process."""
    started = time.monotonic()
    status = _UNKNOWN
    try:
        _silence()
        _handle_signals_by(_end)
        status = _run(started)
    except BaseException as error:
        # A signal came before the check began.
        _printed([_last_words(error)])
    finally:
        # Not sys.exit(): a thread that hangs would hold up the end, and a late
        # signal would change the status.
        os._exit(status)


def _run(started: float) -> int:
    """Make the check, print its lines, and return the exit status."""
    try:
        from troveclient_rpcping.plugin import timed_check

        check = timed_check.Check(sys.argv[1:], started)
        state, lines = check.outcome()
        status = int(state)
        _hold_off()
    except BaseException as error:
        status, lines = _UNKNOWN, [_last_words(error)]
    return status if _printed(lines) else _UNKNOWN


def _last_words(error: BaseException) -> str:
    if isinstance(error, Ended):
        return f'TROVE GUEST RPC UNKNOWN - {error} while starting'
    # Not with the module plaintext: its import may be what failed.
    text = f'{type(error).__name__}: {error}'.replace('|', ' ')
    clean = ''.join(c if c.isprintable() else ' ' for c in text)
    return f'TROVE GUEST RPC UNKNOWN - the check failed: {clean}'


def _printed(lines: Sequence[str]) -> bool:
    """Print lines, and return whether that succeeded."""
    stdout = sys.stdout
    try:
        if isinstance(stdout, io.TextIOWrapper):
            # Names of guests may have letters that the encoding lacks.
            stdout.reconfigure(errors='backslashreplace')
        # Python has no standard output (None) if it was closed at the start.
        stdout.write(''.join(f'{line}\n' for line in lines))
        stdout.flush()
    except BaseException:
        # Standard output is closed or full, or a signal came.
        return False
    return True


def _silence() -> None:
    # Icinga reads standard error, too: logs and warnings of libraries would
    # come before the line.
    warnings.simplefilter('ignore')
    logging.getLogger().addHandler(logging.NullHandler())


def _handle_signals_by(
    handler: Callable[[int, types.FrameType | None], None],
) -> None:
    for number in signal.valid_signals() - _LEFT_ALONE:
        # The plugin goes on ignoring a signal that its caller ignores.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _end(number: int, frame: types.FrameType | None) -> None:
    # "timeout" sends its signal twice. The second one must not interrupt the
    # printing.
    _hold_off()
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f'signal {number}'
    raise Ended(f'ended by {name}')


def _hold_off() -> None:
    """Let the plugin print its line: a signal ends it only after a grace."""
    _handle_signals_by(_hurry)


def _hurry(number: int, frame: types.FrameType | None) -> None:
    # Not with a thread: the signal may have interrupted the start of another.
    if not any(signal.getitimer(signal.ITIMER_REAL)):
        signal.signal(signal.SIGALRM, lambda *_: os._exit(_UNKNOWN))
        signal.setitimer(signal.ITIMER_REAL, _GRACE)
