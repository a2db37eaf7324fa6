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

import time
from types import TracebackType
from typing import Any
from typing import Self

from rich import console
from rich import progress

from troveclient_rpcping import durations

# A wait that is shorter than this, in seconds, needs no word.
_LONG = 5.0


class Progress:
    """Shows a bar for as long as its block lasts.

    :param app: the ``openstack`` shell.
    :param guests: how many guests are asked.
    :param deadline: seconds for all of them; None for no limit.
    """

    def __init__(self, app: Any, guests: int, deadline: float | None):
        self._guests = guests
        self._done = 0
        self._end = None if deadline is None else time.monotonic() + deadline
        # None: it is closed.
        self._quiet = app.stderr is None or not app.options.verbose_level
        self._said = False
        self._bar = progress.Progress(
            progress.TextColumn('{task.description}'),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            console=console.Console(file=app.stderr),
            transient=True,
            disable=self._quiet
            or guests < 2
            or not app.stderr.isatty()
            # Log lines would break it up.
            or bool(app.options.debug),
        )
        self._task = self._bar.add_task('guests', total=guests)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def advance(self) -> None:
        """Count one more guest."""
        self._done += 1
        self._bar.advance(self._task)

    def throttled(self, rate: float, pause: float) -> None:
        """Take in that the rate limit of the server has set in.

        :param rate: pings a second that seem to get through.
        :param pause: seconds until the next one may.
        """
        self._slow('rate limit of the server', rate, pause)

    def limited(self, rate: float) -> None:
        """Take in that ``--rate`` limits the pings.

        :param rate: pings a second.
        """
        self._slow('limited by --rate', rate, 0.0)

    def _slow(self, cause: str, rate: float, pause: float) -> None:
        seconds = pause + (self._guests - self._done) / rate
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
                f'--deadline comes before that: about {still} of '
                f'{self._guests - self._done} guests will still be asked'
            )

    def _say(self, text: str) -> None:
        self._bar.console.print(
            text, markup=False, highlight=False, soft_wrap=True
        )
