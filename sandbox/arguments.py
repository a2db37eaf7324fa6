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

"""What ``python3 -m sandbox`` understands."""

import argparse
import pathlib

from sandbox import fleet
from sandbox import plan


def parser() -> argparse.ArgumentParser:
    """The parser; it leaves the command's name in ``command``."""
    root = argparse.ArgumentParser(
        prog='python3 -m sandbox',
        description='A whole Trove control plane on this machine: real '
        'Keystone, real trove-api, real guest RPC.',
        epilog='Inside "run" every command means the sandbox around it.',
    )
    commands = root.add_subparsers(
        dest='command', metavar='COMMAND', required=True
    )
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument(
        '--dir',
        type=pathlib.Path,
        help='the folder of the sandbox; default: .sandbox/run (for "run": '
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
    add('up', 'start a sandbox that stays', place, options)
    add('down', 'stop it', place)
    status = add('status', 'tell what runs', place)
    status.add_argument('--json', action='store_true', help='for programs')
    sub = add(
        'run',
        'run a command against a sandbox of its own',
        place,
        options,
    )
    sub.add_argument(
        'argv',
        nargs='+',
        metavar='COMMAND',
        help='the command and its arguments, after "--"',
    )
    sub = add('guest', 'let a guest behave in another way', place)
    sub.add_argument('name', metavar='NAME', help='name, NAME@PROJECT or ID')
    sub.add_argument(
        'behaviour',
        metavar='BEHAVIOUR',
        choices=[each.value for each in fleet.Behaviour],
        help=', '.join(fleet.Behaviour),
    )
    sub.add_argument(
        '--delay',
        type=float,
        metavar='SECONDS',
        help='how slow a slow guest is (default 1)',
    )
    sub.add_argument(
        '--heartbeat',
        metavar='fresh|stale|SECONDS',
        help='or the age of the last one, below 0 with a clock that is ahead '
        '(default: stale for a dead guest and with RESTART_REQUIRED, else '
        'fresh)',
    )
    sub.add_argument(
        '--status',
        choices=[each.value for each in fleet.Status],
        default='ACTIVE',
        help='what Trove says that it is doing (default ACTIVE)',
    )
    sub.add_argument(
        '--server',
        choices=[each.value for each in fleet.ServerStatus],
        default='ACTIVE',
        help='what Nova says of its server; UNTAGGED: the listing does not '
        'find it (default ACTIVE)',
    )
    sub = add('nova', 'break Nova, or mend it', place)
    sub.add_argument(
        'state',
        metavar='STATE',
        choices=[each.value for each in fleet.Nova],
        help=', '.join(fleet.Nova),
    )
    sub = add('broker', 'let RabbitMQ refuse, or mend it', place)
    sub.add_argument(
        'state',
        metavar='STATE',
        choices=[each.value for each in fleet.Broker],
        help=', '.join(fleet.Broker),
    )
    sub = add('loss', 'lose a share of all pings at the agents', place)
    sub.add_argument(
        'share', metavar='SHARE', type=float, help='0.3 is 30 %%; 0 mends it'
    )
    sub.add_argument(
        '--seed',
        metavar='N',
        type=int,
        default=0,
        help='the same seed loses the same pings (default 0)',
    )
    sub = add('worker', 'cut off or freeze a worker of trove-api', place)
    sub.add_argument(
        'number', metavar='NUMBER', type=int, help='from 1, as "status" has it'
    )
    sub.add_argument(
        'state',
        metavar='STATE',
        choices=[each.value for each in fleet.Worker],
        help=f'{", ".join(fleet.Worker)}; lost: its connections to RabbitMQ '
        'carry nothing; cut: nor do new ones; frozen: SIGSTOP',
    )
    add('mend', 'make everything what it was at the start', place)
    for name, help_ in (
        ('freeze', 'let a server stand still (SIGSTOP)'),
        ('thaw', 'let a frozen server go on'),
        ('stop', 'stop a server in good order'),
        ('kill', 'kill a server with SIGKILL'),
        ('start', 'start a server again'),
    ):
        sub = add(name, help_, place)
        sub.add_argument(
            'server',
            metavar='SERVER',
            help='keystone, cloud or trove-api; with rabbit also guests '
            'or broker',
        )
    return root


def _options_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    default = plan.Options()
    for flag, metavar, value, help_ in (
        (
            '--workers',
            'N',
            default.workers,
            'trove-api processes, with rabbit',
        ),
        (
            '--guests',
            'N',
            default.guests,
            'guests beside the default fleet, guest-0001 and so on',
        ),
        ('--dead', 'N', default.dead, 'N of these are dead'),
        (
            '--agent-timeout',
            'SECONDS',
            default.agent_timeout,
            'how long Trove waits for an agent; Trove itself has 15',
        ),
        (
            '--rate-limit',
            'N',
            default.rate_limit,
            'GETs a minute for each project',
        ),
        (
            '--token-lifetime',
            'SECONDS',
            default.token_lifetime,
            'until a token expires',
        ),
    ):
        parser.add_argument(
            flag,
            type=int,
            metavar=metavar,
            default=value,
            help=f'{help_} (default {value})',
        )
    parser.add_argument(
        '--transport',
        choices=[each.value for each in plan.Transport],
        default=default.transport,
        help='memory needs no broker, rabbit starts one (default memory)',
    )
    parser.add_argument(
        '--dead-order',
        choices=[each.value for each in fleet.DeadOrder],
        default=default.dead_order,
        help='which ones: the last in a row, or some at random, always the '
        'same ones (default row)',
    )
    parser.add_argument(
        '--dead-heartbeat',
        choices=[each.value for each in fleet.Heartbeat],
        default=default.dead_heartbeat,
        help='what Trove got last from these (default stale)',
    )
    parser.add_argument(
        '--server',
        choices=[each.value for each in plan.ApiServer],
        default=default.server,
        help='what serves trove-api: eventlet, or, with rabbit, wsgi: one '
        'request at a time in each worker (default eventlet)',
    )
    return parser
