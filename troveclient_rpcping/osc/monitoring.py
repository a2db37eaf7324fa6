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

"""What ``openstack database instance rpc monitor`` does."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import datetime
import logging
import time
from typing import Any
from typing import NoReturn

from troveclient_rpcping import durations
from troveclient_rpcping import management
from troveclient_rpcping import plaintext
from troveclient_rpcping.cli import targets
from troveclient_rpcping.cli.targets import Target
from troveclient_rpcping.engine import descriptors
from troveclient_rpcping.exceptions import ListingFailed
from troveclient_rpcping.exceptions import NoTargetError
from troveclient_rpcping.exceptions import TargetError
from troveclient_rpcping.inventory import Instance
from troveclient_rpcping.osc import choice
from troveclient_rpcping.osc import events
from troveclient_rpcping.osc import login
from troveclient_rpcping.osc import measures
from troveclient_rpcping.osc import surroundings
from troveclient_rpcping.osc import views
from troveclient_rpcping.outcomes.changes import Change
from troveclient_rpcping.outcomes.changes import Shift
from troveclient_rpcping.outcomes.changes import Watch
from troveclient_rpcping.outcomes.summary import Summary
from troveclient_rpcping.sweep.capacity import Capacity
from troveclient_rpcping.verdict import PingResult

LOG = logging.getLogger(__name__)


class Monitoring:
    """One run of the command.

    :param app: the ``openstack`` shell.
    :param arguments: the parsed command line.
    """

    def __init__(self, app: Any, arguments: argparse.Namespace):
        self._app = app
        self._arguments = arguments
        self._manager: management.Management | None = None
        self._no_login: Exception | None = None
        self._watch = Watch()
        self._names = targets.Names()
        # The doubts about names that were told, and still exist.
        self._doubts: set[str] = set()
        self._begun = False
        self._late = False
        self._capacity = Capacity(descriptors.flight(arguments.concurrency))
        self._measures = measures.Measures(
            arguments.textfile,
            arguments.label,
            served=bool(arguments.listen),
        )

    def run(self) -> NoReturn:
        """Sweep, tell what changed, pause, and so on until interrupted.

        :raises Exception: whatever keeps the very first sweep from beginning;
            if the metrics are served, only a mistake of the user. Later on
            that is told as trouble of the control plane.
        :raises OSError: standard output is closed, or its terminal went away,
            and nobody else is told.
        """
        kept = self._measures.metrics is not None
        output = views.Output(
            self._app.stdout, self._app.stderr, expendable=kept
        )
        with (
            self._measures.run(),
            # Before the login: that of a first sweep may fail, too.
            self._exporter(),
            contextlib.ExitStack() as self._stack,
        ):
            self._arguments = choice.lasting(self._app, self._arguments)
            self._log_in_early()
            self._view = self._stack.enter_context(
                views.view(self._app, self._arguments, output)
            )
            while kept or not output.gone:
                begun = time.monotonic()
                self._sweep_and_tell()
                if output.trouble:
                    self._view.remark(output.trouble)
                    output.trouble = ''
                seconds = time.monotonic() - begun
                self._say_if_late(seconds)
                time.sleep(max(0.0, self._arguments.interval - seconds))
        raise OSError('Nobody reads standard output, and there are no metrics')

    @contextlib.contextmanager
    def _exporter(self) -> Iterator[None]:
        metrics = self._measures.metrics
        if not self._arguments.listen or metrics is None:
            yield
            return
        from troveclient_rpcping.prometheus import server

        with server.Exporter(metrics, *self._arguments.listen):
            yield

    def _sweep_and_tell(self) -> None:
        begun = time.monotonic()
        self._measures.begins()
        try:
            asked, results = self._sweep()
        except Exception as error:
            if not self._begun and not self._may_pass(error):
                raise
            LOG.debug('The sweep failed', exc_info=True)
            # Without the advice for a command that is given up.
            what: BaseException = error
            if isinstance(error, TargetError):
                what = error.__cause__ or error
            why = plaintext.first_line(str(what) or type(what).__name__)
            # First of all: nobody may ever read what is printed.
            self._measure(self._measures.failed)
            self._tell(self._watch.failed(why, time.monotonic()))
            self._view.failed(self._watch)
        else:
            now = time.monotonic()
            self._measure(lambda: self._measures.swept(asked, results))
            self._tell(self._watch.swept(asked, results, now))
            summary = Summary.of(results)
            self._view.swept(self._watch, summary, now - begun)
            self._begun = True

    def _may_pass(self, error: Exception) -> bool:
        """Whether a failure before the first good sweep may end by itself.

        That is of use where the metrics are served, and show it. A mistake in
        the choice of the guests, or in a path, does not end by itself.
        """
        if not self._arguments.listen or isinstance(error, OSError):
            return False
        if isinstance(error, login.LoginFailed):
            return not error.mistake
        return not isinstance(error, TargetError) or isinstance(
            error.__cause__, ListingFailed
        )

    def _sweep(self) -> tuple[list[Target], list[PingResult]]:
        """Return which guests are watched, and what came of each."""
        arguments = self._arguments
        manager = self._logged_in()
        self._listing: list[Instance] | None = None
        try:
            asked = choice.targets_of(
                self._app,
                arguments,
                lambda: self._list(manager),
                # For the labels of the metrics.
                always_list=self._measures.metrics is not None,
                known=self._names,
            )
        except NoTargetError:
            if not self._begun:
                raise
            # The last one was deleted.
            asked = []
        if not self._begun:
            self._say_who_is_missing(asked)
        self._say_what_is_ambiguous(asked)
        guests = [
            target.instance or target.instance_id
            for target in asked
            if target.instance_id
        ]
        self._view.begins(len(guests))
        pings = manager.rpc_ping_each(
            guests,
            listing=self._listing,
            capacity=self._capacity,
            timeout=arguments.timeout,
            rate=arguments.rate,
            on_throttle=self._measures.throttled,
        )
        results: dict[str | None, PingResult] = {}
        with contextlib.closing(pings):
            for result in pings:
                results[result.instance_id] = result
                self._measures.saw(result)
                self._view.advances()
        return asked, [
            results.get(target.instance_id) or targets.unanswered(target)
            for target in asked
        ]

    def _list(self, manager: management.Management) -> list[Instance]:
        self._listing = manager.list_all()
        return self._listing

    def _log_in_early(self) -> None:
        """Log in before there is a view, since that may ask for a password.

        If it fails, the first sweep reports it.
        """
        try:
            self._logged_in()
        except Exception as error:
            self._no_login = error

    def _logged_in(self) -> management.Management:
        """Return what sweeps; log in if that has not succeeded yet."""
        if self._no_login is not None:
            error, self._no_login = self._no_login, None
            raise error
        if self._manager is None:
            self._manager = self._stack.enter_context(
                surroundings.manager(self._app)
            )
        return self._manager

    def _say_who_is_missing(self, asked: list[Target]) -> None:
        if not asked:
            self._view.remark('The file names no instance so far')
        for target in asked:
            if target.instance_id is None:
                name = plaintext.quoted(target.name or '')
                self._view.remark(
                    f'No instance is named {name} so far{target.hint}'
                )

    def _say_what_is_ambiguous(self, asked: list[Target]) -> None:
        doubts = {target.doubt for target in asked if target.doubt}
        for doubt in sorted(doubts - self._doubts):
            self._view.remark(doubt)
        self._doubts = doubts

    def _tell(self, changes: list[Change | Shift] | list[Shift]) -> None:
        now = datetime.datetime.now(datetime.UTC)
        style = events.json_line if self._arguments.json else events.line
        for change in changes:
            self._view.line(style(change, now))

    def _say_if_late(self, seconds: float) -> None:
        interval = self._arguments.interval
        late = seconds > interval
        if late and not self._late:
            self._view.remark(
                f'A sweep took {durations.human(seconds)}, longer than '
                f'--interval {interval:g}: the next one begins when it ends'
            )
        self._late = late

    def _measure(self, measure: Callable[[], None]) -> None:
        try:
            measure()
        except OSError as error:
            # A mistake in the path shows at the start.
            if not self._begun:
                raise
            self._view.remark(plaintext.one_line(str(error)))
