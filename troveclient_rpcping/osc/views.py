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

"""How the monitor shows itself: lines in a pipe, a live view on a terminal."""

from __future__ import annotations

import argparse
from collections.abc import Callable
import errno
from types import TracebackType
from typing import Any
from typing import Protocol
from typing import Self

from troveclient_rpcping.osc import report
from troveclient_rpcping.osc import surroundings
from troveclient_rpcping.outcomes.changes import Watch
from troveclient_rpcping.outcomes.summary import Summary


class View(Protocol):
    """What the monitor tells its view."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""

    def begins(self, guests: int) -> None:
        """Take in that a sweep of so many guests begins."""

    def advances(self) -> None:
        """Take in one more result of it."""

    def swept(self, watch: Watch, summary: Summary, seconds: float) -> None:
        """Take in that it ended, and how things are."""

    def failed(self, watch: Watch) -> None:
        """Take in that it brought nothing."""

    def line(self, line: str) -> None:
        """Print what has changed."""

    def remark(self, words: str) -> None:
        """Say something of the monitor itself."""


class Output:
    """Standard output, which may fail.

    :param stream: the stream; None if it is closed.
    :param stderr: what goes with it if both are a terminal.
    :param expendable: whether it is no reason to end if it fails. That its
        reader ended is one in any case.
    """

    def __init__(self, stream: Any, stderr: Any, *, expendable: bool):
        self._stream = stream
        self._expendable = expendable
        # One that is gone does not know any more that it was one.
        self._terminals = [
            each for each in (stream, stderr) if each and each.isatty()
        ]
        #: Whether it is closed, or the terminal went away: nothing is printed
        #: any more.
        self.gone = stream is None
        #: What went wrong since this was last taken; empty for nothing.
        self.trouble = ''

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Whether it is a terminal, or was one."""
        return self._stream is not None and self._stream in self._terminals

    def write(self, text: str) -> int:
        """Print, if there is somebody to read it."""
        self._do(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Let what was printed be seen; see :meth:`write`."""
        self._do(lambda: self._stream.flush())

    def _do(self, act: Callable[[], object]) -> None:
        if self.gone:
            return
        try:
            act()
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.errno == errno.EIO and self.isatty():
                self.gone = True
                surroundings.let_go(*self._terminals)
            elif self._expendable:
                self.trouble = f'Cannot print what changes: {error.strerror}'
            else:
                raise


def view(app: Any, arguments: argparse.Namespace, output: Output) -> View:
    """Return the view that suits where the output goes.

    :param app: the ``openstack`` shell.
    :param arguments: the parsed command line.
    :param output: where that is.
    """
    quiet = not app.options.verbose_level
    lines = Lines(output, None if quiet else app.stderr)
    if quiet or arguments.json or app.options.debug or not output.isatty():
        return lines
    from troveclient_rpcping.osc import below
    from troveclient_rpcping.osc import live

    if not below.can_show(output, live.CHARACTERS):
        return lines
    return live.Screen(output, arguments.interval)


class Lines:
    """Prints changes to one stream, and remarks to another.

    :param stdout: for changes.
    :param stderr: for remarks; None for nowhere.
    """

    def __init__(self, stdout: Any, stderr: Any):
        self._stdout = stdout
        self._stderr = stderr
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return

    def begins(self, guests: int) -> None:
        """See :meth:`View.begins`."""

    def advances(self) -> None:
        """See :meth:`View.advances`."""

    def swept(self, watch: Watch, summary: Summary, seconds: float) -> None:
        """See :meth:`View.swept`."""
        if not self._begun:
            self._begun = True
            self.remark(f'Watching {report.counts(summary)}')

    def failed(self, watch: Watch) -> None:
        """See :meth:`View.failed`."""

    def line(self, line: str) -> None:
        """See :meth:`View.line`."""
        self._stdout.write(f'{line}\n')
        # Who reads it wants it now.
        self._stdout.flush()

    def remark(self, words: str) -> None:
        """See :meth:`View.remark`."""
        if self._stderr is not None:
            try:
                self._stderr.write(f'{words}\n')
                self._stderr.flush()
            except OSError:
                surroundings.let_go(self._stderr)
