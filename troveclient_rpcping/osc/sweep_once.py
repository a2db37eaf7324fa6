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

"""One sweep: the run of ``openstack database instance rpc ping``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import time
from typing import Any
from typing import TYPE_CHECKING

from osc_lib import exceptions as osc_exceptions

from troveclient_rpcping import limits
from troveclient_rpcping import management
from troveclient_rpcping import plaintext
from troveclient_rpcping.cli import arguments as cli_arguments
from troveclient_rpcping.exceptions import ListingFailed
from troveclient_rpcping.exceptions import TargetError
from troveclient_rpcping.osc import exits
from troveclient_rpcping.osc import progress
from troveclient_rpcping.osc import report
from troveclient_rpcping.osc import rows
from troveclient_rpcping.osc import shell
from troveclient_rpcping.outcomes.outcome import BAD
from troveclient_rpcping.outcomes.outcome import Findings
from troveclient_rpcping.outcomes.outcome import Series
from troveclient_rpcping.outcomes.outcome import Target
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict

if TYPE_CHECKING:
    from troveclient_rpcping.osc import measures


class SweepOnce:
    """One run of the command."""

    def __init__(
        self,
        app: Any,
        arguments: argparse.Namespace,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._app = app
        self._arguments = arguments
        self._clock = clock
        self._started = clock()
        self._plan = cli_arguments.repeated_plan(arguments)
        self._columns = rows.columns_of(arguments)
        self._sentences: list[str] = []
        self._interrupted: int | None = None
        # None if the user asks for no metrics.
        self._measures: measures.Measures | None = None
        if arguments.textfile:
            from troveclient_rpcping.osc import measures

            self._measures = measures.Measures(
                arguments.textfile,
                dict(arguments.label),
                single=True,
                clock=clock,
            )
        #: Final after :meth:`rows`.
        self.exit_status = exits.UNKNOWN

    def rows(self) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        """Ping; return the columns, and a row for each guest."""
        if self._app.stdout is None:
            raise osc_exceptions.CommandError('Standard output is closed')
        measured = self._measures and self._measures.run()
        with measured or contextlib.nullcontext():
            findings = self._sweep()
        self._conclude(findings)
        return self._columns, [
            rows.row(
                outcome,
                formatter=self._arguments.formatter,
                columns=self._columns,
            )
            for outcome in findings.outcomes
            if self._is_listed(outcome.result.verdict)
        ]

    def report(self) -> None:
        """Tell people what the rows mean, unless they want quiet."""
        # The rows come first, also if both streams are the same.
        self._app.stdout.flush()
        self._say(*self._sentences)

    def _is_listed(self, verdict: Verdict) -> bool:
        if self._arguments.bad_only:
            return verdict in BAD
        return (
            verdict is not Verdict.REACHABLE or not self._arguments.failed_only
        )

    def _say(self, *sentences: str) -> None:
        stderr = self._app.stderr
        if stderr is None or not self._app.options.verbose_level:
            return
        try:
            for sentence in sentences:
                stderr.write(f'{sentence}\n')
        except OSError:
            # The exit status stands without these sentences.
            shell.discard(stderr)

    def _sweep(self) -> Findings:
        """Choose the guests, ping them, and return their outcomes."""
        self._survey = shell.new_survey(
            self._app,
            self._arguments,
            self._plan,
            always_list=self._measures is not None
            or not rows.LISTED_COLUMNS.isdisjoint(self._columns),
        )
        with shell.manager(self._app, self._left()) as manager:
            targets = self._choose(manager)
            try:
                self._ping(manager, targets)
            except KeyboardInterrupt:
                self._interrupted = exits.INTERRUPTED
            except shell.Terminated:
                self._interrupted = exits.TERMINATED
        return self._survey.findings('Interrupted before an answer came')

    def _left(self) -> float | None:
        """Return the seconds until the command must end; None: no limit."""
        ends = [self._arguments.deadline, self._arguments.wait]
        end: float | None = min(filter(None, ends), default=None)
        if end is None:
            return None
        return max(0.001, end + self._started - self._clock())

    def _choose(self, manager: management.Management) -> list[Target]:
        """Find the guests; in a wait, try until there is a listing."""
        said = False
        while True:
            try:
                return self._survey.choose(manager, self._left())
            except TargetError as error:
                left = self._left() or 0.0
                if not self._may_pass(error) or left <= self._plan.interval:
                    raise
                if not said:
                    self._say(f'waiting: {error.__cause__}')
                    said = True
                time.sleep(self._plan.interval)

    def _may_pass(self, error: TargetError) -> bool:
        """Whether the guests may be found later, in a wait."""
        why = error.__cause__
        return (
            self._plan.waits
            and isinstance(why, ListingFailed)
            and why.reason is not Reason.DENIED
        )

    def _ping(
        self, manager: management.Management, targets: list[Target]
    ) -> None:
        deadline = self._left()
        bar = progress.Progress(
            self._app, targets, self._plan, deadline, self._clock
        )

        def saw(result: PingResult, series: Series) -> None:
            if self._measures:
                self._measures.saw(result)
            bar.saw(result.instance_id, series)

        def throttled(throttle: limits.Throttle) -> None:
            if self._measures:
                self._measures.throttled(throttle)
            bar.throttled(throttle)

        with bar.shown():
            self._survey.ping(
                manager, saw, deadline=deadline, on_throttle=throttled
            )

    def _conclude(self, findings: Findings) -> None:
        """Find the exit status, and the sentences for people."""
        seconds = self._clock() - self._started
        self._sentences = [
            *report.conclusions(findings, seconds),
            *self._survey.left_out,
        ]
        self.exit_status = exits.of(findings.summary)
        if self._interrupted is not None:
            # The metrics count whole sweeps only.
            self.exit_status = self._interrupted
        elif self._measures:
            try:
                self._measures.swept(findings)
            except OSError as error:
                self._sentences.append(plaintext.one_line(str(error)))
                self.exit_status = self.exit_status or exits.UNKNOWN
