# SPDX-License-Identifier: Apache-2.0

"""A picture below the lines of a terminal, drawn again and again.

``rich.live`` does the same, but a resize leaves a copy of the picture behind,
the echo of Ctrl-C breaks it, and Ctrl-Z leaves the cursor hidden.
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
import types
from typing import Any

from rich import console

from troveclient_rpcping.osc import shell

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
    :param characters: the characters that it must be able to print.
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
    """Prints lines, and a picture below them."""

    def __init__(
        self,
        screen: console.Console,
        picture: Callable[[], console.RenderableType],
    ):
        self._screen = screen
        self._picture = picture
        # Reentrant, because a signal may come in the thread that holds it.
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._drawn = 0
        self._size: console.ConsoleDimensions | None = None
        self._lines: collections.deque[str] = collections.deque(maxlen=_KEPT)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Draw the picture within the block, and erase it at the end."""
        with (
            _echo(self._screen.file, on=False),
            shell.handled(signal.SIGTSTP, self._stop),
        ):
            try:
                self._write(_HIDE_CURSOR)
                self.draw()
                threading.Thread(target=self._go_on, daemon=True).start()
                yield
            finally:
                self._over.set()
                with self._lock:
                    self._write(self._erased() + _SHOW_CURSOR)

    def line(self, text: str, style: str = '') -> None:
        """Print a line above the picture."""
        with self._lock:
            printed = self._rendered(text, style)
            self._lines.append(printed)
            self._write(self._erased() + printed)
            if not self._over.is_set():
                self.draw()

    def draw(self) -> None:
        """Draw the picture."""
        with self._lock:
            before = self._erased()
            if self._size not in (None, self._screen.size):
                # Terminals move the old picture in different ways.
                before = _CLEAR_ALL + ''.join(self._lines)
            self._size = self._screen.size
            picture = self._rendered(self._picture())
            rows = picture.split('\n')[: max(1, self._size.height - 1)]
            self._drawn = len(rows) - 1
            self._write(before + '\n'.join(rows))

    def _go_on(self) -> None:
        while not self._over.wait(_PAUSE):
            with contextlib.suppress(OSError, ValueError), self._lock:
                # The block may have ended while this thread waited.
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
        """Return the codes that erase the picture."""
        up = f'\x1b[{self._drawn}A' if self._drawn else ''
        self._drawn = 0
        return f'\r{up}{_CLEAR_BELOW}'

    def _write(self, text: str) -> None:
        self._screen.file.write(text)
        self._screen.file.flush()

    def _stop(self, number: int, frame: types.FrameType | None) -> None:
        """Restore the terminal while Ctrl-Z has stopped the program."""
        with self._lock:
            self._write(self._erased() + _SHOW_CURSOR)
            with _echo(self._screen.file, on=True):
                os.kill(os.getpid(), signal.SIGSTOP)
            # Another program may have written meanwhile.
            self._write(_HIDE_CURSOR)
            self.draw()


@contextlib.contextmanager
def _echo(stream: Any, *, on: bool) -> Iterator[None]:
    """Let a terminal echo what is typed, or not, within the block."""
    before = None
    # The stream may only look like a terminal, or its terminal may go away.
    errors = (OSError, ValueError, AttributeError, termios.error)
    with contextlib.suppress(*errors):
        before = termios.tcgetattr(stream.fileno())
        mode = before[3] | termios.ECHO if on else before[3] & ~termios.ECHO
        after = [*before[:3], mode, *before[4:]]
        termios.tcsetattr(stream.fileno(), termios.TCSADRAIN, after)
    try:
        yield
    finally:
        if before is not None:
            with contextlib.suppress(*errors):
                termios.tcsetattr(stream.fileno(), termios.TCSADRAIN, before)
