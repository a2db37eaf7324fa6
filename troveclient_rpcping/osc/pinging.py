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
import io
import logging
import time
from typing import Any

from openstackclient.identity import common

from troveclient_rpcping import durations
from troveclient_rpcping import limits
from troveclient_rpcping import management
from troveclient_rpcping import targets
from troveclient_rpcping.fleet.series import Series
from troveclient_rpcping.fleet.summary import Summary
from troveclient_rpcping.osc import exits
from troveclient_rpcping.osc import interrupts
from troveclient_rpcping.osc import progress
from troveclient_rpcping.osc import report
from troveclient_rpcping.osc import rows
from troveclient_rpcping.targets import Target
from troveclient_rpcping.verdict import Judgement
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
        self._sentences: list[str] = []
        self._interrupted: int | None = None
        #: Final once the rows are there.
        self.exit_status = exits.UNKNOWN

    def rows(self) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        """Ping; return the columns, and a row for each guest."""
        arguments = self._arguments
        _silence_unheard_log()
        _print_what_the_encoding_lacks(self._app.stdout, self._app.stderr)
        started = time.monotonic()
        manager = management.Management(self._app.client_manager.database)
        asked = self._targets(manager)
        ends = [arguments.deadline, arguments.wait]
        deadline = min(filter(None, ends), default=None)
        if deadline is not None:
            deadline = max(0.001, deadline + started - time.monotonic())
        every = self._ping(manager, asked, deadline)
        results = [
            self._outcome(target, series)
            for target, series in zip(asked, every, strict=True)
        ]
        if self._interrupted is None:
            self.exit_status = exits.of({each.verdict for each in results})
        else:
            self.exit_status = self._interrupted
        self._sentences = self._conclusions(
            asked, results, every, time.monotonic() - started
        )
        columns = rows.LONG_COLUMNS if arguments.long else rows.COLUMNS
        return columns, [
            rows.row(
                target,
                result,
                series,
                formatter=arguments.formatter,
                long=arguments.long,
            )
            for target, result, series in zip(
                asked, results, every, strict=True
            )
            if not arguments.failed_only
            or result.verdict is not Verdict.REACHABLE
        ]

    def report(self) -> None:
        """Tell people what the rows mean, unless they want quiet."""
        # Behind the rows, also where both streams are one.
        self._app.stdout.flush()
        stderr = self._app.stderr
        if stderr is None or not self._app.options.verbose_level:
            return
        # The exit status stands, whether anybody can be told or not.
        with contextlib.suppress(OSError):
            for sentence in self._sentences:
                stderr.write(f'{sentence}\n')

    def _targets(self, manager: management.Management) -> list[Target]:
        arguments = self._arguments
        directory = targets.Directory(
            lambda: manager.list_all(arguments.deadline)
        )
        if not arguments.all:
            named = list(arguments.instances)
            if arguments.from_file:
                named += targets.read(arguments.from_file, self._app.stdin)
            return directory.resolve(named, always_list=arguments.long)
        return directory.select(
            project_ids=self._project_ids(directory),
            datastores=arguments.datastore,
            statuses=arguments.status,
        )

    def _project_ids(self, directory: targets.Directory) -> set[str]:
        """Return the IDs of the projects that were asked for."""
        listed = {instance.project_id for instance in directory.instances}
        return {
            # A project without an instance is looked up in Keystone, to tell
            # a wrong name from an empty project.
            project
            if project in listed
            else common.find_project(
                self._app.client_manager.identity, project
            ).id
            for project in self._arguments.project
        }

    def _ping(
        self,
        manager: management.Management,
        asked: list[Target],
        deadline: float | None,
    ) -> list[Series]:
        """Ping all; return what came of each target, in their order."""
        by_id = {
            target.instance_id: Series()
            for target in asked
            if target.instance_id
        }
        shown = progress.Progress(self._app, asked, self._arguments, deadline)
        pings = self._pings(manager, list(by_id), deadline, shown.throttled)
        try:
            with shown, contextlib.closing(pings):
                for result in pings:
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
        ids: list[str],
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
            'on_throttle': on_throttle,
        }
        if arguments.wait is None:
            count = arguments.count or 1
            return manager.rpc_ping_each(ids, count=count, **options)
        stable = arguments.stable or 1
        return manager.rpc_ping_until_reachable(ids, stable=stable, **options)

    def _outcome(self, target: Target, series: Series) -> PingResult:
        """Return what all pings of a guest come to."""
        # Who was waited for is what it is at the end.
        waited = self._arguments.wait is not None
        result = series.last if waited else series.worst
        if result is None:
            return _without_answer(target)
        if not waited and series.received and series.sent > 1:
            return dataclasses.replace(result, rtt=series.average)
        return result

    def _conclusions(
        self,
        asked: list[Target],
        results: list[PingResult],
        every: list[Series],
        seconds: float,
    ) -> list[str]:
        """Return what the rows mean, for people."""
        if len(asked) > 1:
            summary = Summary.of(results)
            found = [report.summary_line(summary, seconds)]
            if self._arguments.wait is None:
                found += report.loss(every)
            return found + report.advice(asked, results, summary)
        if results[0].verdict is not Verdict.REACHABLE:
            return [report.sentence(asked[0], results[0], every[0])]
        if self._arguments.wait is not None:
            guest = report.guest_name(asked[0])
            after = durations.human(seconds)
            return [f'Guest {guest} is reachable, after {after}.']
        return []


def _without_answer(target: Target) -> PingResult:
    if target.instance_id is None:
        reason, why = Reason.NOT_FOUND, 'No instance bears this name'
    else:
        reason, why = Reason.NOT_ASKED, 'Interrupted before an answer came'
    return PingResult(
        instance_id=target.instance_id or '',
        judgement=Judgement(Verdict.UNKNOWN, reason, why),
    )


def _print_what_the_encoding_lacks(*streams: Any) -> None:
    """Let no letter in a name keep the rows from being printed."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')


def _silence_unheard_log() -> None:
    """Do not format log records that no handler prints.

    osc_lib sets the root logger to DEBUG, and leaves it to the handlers what
    is printed. For a ping of 50 µs the unseen records are the larger part.
    """
    root = logging.getLogger()
    if not any(h.level <= logging.DEBUG for h in root.handlers):
        logging.getLogger('troveclient_rpcping').setLevel(logging.INFO)
