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

"""What ``openstack database instance rpc ping`` does."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Sequence
import contextlib
import dataclasses
import time
from typing import Any

from troveclient_rpcping import durations
from troveclient_rpcping import limits
from troveclient_rpcping import management
from troveclient_rpcping import plaintext
from troveclient_rpcping.cli import targets
from troveclient_rpcping.cli.targets import Target
from troveclient_rpcping.exceptions import ListingFailed
from troveclient_rpcping.exceptions import TargetError
from troveclient_rpcping.inventory import Instance
from troveclient_rpcping.osc import choice
from troveclient_rpcping.osc import exits
from troveclient_rpcping.osc import interrupts
from troveclient_rpcping.osc import measures
from troveclient_rpcping.osc import progress
from troveclient_rpcping.osc import report
from troveclient_rpcping.osc import rows
from troveclient_rpcping.osc import surroundings
from troveclient_rpcping.outcomes.series import Series
from troveclient_rpcping.outcomes.summary import Summary
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict


class Pinging:
    """One run of the command.

    :param app: the ``openstack`` shell.
    :param arguments: the parsed command line.
    """

    def __init__(self, app: Any, arguments: argparse.Namespace):
        self._app = app
        self._arguments = arguments
        self._columns = rows.columns_of(arguments)
        self._sentences: list[str] = []
        self._listing: list[Instance] | None = None
        self._interrupted: int | None = None
        self._started = time.monotonic()
        self._measures = measures.Measures(arguments.textfile, arguments.label)
        #: Final once the rows are there.
        self.exit_status = exits.UNKNOWN

    def rows(self) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        """Ping; return the columns, and a row for each guest."""
        if self._app.stdout is None:
            raise OSError('Standard output is closed')
        with self._measures.run():
            asked, every = self._ask()
        results = [
            self._outcome(target, series)
            for target, series in zip(asked, every, strict=True)
        ]
        self._conclude(asked, results, every)
        return self._columns, [
            rows.row(
                target,
                result,
                series,
                formatter=self._arguments.formatter,
                columns=self._columns,
            )
            for target, result, series in zip(
                asked, results, every, strict=True
            )
            if self._is_listed(result.verdict)
        ]

    def _is_listed(self, verdict: Verdict) -> bool:
        if self._arguments.bad_only:
            return exits.is_bad(verdict)
        return (
            verdict is not Verdict.REACHABLE or not self._arguments.failed_only
        )

    def report(self) -> None:
        """Tell people what the rows mean, unless they want quiet."""
        # Behind the rows, also where both streams are one.
        self._app.stdout.flush()
        self._say(*self._sentences)

    def _say(self, *sentences: str) -> None:
        stderr = self._app.stderr
        if stderr is None or not self._app.options.verbose_level:
            return
        try:
            for sentence in sentences:
                stderr.write(f'{sentence}\n')
        except OSError:
            # The exit status stands, whether anybody can be told or not.
            surroundings.let_go(stderr)

    def _ask(self) -> tuple[list[Target], list[Series]]:
        """Return which guests were asked, and what came of each."""
        arguments = choice.lasting(self._app, self._arguments)
        with surroundings.manager(self._app, self._left()) as manager:
            asked = self._choose(arguments, manager)
            return asked, self._ping(manager, asked, self._left())

    def _left(self) -> float | None:
        """Seconds until the command is to end; None for no limit."""
        ends = [self._arguments.deadline, self._arguments.wait]
        end: float | None = min(filter(None, ends), default=None)
        if end is None:
            return None
        return max(0.001, end + self._started - time.monotonic())

    def _choose(
        self, arguments: argparse.Namespace, manager: management.Management
    ) -> list[Target]:
        """Find the guests; in a wait, until there is a listing."""
        pause = arguments.interval or limits.INTERVAL
        said = False
        while True:
            try:
                return choice.targets_of(
                    self._app,
                    arguments,
                    lambda: self._list(manager),
                    always_list=arguments.textfile is not None
                    or not rows.LISTED_COLUMNS.isdisjoint(self._columns),
                )
            except TargetError as error:
                left = self._left() or 0.0
                if not self._is_awaited(error) or left <= pause:
                    raise
                if not said:
                    self._say(f'waiting: {error.__cause__}')
                    said = True
                time.sleep(pause)

    def _list(self, manager: management.Management) -> list[Instance]:
        self._listing = manager.list_all(self._left())
        return self._listing

    def _is_awaited(self, error: TargetError) -> bool:
        """Whether it may pass that guests cannot be found."""
        why = error.__cause__
        return (
            self._arguments.wait is not None
            and isinstance(why, ListingFailed)
            and why.reason is not Reason.DENIED
        )

    def _ping(
        self,
        manager: management.Management,
        asked: list[Target],
        deadline: float | None,
    ) -> list[Series]:
        """Ping all; return what came of each target, in their order."""
        awaited = self._arguments.wait is not None
        by_id = {
            target.instance_id: Series(awaited=awaited)
            for target in asked
            if target.instance_id
        }
        shown = progress.Progress(self._app, asked, self._arguments, deadline)

        def on_throttle(rate: float, pause: float) -> None:
            self._measures.throttled(rate, pause)
            shown.throttled(rate, pause)

        guests = [
            target.instance or target.instance_id
            for target in asked
            if target.instance_id
        ]
        pings = self._pings(manager, guests, deadline, on_throttle)
        try:
            with shown, contextlib.closing(pings):
                for result in pings:
                    self._measures.saw(result)
                    series = by_id[result.instance_id]
                    series.add(result)
                    shown.saw(result.instance_id, series)
        except KeyboardInterrupt:
            self._interrupted = exits.INTERRUPTED
        except interrupts.Terminated:
            self._interrupted = exits.TERMINATED
        return [
            by_id[target.instance_id] if target.instance_id else Series()
            for target in asked
        ]

    def _pings(
        self,
        manager: management.Management,
        guests: Sequence[Instance | str | None],
        deadline: float | None,
        on_throttle: Callable[[float, float], None],
    ) -> Generator[PingResult]:
        arguments = self._arguments
        options = {
            'concurrency': arguments.concurrency,
            'timeout': arguments.timeout,
            'rate': arguments.rate,
            'deadline': deadline,
            'interval': arguments.interval or limits.INTERVAL,
            'listing': self._listing,
            'on_throttle': on_throttle,
        }
        if arguments.wait is None:
            count = arguments.count or 1
            return manager.rpc_ping_each(guests, count=count, **options)
        stable = arguments.stable or 1
        return manager.rpc_ping_until_reachable(
            guests, stable=stable, **options
        )

    def _outcome(self, target: Target, series: Series) -> PingResult:
        """Return what all pings of a guest come to."""
        # Who was waited for is what it is at the end.
        waited = self._arguments.wait is not None
        result = series.last if waited else series.worst
        if result is None:
            why = 'Interrupted before an answer came'
            return targets.unanswered(target, why)
        if waited:
            return _unless_unstable(
                result, series.in_a_row, self._arguments.stable or 1
            )
        if series.received and series.sent > 1:
            return dataclasses.replace(result, rtt=series.average)
        return result

    def _conclude(
        self,
        asked: list[Target],
        results: list[PingResult],
        every: list[Series],
    ) -> None:
        """Find the exit status, and what the rows mean to people."""
        # A file may name nobody, as one of failed guests where all is well.
        self.exit_status = (
            exits.of({each.verdict for each in results})
            if results
            else exits.ALL_REACHABLE
        )
        self._sentences = self._conclusions(asked, results, every)
        if self._interrupted is not None:
            # What was not asked is no news of a guest.
            self.exit_status = self._interrupted
            return
        try:
            self._measures.swept(asked, results)
        except OSError as error:
            self._sentences.append(plaintext.one_line(str(error)))
            self.exit_status = self.exit_status or exits.UNKNOWN

    def _conclusions(
        self,
        asked: list[Target],
        results: list[PingResult],
        every: list[Series],
    ) -> list[str]:
        seconds = time.monotonic() - self._started
        if not asked:
            return ['The file names no instance: nothing was pinged.']
        if len(asked) > 1:
            summary = Summary.of(results)
            found = [report.summary_line(summary, seconds)]
            if self._arguments.wait is None:
                found += report.loss(every)
            return found + report.advice(asked, results, summary)
        if results[0].verdict is not Verdict.REACHABLE:
            return [report.sentence(asked[0], results[0], every[0])]
        if self._arguments.wait is not None:
            guest = plaintext.guest(asked[0].instance_id, asked[0].name)
            after = durations.human(seconds)
            end = report.notes(asked[0])
            return [f'Guest {guest} is reachable after {after}{end}.']
        return report.loss(every)


def _unless_unstable(
    result: PingResult, in_a_row: int, stable: int
) -> PingResult:
    """Return the last result of a wait, if it is what was waited for."""
    if result.verdict is not Verdict.REACHABLE or in_a_row >= stable:
        return result
    why = f'Reachable {in_a_row} of {stable} times in a row by the end'
    return result.as_unknown(Reason.TIMEOUT, why)
