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

"""A picture below the lines of a terminal, drawn again and again.

rich has such a thing (``rich.live``), but a resize leaves a copy of it behind,
the echo of Ctrl-C tears it up, and after Ctrl-Z the cursor is gone.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import os
import signal
import termios
import threading
from types import FrameType
from typing import Any

from rich import console

# Seconds from one picture to the next.
_PAUSE = 0.5

# Lines that are printed again when the terminal has another size.
_KEPT = 100

_HIDE_CURSOR = '\x1b[?25l'
_SHOW_CURSOR = '\x1b[?25h'
_CLEAR_BELOW = '\x1b[J'
_CLEAR_ALL = '\x1b[H\x1b[2J'


def can_show(stream: Any, characters: str) -> bool:
    """Whether a stream is a terminal that can move its cursor.

    :param stream: the stream; None if it is closed.
    :param characters: which it must be able to print.
    """
    if stream is None or not stream.isatty():
        return False
    if os.environ.get('TERM', '').lower() in ('', 'dumb', 'unknown'):
        return False
    try:
        characters.encode(stream.encoding or 'utf-8')
    except (UnicodeEncodeError, LookupError):
        return False
    return True


class Below:
    """Prints lines, and a picture below them.

    :param screen: the terminal.
    :param picture: gives what to draw.
    """

    def __init__(
        self,
        screen: console.Console,
        picture: Callable[[], console.RenderableType],
    ):
        self._screen = screen
        self._picture = picture
        # A signal may come while it is held, in the thread that holds it.
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._drawn = 0
        self._size: console.ConsoleDimensions | None = None
        self._lines: collections.deque[str] = collections.deque(maxlen=_KEPT)
        self._stack = contextlib.ExitStack()

    def start(self) -> None:
        """Draw from now on."""
        self._stack.enter_context(_without_echo(self._screen.file))
        self._stack.enter_context(self._paused_when_stopped())
        self._write(_HIDE_CURSOR)
        self.draw()
        threading.Thread(target=self._go_on, daemon=True).start()

    def stop(self) -> None:
        """Draw no more, and take the picture away."""
        self._over.set()
        with self._lock:
            self._write(self._erased() + _SHOW_CURSOR)
        self._stack.close()

    def line(self, text: str, style: str = '') -> None:
        """Print a line above the picture."""
        with self._lock:
            printed = self._rendered(text, style)
            self._lines.append(printed)
            self._write(self._erased() + printed)
            if not self._over.is_set():
                self.draw()

    def draw(self) -> None:
        """Draw what there is to see now."""
        with self._lock:
            before = self._erased()
            if self._size not in (None, self._screen.size):
                # Where the old picture is now depends on the terminal.
                before = _CLEAR_ALL + ''.join(self._lines)
            self._size = self._screen.size
            picture = self._rendered(self._picture())
            rows = picture.split('\n')[: max(1, self._size.height - 1)]
            self._drawn = len(rows) - 1
            self._write(before + '\n'.join(rows))

    def _go_on(self) -> None:
        while not self._over.wait(_PAUSE):
            with contextlib.suppress(OSError, ValueError), self._lock:
                # It may have ended while this waited for the lock.
                if not self._over.is_set():
                    self.draw()

    def _rendered(self, what: Any, style: str = '') -> str:
        with self._screen.capture() as captured:
            self._screen.print(
                what,
                style=style or None,
                markup=False,
                soft_wrap=isinstance(what, str),
                crop=not isinstance(what, str),
            )
        return captured.get()

    def _erased(self) -> str:
        """Return what takes the picture away."""
        up = f'\x1b[{self._drawn}A' if self._drawn else ''
        self._drawn = 0
        return f'\r{up}{_CLEAR_BELOW}'

    def _write(self, text: str) -> None:
        self._screen.file.write(text)
        self._screen.file.flush()

    @contextlib.contextmanager
    def _paused_when_stopped(self) -> Iterator[None]:
        """Leave a terminal in order while Ctrl-Z has stopped the program."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:
            with self._lock:
                self._write(self._erased() + _SHOW_CURSOR)
                with _with_echo(self._screen.file):
                    os.kill(os.getpid(), signal.SIGSTOP)
                # Another program may have drawn meanwhile.
                self._write(_HIDE_CURSOR)
                self.draw()

        previous = signal.signal(signal.SIGTSTP, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTSTP, previous)


def _without_echo(stream: Any) -> contextlib.AbstractContextManager[None]:
    """Let a terminal print nothing of what is typed within the block."""
    return _echo(stream, on=False)


def _with_echo(stream: Any) -> contextlib.AbstractContextManager[None]:
    return _echo(stream, on=True)


@contextlib.contextmanager
def _echo(stream: Any, *, on: bool) -> Iterator[None]:
    try:
        descriptor = stream.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, AttributeError, termios.error):
        # It only looks like one.
        yield
        return
    after = list(before)
    after[3] = before[3] | termios.ECHO if on else before[3] & ~termios.ECHO
    with contextlib.suppress(termios.error):
        termios.tcsetattr(descriptor, termios.TCSADRAIN, after)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
