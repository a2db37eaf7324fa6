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

"""The output of the monitor: lines in a pipe, a live view on a terminal."""

from __future__ import annotations

import argparse
from collections.abc import Callable
import contextlib
import errno
from typing import Any

from troveclient_rpcping.osc import report
from troveclient_rpcping.osc import shell
from troveclient_rpcping.outcomes.changes import Watch
from troveclient_rpcping.outcomes.outcome import Summary


class Output:
    """Standard output, which may fail.

    :param stream: the stream; None if it is closed.
    :param stderr: standard error. It is discarded together with *stream* if
        both are a terminal that went away.
    :param expendable: whether the monitor goes on after an error. It always
        ends when the reader of a pipe ends.
    """

    def __init__(self, stream: Any, stderr: Any, *, expendable: bool):
        self._stream = stream
        self._expendable = expendable
        # isatty() is false for a terminal that went away.
        self._terminals = [
            each for each in (stream, stderr) if each and each.isatty()
        ]
        #: Whether the stream is closed, or its terminal went away.
        self.gone = stream is None
        #: The last error; empty for none. Its reader empties it.
        self.trouble = ''

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Whether the stream is, or was, a terminal."""
        return self._stream is not None and self._stream in self._terminals

    def write(self, text: str) -> int:
        """Print, unless the stream is gone."""
        self._do(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, unless the stream is gone."""
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
                shell.discard(*self._terminals)
            elif self._expendable:
                self.trouble = f'Cannot print what changes: {error.strerror}'
            else:
                raise


class Lines:
    """Prints changes to one stream, and remarks to another.

    The live view overrides every method.

    :param stderr: the stream for remarks; None to print none.
    """

    def __init__(self, stdout: Any, stderr: Any):
        self._stdout = stdout
        self._stderr = stderr
        self._announced = False

    def shown(self) -> contextlib.AbstractContextManager[None]:
        """Show the view within the block."""
        return contextlib.nullcontext()

    def begins(self, guests: int) -> None:
        """A sweep of this number of guests begins."""

    def saw(self) -> None:
        """One more result came."""

    def swept(self, watch: Watch, summary: Summary, seconds: float) -> None:
        """The sweep ended; *watch* has recorded it."""
        if not self._announced:
            self._announced = True
            self.remark(f'Watching {report.counts(summary)}')

    def failed(self, watch: Watch) -> None:
        """The sweep brought nothing; *watch* has recorded that."""

    def line(self, line: str) -> None:
        """Print a change."""
        self._stdout.write(f'{line}\n')
        # A reader wants each line at once.
        self._stdout.flush()

    def remark(self, words: str) -> None:
        """Print a remark about the monitor itself."""
        if self._stderr is not None:
            try:
                self._stderr.write(f'{words}\n')
                self._stderr.flush()
            except OSError:
                shell.discard(self._stderr)


def view(app: Any, arguments: argparse.Namespace, output: Output) -> Lines:
    """Return the view for an output."""
    quiet = not app.options.verbose_level
    lines = Lines(output, None if quiet else app.stderr)
    if quiet or arguments.json or app.options.debug or not output.isatty():
        return lines
    from troveclient_rpcping.osc import below
    from troveclient_rpcping.osc import live

    if not below.can_show(output, live.CHARACTERS):
        return lines
    return live.Screen(output, arguments.interval)
