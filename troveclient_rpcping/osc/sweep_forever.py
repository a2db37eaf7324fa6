# SPDX-License-Identifier: Apache-2.0

"""Sweep after sweep: ``openstack database instance rpc monitor``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import datetime
import logging
import time
from typing import Any
from typing import NoReturn

from osc_lib import exceptions as osc_exceptions

from troveclient_rpcping import durations
from troveclient_rpcping import exceptions
from troveclient_rpcping import management
from troveclient_rpcping import plaintext
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.cli import arguments as cli_arguments
from troveclient_rpcping.engine import access as engine_access
from troveclient_rpcping.osc import events
from troveclient_rpcping.osc import measures
from troveclient_rpcping.osc import report
from troveclient_rpcping.osc import service
from troveclient_rpcping.osc import shell
from troveclient_rpcping.osc import views
from troveclient_rpcping.outcomes import changes as outcomes_changes
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.sweep import capacity as capacities
from troveclient_rpcping.web import board as boards

LOG = logging.getLogger(__name__)


class SweepForever:
    """One run of the command."""

    def __init__(
        self,
        app: Any,
        arguments: argparse.Namespace,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._app = app
        self._arguments = arguments
        self._interval: float = arguments.interval
        self._clock = clock
        self._manager: management.Management | None = None
        self._watch = outcomes_changes.Watch()
        self._board = boards.Board(arguments.interval, dict(arguments.label))
        # The reported remarks on names and exclusions that still hold.
        self._doubts: set[str] = set()
        # Whether a sweep brought results, and whether one took too long.
        self._had_a_sweep = self._was_late = False
        self._capacity = capacities.Capacity(
            engine_access.flight(arguments.concurrency)
        )
        self._service = service.Service(arguments.interval)
        self._measures = measures.Measures(arguments, clock=clock)
        self._has_metrics = self._measures.metrics is not None
        self._output = views.Output(
            app.stdout, app.stderr, expendable=self._has_metrics
        )
        self._view = views.view(app, arguments, self._output, self._board)
        self._is_shown = False
        # When the present sweep began.
        self._started = clock()

    def run(self) -> NoReturn:
        """Sweep, print what changed, pause, and so on until interrupted.

        :raises Exception: the first sweep cannot begin. If the metrics are
            served, only a mistake of the user is raised. Later failures are
            reported as failures of the control plane.
        :raises CommandError: Keystone keeps refusing the credentials. Or
            nobody reads the lines (standard output is closed, or its terminal
            went away), and the user asks for no metrics.
        """
        with (
            self._service.run(),
            self._measures.run(),
            # Before the login, so that a failed login shows in the metrics.
            self._served(),
            contextlib.ExitStack() as self._stack,
        ):
            self._survey = shell.new_survey(
                self._app,
                self._arguments,
                cli_arguments.plan(self._arguments),
                # The metrics have labels from the listing.
                always_list=self._has_metrics,
            )
            while self._has_metrics or not self._output.gone:
                self._begin()
                self._sweep_and_report()
                self._remark_on_troubles()
                due = self._started + self._interval
                time.sleep(max(0.0, due - self._clock()))
        raise osc_exceptions.CommandError(
            'Nobody reads standard output, and there are no metrics'
        )

    @contextlib.contextmanager
    def _served(self) -> Iterator[None]:
        """Serve the metrics and the status page, if the user wants that."""
        arguments, metrics = self._arguments, self._measures.metrics
        if not arguments.listen or metrics is None:
            yield
            return
        from troveclient_rpcping.web import page
        from troveclient_rpcping.web import server as web_server

        context = None
        if arguments.listen_cert:
            context = web_server.tls(
                arguments.listen_cert,
                arguments.listen_key,
                arguments.listen_client_ca,
            )
        pages = {
            **page.pages(self._board, views.utc_now),
            '/metrics': metrics.page,
        }
        address, port = arguments.listen
        with web_server.Server(pages, address, port, context):
            yield

    def _begin(self) -> None:
        self._started = self._clock()
        self._measures.begins()

    def _sweep_and_report(self) -> None:
        try:
            findings = self._sweep()
        except Exception as error:
            if not self._had_a_sweep and not self._may_pass(error):
                raise
            self._report_failure(error)
        else:
            self._report(findings)

    def _report(self, findings: outcomes.Findings) -> None:
        now, when = self._clock(), views.utc_now()
        seconds = now - self._started
        # The metrics and the page come first: printing may block.
        self._view.remark(self._measures.swept(findings))
        changes = self._watch.swept(findings, now)
        self._board.swept(
            self._watch,
            findings,
            changes,
            seconds=seconds,
            now=now,
            when=when,
        )
        self._print(changes, when)
        self._view.swept(findings.summary)
        self._had_a_sweep = True
        self._service.swept(report.counts(findings.summary), seconds)

    def _report_failure(self, error: Exception) -> None:
        LOG.debug('The sweep failed', exc_info=True)
        cause: BaseException = error
        if isinstance(error, exceptions.TargetError):
            # Its own text also has advice for a person.
            cause = error.__cause__ or error
        why = plaintext.first_line(str(cause) or type(cause).__name__)
        self._view.remark(self._measures.swept(None))
        changes, when = self._watch.failed(why, self._clock()), views.utc_now()
        self._board.failed(self._watch, changes, when=when)
        self._print(changes, when)
        self._view.swept(None)
        if self._service.failed(why, error):
            raise shell.login_failed(self._app, error) from error

    def _may_pass(self, error: Exception) -> bool:
        """Whether to go on after a failure before the first good sweep.

        The monitor goes on if it serves metrics, which show the failure, and
        if the failure may end by itself. A mistake in the choice of the
        guests, or in a path, does not end by itself.
        """
        if not self._arguments.listen or isinstance(error, OSError):
            return False
        if isinstance(error, shell.LoginFailed):
            return not error.mistake
        return not isinstance(error, exceptions.TargetError) or isinstance(
            error.__cause__, exceptions.ListingFailed
        )

    def _sweep(self) -> outcomes.Findings:
        """Choose the guests, ping them, and return their outcomes."""
        manager = self._logged_in()
        # Later on, the last instance may be deleted.
        targets = self._survey.choose(manager, empty=self._had_a_sweep)
        self._remark_on(targets)
        self._view.begins(sum(bool(each.instance_id) for each in targets))

        def saw(result: verdicts.PingResult, series: outcomes.Series) -> None:
            self._measures.saw(result)
            self._view.saw()

        self._survey.ping(
            manager,
            saw,
            capacity=self._capacity,
            on_throttle=self._measures.throttled,
        )
        return self._survey.findings()

    def _logged_in(self) -> management.Management:
        """Return the manager; log in if no login has succeeded yet."""
        if self._manager is None:
            try:
                self._manager = self._stack.enter_context(
                    shell.manager(self._app)
                )
                # The login, which may wait for a password, is not a part of
                # the sweep.
                self._begin()
            finally:
                # The view comes later: a login may ask for a password.
                if not self._is_shown:
                    self._is_shown = True
                    self._stack.enter_context(self._view.shown())
        return self._manager

    def _remark_on(self, targets: list[outcomes.Target]) -> None:
        """Report names without an instance at the start.

        Report doubts about names, and exclusions, when they change.
        """
        if not self._had_a_sweep and not targets:
            self._view.remark('The file names no instance so far')
        for target in targets:
            if not self._had_a_sweep and target.instance_id is None:
                name = plaintext.quoted(target.name or '')
                self._view.remark(
                    f'No instance is named {name} so far{target.hint}'
                )
        doubts = {target.doubt for target in targets if target.doubt}
        doubts.update(self._survey.left_out)
        for doubt in sorted(doubts - self._doubts):
            self._view.remark(doubt)
        self._doubts = doubts

    def _print(
        self,
        changes: Sequence[outcomes_changes.Change],
        when: datetime.datetime,
    ) -> None:
        style = events.json_line if self._arguments.json else events.line
        for change in changes:
            self._view.line(style(change, when))

    def _remark_on_troubles(self) -> None:
        """Report an output that fails, and once a sweep that is too long."""
        trouble, self._output.trouble = self._output.trouble, ''
        self._view.remark(trouble)
        seconds, interval = self._clock() - self._started, self._interval
        if seconds > interval and not self._was_late:
            self._was_late = True
            self._view.remark(
                f'A sweep took {durations.human(seconds)}, longer than '
                f'--interval {interval:g}: the next one begins when it ends'
            )
