# SPDX-License-Identifier: Apache-2.0

"""``openstack database instance rpc ping``: its command line.

cliff imports the module of every command at every start of ``openstack``
(stevedore loads what it lists). So this module imports only what ``openstack``
needs anyway. It imports the rest when the command runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

from osc_lib.command import command


class PingDatabaseInstances(command.Lister):
    """Ask whether the control plane can reach the agent in a guest.

    For administrators. Each guest gets one of four verdicts: "reachable" (the
    agent answered), "unreachable" (the agent is proven not to answer), "error"
    (the agent failed the ping) or "unknown" (no answer about the guest came:
    nothing is known of it). A timeout alone makes no guest unreachable:
    a stale heartbeat or further timeouts must confirm it, while other guests
    answer.

    Exit status: 0 if every guest is reachable; 3 if at least one is
    unreachable or in error; 1 if none is known to be bad, but at least one is
    unknown, or if the command itself failed; 2 for wrong usage; 130 or 143 if
    interrupted or terminated.
    """

    # The command logs in by itself, within its time: see osc/shell.py.
    auth_required = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command line."""
        from troveclient_rpcping.cli import arguments as cli_arguments

        parser = super().get_parser(prog_name)
        cli_arguments.be_brief(parser)
        cli_arguments.add_targets(parser)
        _add_rows(parser)
        cli_arguments.add_limits(parser)
        cli_arguments.add_repetition(parser)
        parser.add_argument(
            '--deadline',
            metavar='<duration>',
            type=cli_arguments.seconds,
            help=(
                'The longest time for login, listing and pings together; '
                'guests that are not asked by then are unknown (default: '
                'no limit)'
            ),
        )
        cli_arguments.add_textfile(parser)
        self._parser = parser
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command, and return its exit status."""
        from troveclient_rpcping.cli import arguments as cli_arguments
        from troveclient_rpcping.osc import rows
        from troveclient_rpcping.osc import shell
        from troveclient_rpcping.osc import sweep_once

        mistake = (
            cli_arguments.mistake_in_targets(parsed_args)
            or cli_arguments.mistake_in_repetition(parsed_args)
            or cli_arguments.mistake_in_metrics(parsed_args)
            or rows.name_columns(parsed_args)
        )

        def act() -> int:
            self._sweep = sweep_once.SweepOnce(self.app, parsed_args)
            # cliff's Lister always returns 0.
            super(PingDatabaseInstances, self).run(parsed_args)
            return self._sweep.report()

        return shell.run(self.app, self._parser, mistake, act)

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        """Ping; return the columns, and a row for each guest."""
        return self._sweep.rows()

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
    ) -> int:
        """Print the rows; nothing at all for a table without a row.

        A table of --long that is wider than the terminal becomes records.
        """
        from troveclient_rpcping.osc import rows

        data = list(data)
        is_table = parsed_args.formatter == 'table'
        if is_table and not data and not parsed_args.print_empty:
            # cliff would print an empty line.
            return 0
        chosen = parsed_args.columns or parsed_args.sort_columns
        bounded = parsed_args.fit_width or parsed_args.max_width
        # The user asks for many columns, and not for their form.
        if is_table and parsed_args.long and not chosen and not bounded:
            lines = rows.records(column_names, data, self.app.stdout)
            if lines:
                self.app.stdout.write(f'{lines}\n')
                return 0
        return super().produce_output(parsed_args, column_names, data)


def _add_rows(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose rows and columns."""
    narrower = parser.add_mutually_exclusive_group()
    narrower.add_argument(
        '--failed-only',
        action='store_true',
        help='List only the guests that are not reachable, unknown ones too',
    )
    narrower.add_argument(
        '--bad-only',
        action='store_true',
        help=(
            'List only the guests that are unreachable or in error: '
            'those that may need a repair'
        ),
    )
    parser.add_argument(
        '--long', action='store_true', help='List more columns'
    )
