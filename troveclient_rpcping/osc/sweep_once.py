# SPDX-License-Identifier: Apache-2.0

"""One sweep: the run of ``openstack database instance rpc ping``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Sequence
import time
from typing import Any

from osc_lib import exceptions as osc_exceptions

from troveclient_rpcping import exceptions
from troveclient_rpcping import limits
from troveclient_rpcping import management
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.cli import arguments as cli_arguments
from troveclient_rpcping.cli import survey as surveys
from troveclient_rpcping.osc import exits
from troveclient_rpcping.osc import measures
from troveclient_rpcping.osc import progress
from troveclient_rpcping.osc import report
from troveclient_rpcping.osc import rows
from troveclient_rpcping.osc import shell
from troveclient_rpcping.outcomes import outcome as outcomes


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
        self._measures = measures.Measures(arguments, single=True, clock=clock)
        self._sentences: list[str] = []
        self._exit_status = exits.UNKNOWN

    def rows(self) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        """Ping; return the columns, and a row for each guest."""
        if self._app.stdout is None:
            raise osc_exceptions.CommandError('Standard output is closed')
        arguments = self._arguments
        columns = rows.columns_of(arguments)
        with self._measures.run():
            findings = self._sweep(columns)
        listed = set(verdicts.Verdict)
        if arguments.bad_only:
            listed = set(outcomes.BAD)
        elif arguments.failed_only:
            listed.remove(verdicts.Verdict.REACHABLE)
        return columns, [
            rows.row(outcome, formatter=arguments.formatter, columns=columns)
            for outcome in findings.outcomes
            if outcome.result.verdict in listed
        ]

    def report(self) -> int:
        """Tell people what the rows mean; return the exit status."""
        # The rows come first, also if both streams are the same.
        self._app.stdout.flush()
        shell.say(self._app, *self._sentences)
        return self._exit_status

    def _sweep(self, columns: Sequence[str]) -> outcomes.Findings:
        """Choose the guests, ping them, and return their outcomes."""
        survey = shell.new_survey(
            self._app,
            self._arguments,
            self._plan,
            always_list=self._measures.metrics is not None
            or not rows.LISTED_COLUMNS.isdisjoint(columns),
        )
        interrupted = None
        with shell.manager(self._app, self._left()) as manager:
            targets = self._choose(survey, manager)
            try:
                self._ping(survey, manager, targets)
            except KeyboardInterrupt:
                interrupted = exits.INTERRUPTED
            except shell.Terminated:
                interrupted = exits.TERMINATED
        findings = survey.findings('Interrupted before an answer came')
        seconds = self._clock() - self._started
        self._sentences = [
            *report.conclusions(findings, seconds),
            *survey.left_out,
        ]
        self._exit_status = interrupted or exits.of(findings.summary)
        # The metrics count whole sweeps only.
        trouble = '' if interrupted else self._measures.swept(findings)
        if trouble:
            self._sentences.append(trouble)
            self._exit_status = self._exit_status or exits.UNKNOWN
        return findings

    def _left(self) -> float | None:
        """Return the seconds until the command must end; None: no limit."""
        ends = [self._arguments.deadline, self._arguments.wait]
        end: float | None = min(filter(None, ends), default=None)
        if end is None:
            return None
        return max(0.001, end + self._started - self._clock())

    def _choose(
        self, survey: surveys.Survey, manager: management.Management
    ) -> list[outcomes.Target]:
        """Find the guests; in a wait, try until there is a listing."""
        said = False
        while True:
            try:
                return survey.choose(manager, self._left())
            except exceptions.TargetError as error:
                why = error.__cause__
                left = self._left() or 0.0
                may_pass = (
                    self._plan.waits
                    and isinstance(why, exceptions.ListingFailed)
                    and why.reason is not verdicts.Reason.DENIED
                )
                if not may_pass or left <= self._plan.interval:
                    raise
                if not said:
                    shell.say(self._app, f'waiting: {why}')
                    said = True
                time.sleep(self._plan.interval)

    def _ping(
        self,
        survey: surveys.Survey,
        manager: management.Management,
        targets: list[outcomes.Target],
    ) -> None:
        deadline = self._left()
        bar = progress.Progress(
            self._app, targets, self._plan, deadline, self._clock
        )

        def saw(result: verdicts.PingResult, series: outcomes.Series) -> None:
            self._measures.saw(result)
            bar.saw(result.instance_id, series)

        def throttled(throttle: limits.Throttle) -> None:
            self._measures.throttled(throttle)
            bar.throttled(throttle)

        with bar.shown():
            survey.ping(manager, saw, deadline=deadline, on_throttle=throttled)
