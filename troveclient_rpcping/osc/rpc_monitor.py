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

"""``openstack database instance rpc monitor``: its command line.

Like that of the ping it imports next to nothing of ours before it runs.
"""

from __future__ import annotations

import argparse

from osc_lib.command import command
from osc_lib.i18n import _


def _listen(text: str) -> tuple[str, int]:
    from troveclient_rpcping.prometheus import server

    try:
        return server.parse_listen(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


class MonitorDatabaseInstances(command.Command):
    """Ping guests again and again, and print what changes.

    For administrators. Every --interval seconds the same guests are pinged;
    with --all, new instances come in and deleted ones go. A line is printed
    for each guest whose verdict changes. While the control plane fails, or
    loses pings, one line reports that instead, and the guests stay what they
    were. On a terminal the lines scroll above a view of how things are.

    Runs until it is interrupted (exit status 130) or terminated (143).
    """

    # It logs in by itself, within its time: see osc.login.
    auth_required = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command line."""
        from troveclient_rpcping.cli import arguments

        parser = super().get_parser(prog_name)
        arguments.be_brief(parser)
        arguments.add_targets(parser)
        arguments.add_limits(parser)
        parser.add_argument(
            '--interval',
            metavar='<seconds>',
            type=arguments.seconds,
            default=60.0,
            help=_(
                'Seconds from the start of one sweep to the start of the next '
                '(default: %(default)g)'
            ),
        )
        parser.add_argument(
            '--json',
            action='store_true',
            help=_('Print each change as a JSON object in a line'),
        )
        parser.add_argument(
            '--listen',
            metavar='<address:port>',
            type=_listen,
            help=_(
                'Serve metrics for Prometheus here, as in "127.0.0.1:9877"; '
                'a port alone is on loopback'
            ),
        )
        arguments.add_textfile(parser)
        self._parser = parser
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command, and return its exit status."""
        from troveclient_rpcping.cli import arguments
        from troveclient_rpcping.osc import exits
        from troveclient_rpcping.osc import interrupts
        from troveclient_rpcping.osc import surroundings

        mistake = arguments.mistake_in_targets(
            parsed_args
        ) or arguments.mistake_in_metrics(parsed_args)
        if mistake:
            self.app.LOG.error(arguments.brief(self._parser, mistake))
            return exits.USAGE
        try:
            with interrupts.sigterm_raises(), interrupts.sighup_ignored():
                super().run(parsed_args)
        except KeyboardInterrupt:
            return exits.INTERRUPTED
        except interrupts.Terminated:
            return exits.TERMINATED
        finally:
            # The exit status is not to change as the program ends.
            surroundings.let_go_if_broken(self.app.stdout)
        return exits.UNKNOWN

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Watch, until interrupted."""
        from troveclient_rpcping.osc import monitoring

        monitoring.Monitoring(self.app, parsed_args).run()
