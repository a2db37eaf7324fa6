# SPDX-License-Identifier: Apache-2.0

"""``python3 -m sandbox``: the sandbox from a shell.

The exit status is 0 for success, 1 for an error (one line on stderr), 2 for
wrong usage, 130 after Ctrl-C, 143 after SIGTERM. ``run`` ends with the exit
status of its command.
"""

# ruff: noqa: T201 -- a program may print

import argparse
from collections.abc import Sequence
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import types
from typing import Any

from sandbox import box as boxes
from sandbox import channel
from sandbox import error
from sandbox import fleet
from sandbox import install
from sandbox import plan as plans
from sandbox import tether

# Seconds that a command has to end after Ctrl-C or SIGTERM.
_PATIENCE = 5

_FOLDER = pathlib.Path(__file__).resolve().parent.parent / '.sandbox' / 'run'


def _box(
    args: argparse.Namespace, folder: pathlib.Path | None
) -> boxes.Sandbox:
    names = (option.name for option in dataclasses.fields(plans.Options))
    options = {name: getattr(args, name) for name in names}
    return boxes.Sandbox(folder=folder, **options)


def _folder(args: argparse.Namespace) -> pathlib.Path:
    return (args.dir or _FOLDER).absolute()


def _socket(args: argparse.Namespace) -> str | None:
    """Return the control socket of the chosen sandbox; None if it is down."""
    path = os.environ.get('TROVE_SANDBOX_SOCKET')
    if args.dir or not path:
        try:
            state = (_folder(args) / 'state.json').read_text()
        except FileNotFoundError:
            return None
        path = str(json.loads(state)['socket'])
    return path if channel.listening(path) else None


def _order(args: argparse.Namespace, command: str, **what: Any) -> Any:
    path = _socket(args)
    if path is None:
        raise error.SandboxError(
            'no sandbox is up; start one with "python3 -m sandbox up"'
        )
    return channel.order(path, {'order': command, **what})


def _install(args: argparse.Namespace) -> int:
    print(install.ensure())
    return 0


def _up(args: argparse.Namespace) -> int:
    path = _socket(args)
    if path is not None:
        install.tell('the sandbox is already up')
    else:
        with _box(args, _folder(args)) as box:
            box.detach()
            path = box.socket
    _describe(channel.order(path, {'order': 'status'}))
    return 0


def _down(args: argparse.Namespace) -> int:
    path = _socket(args)
    if path is None:
        install.tell('no sandbox is up')
    else:
        channel.order(path, {'order': 'down'})
        install.tell('stopped')
    return 0


def _status(args: argparse.Namespace) -> int:
    status = _order(args, 'status')
    if args.json:
        print(json.dumps(status, indent=1))
    else:
        _describe(status)
    return 0


def _describe(status: channel.Message) -> None:
    print(
        f'transport {status["transport"]}, Nova {status["nova"]}, '
        f'broker {status["broker"]}, pings lost {status["loss"]:.0%}, '
        f'files in {status["folder"]}'
    )
    for name, pid in status['servers'].items():
        state = ', frozen' if name in status['frozen'] else ''
        print(f'  {name:12} {f"pid {pid}{state}" if pid else "stopped"}')
    print('workers of trove-api')
    for number, worker in enumerate(status['workers'], 1):
        print(f'  {number:<12} pid {worker["pid"]}, {worker["state"]}')
    print('guests')
    shown = [g for g in status['guests'] if g['name'].startswith('db-')]
    for guest in shown:
        print(
            f'  {guest["name"]:12} {guest["behaviour"]:10} '
            f'{guest["project"]}  {guest["id"]}'
        )
    if len(shown) < len(status['guests']):
        print(f'  and {len(status["guests"]) - len(shown)} more')
    print(
        'to use it\n'
        f'  export OS_CLIENT_CONFIG_FILE={status["clouds_yaml"]} '
        'OS_CLOUD=sandbox\n'
        'to try next\n'
        '  openstack database instance rpc ping db-healthy db-dead\n'
        '  python3 -m sandbox guest db-healthy dead\n'
        '  python3 -m sandbox down'
    )


def _run(args: argparse.Namespace) -> int:
    program = shutil.which(args.argv[0])
    if program is None:
        raise error.SandboxError(f'there is no command {args.argv[0]}')
    with _box(args, args.dir) as box:
        process = subprocess.Popen(  # noqa: S603
            tether.tethered([program, *args.argv[1:]]),
            env=box.env(),
        )
        try:
            status = process.wait()
        except BaseException as exc:
            # A terminal also sends Ctrl-C to the command, but not SIGTERM.
            _end(process, knows=isinstance(exc, KeyboardInterrupt))
            raise
    return status if status >= 0 else 128 - status


def _end(process: subprocess.Popen[bytes], *, knows: bool) -> None:
    """End the command.

    :param knows: the command has got Ctrl-C already.
    """
    if knows and _ended(process):
        return
    process.terminate()
    if not _ended(process):
        process.kill()
        process.wait()


def _ended(process: subprocess.Popen[bytes]) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
    return process.returncode is not None


def _send(args: argparse.Namespace) -> int:
    """Send the order of the same name."""
    _order(args, **{k: v for k, v in vars(args).items() if k != 'dir'})
    return 0


_COMMANDS = {
    'install': _install,
    'up': _up,
    'down': _down,
    'status': _status,
    'run': _run,
}


def _parser() -> argparse.ArgumentParser:
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
    for option in dataclasses.fields(plans.Options):
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


class _Terminated(BaseException):
    """SIGTERM arrived. It ends the program as Ctrl-C does."""


def _terminate(number: int, frame: types.FrameType | None) -> None:
    raise _Terminated


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and return the exit status."""
    args = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return _COMMANDS.get(args.command, _send)(args)
    except error.SandboxError as exc:
        print(f'sandbox: error: {exc}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except _Terminated:
        return 128 + signal.SIGTERM
