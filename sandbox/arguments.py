# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

"""The command line of ``python3 -m sandbox``."""

import argparse
import dataclasses
import pathlib
from typing import Any

from sandbox import fleet
from sandbox import plan


def parser() -> argparse.ArgumentParser:
    """Return the parser. It stores the name of the command in ``command``."""
    root = argparse.ArgumentParser(
        prog='python3 -m sandbox',
        description='A whole Trove control plane on this machine: real '
        'Keystone, real trove-api, real guest RPC.',
        epilog='Inside "run", every command works on the sandbox of "run".',
    )
    commands = root.add_subparsers(
        dest='command', metavar='COMMAND', required=True
    )
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument(
        '--dir',
        type=pathlib.Path,
        help='the folder of the sandbox (default: .sandbox/run; "run" makes '
        'a temporary one)',
    )
    options = _options_parser()

    def add(
        name: str, help_: str, *parents: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=help_, description=help_, parents=parents
        )

    add('install', 'install Keystone and Trove, once')
    add('up', 'start a sandbox that runs until "down"', place, options)
    add('down', 'stop the sandbox', place)
    status = add('status', 'show the servers, workers and guests', place)
    status.add_argument(
        '--json', action='store_true', help='print JSON, for programs'
    )
    sub = add(
        'run',
        'start a sandbox, run a command against it, and stop the sandbox',
        place,
        options,
    )
    sub.add_argument(
        'argv',
        nargs='+',
        metavar='COMMAND',
        help='the command and its arguments, after "--"',
    )
    sub = add('guest', 'change the behaviour of guests', place)
    sub.add_argument(
        'names', metavar='NAME', nargs='+', help='name, NAME@PROJECT or ID'
    )
    sub.add_argument(
        'behaviour',
        metavar='BEHAVIOUR',
        choices=[*fleet.Behaviour],
        help=', '.join(fleet.Behaviour),
    )
    sub.add_argument(
        '--delay',
        type=float,
        metavar='SECONDS',
        help='the time that a slow guest takes to answer (default 1)',
    )
    sub.add_argument(
        '--heartbeat',
        metavar='fresh|stale|SECONDS',
        help='SECONDS is the age of the last heartbeat; it is below 0 if the '
        'clock of the guest is ahead (default: stale for a dead guest and '
        'with RESTART_REQUIRED, else fresh)',
    )
    sub.add_argument(
        '--status',
        choices=[*fleet.Status],
        default='ACTIVE',
        help='the status that Trove reports for the guest (default ACTIVE)',
    )
    sub.add_argument(
        '--server',
        choices=[*fleet.ServerStatus],
        default='ACTIVE',
        help='the status that Nova reports for the server of the guest; with '
        'UNTAGGED the listing does not find the server (default ACTIVE)',
    )
    for name, help_, states in (
        ('nova', 'break Nova, or repair it', fleet.Nova),
        (
            'broker',
            'make RabbitMQ refuse messages, or repair it',
            fleet.Broker,
        ),
    ):
        sub = add(name, help_, place)
        sub.add_argument(
            'state', metavar='STATE', choices=[*states], help=', '.join(states)
        )
    sub = add('loss', 'let the agents lose a share of all pings', place)
    sub.add_argument(
        'share',
        metavar='SHARE',
        type=float,
        help='0.3 is 30 %%; 0 ends the loss',
    )
    sub.add_argument(
        '--seed',
        metavar='N',
        type=int,
        default=0,
        help='with the same seed, the same pings are lost (default 0)',
    )
    sub = add('worker', 'cut off or freeze a worker of trove-api', place)
    sub.add_argument(
        'number',
        metavar='NUMBER',
        type=int,
        help='the number of the worker, as "status" shows it',
    )
    sub.add_argument(
        'state',
        metavar='STATE',
        choices=[*fleet.Worker],
        help=f'{", ".join(fleet.Worker)}; lost: the connections that the '
        'worker has to RabbitMQ carry nothing; cut: new connections carry '
        'nothing either; frozen: SIGSTOP',
    )
    add('mend', 'undo every fault: restore the state of the start', place)
    for name, help_ in (
        ('freeze', 'pause a server and its workers (SIGSTOP)'),
        ('thaw', 'resume a frozen server'),
        ('stop', 'shut a server down (SIGTERM)'),
        ('kill', 'kill a server with SIGKILL'),
        ('start', 'start a server again'),
    ):
        sub = add(name, help_, place)
        sub.add_argument(
            'server',
            metavar='SERVER',
            help='keystone, cloud or trove-api; with --transport rabbit also '
            'guests or broker',
        )
    return root


def _options_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    for option in dataclasses.fields(plan.Options):
        kind: Any = type(option.default)
        number = kind is int
        parser.add_argument(
            f'--{option.name.replace("_", "-")}',
            type=int if number else str,
            metavar='N' if number else None,
            choices=None if number else [*kind],
            default=option.default,
            help=f'{option.metadata["help"]} (default {option.default})',
        )
    return parser
