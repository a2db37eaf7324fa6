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

"""``openstack database instance rpc ping``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import logging
import time
from typing import Any

from osc_lib.command import command
from osc_lib.i18n import _

from troveclient_rpcping import management
from troveclient_rpcping.fleet.summary import Summary
from troveclient_rpcping.osc import arguments
from troveclient_rpcping.osc import exits
from troveclient_rpcping.osc import interrupts
from troveclient_rpcping.osc import report
from troveclient_rpcping.osc import rows
from troveclient_rpcping.osc import targets
from troveclient_rpcping.osc.targets import Target
from troveclient_rpcping.verdict import Judgement
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict


class PingDatabaseInstances(command.Lister):
    """Ask whether the control plane can reach the agent in a guest.

    For administrators. Each guest gets one of four verdicts: "reachable" (the
    agent answered), "unreachable" (Trove asked, and the agent did not answer),
    "error" (the agent failed the ping) or "unknown" (the question was not
    answered: nothing is known of the guest).

    Exit status: 0 if every guest is reachable; 3 if at least one is
    unreachable or in error; 1 if none is known to be bad, but at least one is
    unknown, or if the command itself failed; 2 for wrong usage; 130 or 143 if
    interrupted or terminated.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command line."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'instances',
            metavar='<instance>',
            nargs='+',
            help=_('Instance(s) to ping (name or ID)'),
        )
        parser.add_argument(
            '--timeout',
            metavar='<seconds>',
            type=arguments.seconds,
            default=management.TIMEOUT,
            help=_(
                'Seconds for each ping, in all (default: %(default)g; Trove '
                'itself waits 15 for the guest agent)'
            ),
        )
        parser.add_argument(
            '--concurrency',
            metavar='<number>',
            type=arguments.concurrency,
            default=management.CONCURRENCY,
            help=_('Pings in flight at once (default: %(default)d)'),
        )
        parser.add_argument(
            '--long',
            action='store_true',
            help=_('List more columns'),
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command, and return its exit status."""
        # cliff's Lister always returns 0.
        self._exit_status = exits.UNKNOWN
        self._sentences: list[str] = []
        super().run(parsed_args)
        self.app.stdout.flush()
        if self.app.options.verbose_level:
            for sentence in self._sentences:
                self.app.stderr.write(f'{sentence}\n')
        return self._exit_status

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        """Ping; return the columns and a row for each guest."""
        _silence_unheard_log()
        manager = management.Management(_database(self.app))
        asked = targets.resolve(
            parsed_args.instances,
            manager.list_all,
            always_list=parsed_args.long,
        )
        started = time.monotonic()
        results = self._ping(manager, asked, parsed_args)
        self._sentences = _sentences(
            asked, results, time.monotonic() - started
        )
        return (
            rows.LONG_COLUMNS if parsed_args.long else rows.COLUMNS,
            [
                rows.row(
                    target,
                    result,
                    formatter=parsed_args.formatter,
                    long=parsed_args.long,
                )
                for target, result in zip(asked, results, strict=True)
            ],
        )

    def _ping(
        self,
        manager: management.Management,
        asked: list[Target],
        parsed_args: argparse.Namespace,
    ) -> list[PingResult]:
        """Ping all; return a result for each target, in their order."""
        results: dict[str | None, PingResult] = {}
        status = None
        pings = manager.rpc_ping_each(
            [target.instance_id for target in asked if target.instance_id],
            concurrency=parsed_args.concurrency,
            timeout=parsed_args.timeout,
        )
        try:
            with interrupts.sigterm_raises():
                for result in pings:
                    results[result.instance_id] = result
        except KeyboardInterrupt:
            status = exits.INTERRUPTED
        except interrupts.Terminated:
            status = exits.TERMINATED
        finally:
            pings.close()
        in_order = [
            results.get(target.instance_id) or _without_answer(target)
            for target in asked
        ]
        self._exit_status = status or exits.of(
            {result.verdict for result in in_order}
        )
        return in_order


def _sentences(
    asked: list[Target], results: list[PingResult], seconds: float
) -> list[str]:
    """Return what the rows mean, for people."""
    if len(asked) == 1:
        if results[0].verdict is Verdict.REACHABLE:
            return []
        return [report.sentence(asked[0], results[0])]
    summary = Summary.of(results)
    return [
        report.summary_line(summary, seconds),
        *report.advice(results, summary),
    ]


def _database(app: Any) -> Any:
    # An attribute that osc_lib makes for each plugin at run time.
    return app.client_manager.database


def _without_answer(target: Target) -> PingResult:
    if target.instance_id is None:
        reason, why = Reason.NOT_FOUND, 'No instance bears this name'
    else:
        reason, why = Reason.NOT_ASKED, 'Ended before an answer came'
    return PingResult(
        instance_id=target.instance_id or '',
        judgement=Judgement(Verdict.UNKNOWN, reason, why),
    )


def _silence_unheard_log() -> None:
    """Do not format log records that no handler prints.

    osc_lib sets the root logger to DEBUG, and leaves it to the handlers what
    is printed. For a ping of 50 µs the unseen records are the larger part.
    """
    root = logging.getLogger()
    if not any(h.level <= logging.DEBUG for h in root.handlers):
        logging.getLogger('troveclient_rpcping').setLevel(logging.INFO)
