# SPDX-License-Identifier: Apache-2.0

"""``openstack database instance rpc monitor``: its command line.

Like ``rpc_ping``, this module imports the rest of the package only when the
command runs.
"""

from __future__ import annotations

import argparse
import signal

from osc_lib.command import command


def _add_listening(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the server of metrics and the status page."""
    from troveclient_rpcping.cli import arguments as cli_arguments

    parser.add_argument(
        '--listen',
        metavar='<address:port>',
        type=_listen,
        help=(
            'Serve metrics for Prometheus and a status page for browsers '
            'here, as in "127.0.0.1:9877"; a port alone is on loopback'
        ),
    )
    for option, what in (
        (
            'cert',
            'Serve HTTPS with this certificate, in PEM. The file also has the '
            'certificates between this one and its authority',
        ),
        (
            'key',
            'The key of the certificate, in PEM and without a passphrase '
            '(default: the file of the certificate has the key)',
        ),
        (
            'client-ca',
            'Serve only clients that have a certificate of one of the '
            'authorities in this file, in PEM',
        ),
    ):
        parser.add_argument(
            f'--listen-{option}',
            metavar='<file>',
            type=cli_arguments.file,
            help=what,
        )


def _listen(text: str) -> tuple[str, int]:
    from troveclient_rpcping.web import server as web_server

    try:
        return web_server.parse_listen(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _mistake_in_tls(arguments: argparse.Namespace) -> str | None:
    """Say what is wrong with the options for HTTPS; None if nothing is."""
    if arguments.listen_cert and not arguments.listen:
        return '--listen-cert goes with --listen'
    if not arguments.listen_cert and (
        arguments.listen_key or arguments.listen_client_ca
    ):
        return '--listen-key and --listen-client-ca go with --listen-cert'
    return None


class MonitorDatabaseInstances(command.Command):
    """Ping guests again and again, and print what changes.

    For administrators. Every --interval seconds it pings the same guests;
    with --all, also new instances, and deleted ones no longer. It prints a
    line for each guest whose verdict changes. While the control plane fails,
    or loses pings, one line reports that instead, and the guests keep their
    verdicts. On a terminal the lines scroll above a live view of the guests.

    Runs until it is interrupted (exit status 130) or terminated (143).
    """

    # The command logs in by itself, within its time: see osc/shell.py.
    auth_required = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command line."""
        from troveclient_rpcping.cli import arguments as cli_arguments

        parser = super().get_parser(prog_name)
        cli_arguments.be_brief(parser)
        cli_arguments.add_targets(parser)
        cli_arguments.add_limits(parser)
        parser.add_argument(
            '--interval',
            metavar='<duration>',
            type=cli_arguments.seconds,
            default=60.0,
            help=(
                'The time from the start of one sweep to the start of the '
                'next (default: %(default)gs)'
            ),
        )
        parser.add_argument(
            '--json',
            action='store_true',
            help='Print each change as a JSON object in a line',
        )
        _add_listening(parser)
        cli_arguments.add_textfile(parser)
        self._parser = parser
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command, and return its exit status."""
        from troveclient_rpcping.cli import arguments as cli_arguments
        from troveclient_rpcping.osc import shell

        mistake = (
            cli_arguments.mistake_in_targets(parsed_args)
            or cli_arguments.mistake_in_metrics(parsed_args)
            or _mistake_in_tls(parsed_args)
        )

        def act() -> int:
            with shell.handled(signal.SIGHUP, signal.SIG_IGN):
                # Only an exception ends it.
                return super(MonitorDatabaseInstances, self).run(parsed_args)

        return shell.run(self.app, self._parser, mistake, act)

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Watch, until interrupted."""
        from troveclient_rpcping.osc import sweep_forever

        sweep_forever.SweepForever(self.app, parsed_args).run()
