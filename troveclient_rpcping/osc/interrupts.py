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

"""Ending early, with all that is known."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import signal
import sys
import threading
from types import FrameType

# Seconds until an interrupt that was lost comes again.
_SOON = 0.01


class Terminated(BaseException):
    """SIGTERM arrived. No ``Exception``: nothing but its owner catches it."""


def sigterm_raises() -> contextlib.AbstractContextManager[None]:
    """Let SIGTERM raise :class:`Terminated` within the block."""

    def raise_terminated(signum: int, frame: FrameType | None) -> None:
        raise Terminated

    return _handled(signal.SIGTERM, raise_terminated)


@contextlib.contextmanager
def none_lost() -> Iterator[None]:
    """Let an interrupt that Python forgets come again within the block.

    Python prints what is raised in a destructor, or in the callback of a weak
    reference, and forgets it; a signal may arrive in one.
    """
    if not _gets_signals():
        yield
        return
    lost: list[type[BaseException]] = []

    def raise_again(signum: int, frame: FrameType | None) -> None:
        if lost:
            raise lost.pop()

    def keep(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, (KeyboardInterrupt, Terminated)):
            lost.append(unraisable.exc_type)
            # Not at once: it would arrive in here, and be lost once more.
            signal.setitimer(signal.ITIMER_REAL, _SOON)
        else:
            print_it(unraisable)

    print_it = sys.unraisablehook
    with _handled(signal.SIGALRM, raise_again):
        sys.unraisablehook = keep
        try:
            yield
        finally:
            sys.unraisablehook = print_it
            if lost:
                signal.setitimer(signal.ITIMER_REAL, 0)
        if lost:
            raise lost.pop()


def sighup_ignored() -> contextlib.AbstractContextManager[None]:
    """Let the program outlive its terminal within the block."""
    return _handled(signal.SIGHUP, signal.SIG_IGN)


@contextlib.contextmanager
def _handled(
    number: signal.Signals,
    handler: Callable[[int, FrameType | None], None] | signal.Handlers,
) -> Iterator[None]:
    if not _gets_signals():
        yield
        return
    previous = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, previous)


def _gets_signals() -> bool:
    # Only the main thread does: in any other nothing changes.
    return threading.current_thread() is threading.main_thread()
