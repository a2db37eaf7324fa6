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

"""How far a sweep is, on stderr; a bar only on a terminal."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import itertools
import time
from types import TracebackType
from typing import Any
from typing import Self

from rich import console
from rich import progress

from troveclient_rpcping import durations
from troveclient_rpcping import plaintext
from troveclient_rpcping.fleet.series import Series
from troveclient_rpcping.targets import Target

# A wait that is shorter than this, in seconds, needs no word.
_LONG = 5.0

# Who is awaited is said every so many seconds, and of how many by name.
_NAME_AFTER = 2.0
_NAMED = 5


class Progress:
    """Shows a bar for as long as its block lasts.

    :param app: the ``openstack`` shell.
    :param asked: which guests are asked.
    :param arguments: the parsed command line.
    :param deadline: seconds for all of them; None for no limit.
    """

    def __init__(
        self,
        app: Any,
        asked: Sequence[Target],
        arguments: argparse.Namespace,
        deadline: float | None,
    ):
        # Who is awaited, and the name; in a wait, until it has answered.
        self._awaited = {
            target.instance_id: target.name
            for target in asked
            if target.instance_id
        }
        self._waits = arguments.wait is not None
        self._option = '--wait' if self._waits else '--deadline'
        self._stable = arguments.stable or 1
        self._pings = len(self._awaited) * (arguments.count or 1)
        self._done = 0
        self._end = None if deadline is None else time.monotonic() + deadline
        # None: it is closed.
        self._quiet = app.stderr is None or not app.options.verbose_level
        self._said = False
        self._named = 0
        self._name_next = time.monotonic() + _NAME_AFTER
        self._bar = progress.Progress(
            progress.TextColumn('{task.description}'),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            console=console.Console(file=app.stderr),
            transient=True,
            disable=self._quiet
            or (self._pings < 2 and not self._waits)
            or not app.stderr.isatty()
            # Log lines would break it up.
            or bool(app.options.debug),
        )
        self._task = self._bar.add_task('pings', total=self._pings)
        if arguments.rate:
            self._slow('limited by --rate', arguments.rate, 0.0)

    def __enter__(self) -> Self:
        if not self._bar.disable:
            self._bar.start()
            if self._waits:
                self._name_the_awaited()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Before rich 15 it ends with an empty line, disabled or not.
        if not self._bar.disable:
            self._bar.stop()

    def saw(self, instance_id: str, series: Series) -> None:
        """Take in one more result.

        :param instance_id: whose it is.
        :param series: all of that guest.
        """
        if not self._waits:
            self._advance()
        elif series.in_a_row >= self._stable:
            self._awaited.pop(instance_id, None)
            self._advance()
        if self._waits and time.monotonic() >= self._name_next:
            self._name_the_awaited()

    def throttled(self, rate: float, pause: float) -> None:
        """Take in that the rate limit of the server has set in.

        :param rate: pings a second that seem to get through.
        :param pause: seconds until the next one may.
        """
        self._slow('rate limit of the server', rate, pause)

    def _advance(self) -> None:
        self._done += 1
        self._bar.advance(self._task)

    def _name_the_awaited(self) -> None:
        self._name_next = time.monotonic() + _NAME_AFTER
        if not self._awaited or self._quiet:
            return
        first = itertools.islice(self._awaited.items(), _NAMED)
        names = [self._named_guest(id_, name) for id_, name in first]
        rest = len(self._awaited) - len(names)
        text = f'waiting for {", ".join(names)}'
        if rest:
            text += f' and {rest} more'
        self._bar.update(self._task, description=text)
        # Without a bar, one line for each change.
        if self._bar.disable and len(self._awaited) != self._named:
            self._named = len(self._awaited)
            self._say(text)

    def _named_guest(self, id_: str, name: str | None) -> str:
        if not name:
            return plaintext.word(id_)
        if not self._bar.disable:
            # The bar has little room, and nothing parses it.
            return plaintext.quoted(name)
        return f'{plaintext.word(id_)} {plaintext.quoted(name)}'

    def _slow(self, cause: str, rate: float, pause: float) -> None:
        seconds = pause + (self._pings - self._done) / rate
        text = f'{cause}: about {durations.human(seconds)} to go'
        self._bar.update(self._task, description=text)
        if self._said or self._quiet or seconds < _LONG:
            return
        self._said = True
        self._say(text)
        if self._end is None:
            return
        left = max(0.0, self._end - time.monotonic())
        if left < seconds:
            still = int(max(0.0, left - pause) * rate)
            self._say(
                f'{self._option} comes before that: about {still} of '
                f'{self._pings - self._done} pings will still be sent'
            )

    def _say(self, text: str) -> None:
        self._bar.console.print(
            text, markup=False, highlight=False, soft_wrap=True
        )
