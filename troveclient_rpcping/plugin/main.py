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

"""``check_trove_guest_rpc``: the start and the end of the process.

In every case the process prints a line and ends with a status from 0 to 3. A
monitoring system takes any 1 for a warning and any 2 for an outage, so a
plugin that fails must end with 3. At its top this module imports only modules
that are always there. If a later import fails, the line says so.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import io
import logging
import os
import sys
import time
from typing import NoReturn
from typing import TextIO
import warnings

from troveclient_rpcping.plugin import endings

# The exit status UNKNOWN.
_UNKNOWN = 3


def main() -> NoReturn:
    """Run the plugin, and end the process."""
    started = time.monotonic()
    status = _UNKNOWN
    try:
        _silence()
        endings.catch()
        status = run(sys.argv[1:], sys.stdout, started, endings.hold_off)
    except BaseException as error:
        # A signal came before the check began.
        _printed([_last_words(error)], sys.stdout)
    finally:
        # Not sys.exit(): a thread that hangs would hold up the end, and a late
        # signal would change the status.
        os._exit(status)


def run(
    argv: Sequence[str],
    stdout: TextIO | None,
    started: float,
    hold_off: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Make the check, print its lines, and return the exit status.

    :param argv: the command line, without the program.
    :param stdout: standard output; None if it is closed.
    :param started: when the plugin began, on the clock.
    :param hold_off: this function calls it when only the printing is left.
    :param clock: returns the time in seconds.
    """
    try:
        from troveclient_rpcping.plugin import timed_check

        state, lines = timed_check.Check(argv, started, clock).outcome()
        status = int(state)
        hold_off()
    except BaseException as error:
        status, lines = _UNKNOWN, [_last_words(error)]
    return status if _printed(lines, stdout) else _UNKNOWN


def _last_words(error: BaseException) -> str:
    if isinstance(error, endings.Ended):
        return f'TROVE GUEST RPC UNKNOWN - {error} while starting'
    # Not with the module plaintext: its import may be what failed.
    text = f'{type(error).__name__}: {error}'.replace('|', ' ')
    clean = ''.join(c if c.isprintable() else ' ' for c in text)
    return f'TROVE GUEST RPC UNKNOWN - the check failed: {clean}'


def _printed(lines: Sequence[str], stdout: TextIO | None) -> bool:
    """Print lines, and return whether that succeeded."""
    if stdout is None:
        return False
    try:
        if isinstance(stdout, io.TextIOWrapper):
            # Names of guests may have letters that the encoding lacks.
            stdout.reconfigure(errors='backslashreplace')
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
