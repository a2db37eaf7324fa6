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

"""The signals that end a command early, after it printed what is known.

Python drops an exception that a signal handler raises in a destructor, and
prints "Exception ignored in". So a signal may get lost, and the user must send
it again. A process-wide hook could prevent that, but would affect other code.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import signal
import threading
from types import FrameType


class Terminated(BaseException):
    """SIGTERM arrived. No ``except Exception`` catches it."""


def sigterm_raises() -> contextlib.AbstractContextManager[None]:
    """Let SIGTERM raise :class:`Terminated` within the block."""

    def raise_terminated(signum: int, frame: FrameType | None) -> None:
        raise Terminated

    return _handled(signal.SIGTERM, raise_terminated)


def sighup_ignored() -> contextlib.AbstractContextManager[None]:
    """Let the program outlive its terminal within the block."""
    return _handled(signal.SIGHUP, signal.SIG_IGN)


@contextlib.contextmanager
def _handled(
    number: signal.Signals,
    handler: Callable[[int, FrameType | None], None] | signal.Handlers,
) -> Iterator[None]:
    # Only the main thread gets signals, and may set handlers.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, previous)
