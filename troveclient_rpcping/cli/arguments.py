# SPDX-License-Identifier: Apache-2.0

"""The arguments that all command lines share: which guests, how fast."""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
from typing import NoReturn

from troveclient_rpcping import durations
from troveclient_rpcping import limits
from troveclient_rpcping import plaintext
from troveclient_rpcping.cli import survey as surveys
from troveclient_rpcping.cli import targets

# The least number of seconds, and of pings a second.
_LEAST = 0.001
_RANGE = f'from {_LEAST:g} to {limits.LARGEST}'

# The names of labels in Prometheus. It reserves those that begin with "__".
_LABEL = re.compile(r'(?!__)[a-zA-Z_][a-zA-Z0-9_]*')

#: The labels that the metrics set themselves.
OWN_LABELS = frozenset(
    {
        *('instance_id', 'name', 'project_id', 'datastore'),
        *('host', 'server_id', 'server_status'),
        *('verdict', 'reason', 'outcome', 'le'),
    }
)


# The options that choose guests, and may be repeated.
_REPEATABLE = {
    'project': (
        'With --all: only instances of this project (name or ID; may be '
        'repeated)'
    ),
    'datastore': (
        'With --all: only instances of this datastore, as in "mysql" or '
        '"mysql 8.0" (may be repeated)'
    ),
    'status': (
        'With --all: only instances in this status, as in "ACTIVE" (may be '
        'repeated). After an upgrade Trove may list a running instance as '
        '"SHUTDOWN"'
    ),
    'exclude-status': (
        'Leave out instances in this status of Trove, as in "BUILD" (may be '
        'repeated)'
    ),
}


def be_brief(parser: argparse.ArgumentParser) -> None:
    """Let a parser print one line for a mistake, without its long usage."""

    def error(message: str) -> NoReturn:
        parser.exit(2, f'{brief(parser, message)}\n')

    parser.error = error  # type: ignore[method-assign]


def brief(parser: argparse.ArgumentParser, message: str) -> str:
    """Return the line for a mistake."""
    return f'{parser.prog}: error: {message} (see --help)'


def add_targets(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose the guests."""
    parser.add_argument(
        'instances',
        metavar='<instance>',
        nargs='*',
        type=name,
        help=(
            'Instance(s) to ping (name, ID, or a pattern of names as in '
            '"db-?")'
        ),
    )
    parser.add_argument(
        '--all',
        action='store_true',
        help='Ping every instance of every project, members of clusters too',
    )
    parser.add_argument(
        '--from-file',
        metavar='<file>',
        type=file,
        help=(
            'Ping the instances that this file names. Each line has a name or '
            'an ID; # begins a comment; - is standard input'
        ),
    )
    parser.add_argument(
        '--exclude',
        metavar='<file>',
        type=file,
        help=(
            'Leave out the instances that this file names. Each line has a '
            'name, an ID or a pattern of names; "until=2027-01-31" for the '
            'last day (UTC) and "# why" may follow. A monitor reads the file '
            'for each sweep'
        ),
    )
    for option, what in _REPEATABLE.items():
        parser.add_argument(
            f'--{option}',
            metavar=f'<{option.removeprefix("exclude-")}>',
            action='append',
            type=name,
            default=[],
            help=what,
        )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that bound a sweep."""
    parser.add_argument(
        '--timeout',
        metavar='<duration>',
        type=seconds,
        default=limits.TIMEOUT,
        help=(
            'The longest time for one ping (default: %(default)gs; Trove '
            'itself waits 15s for the guest agent). A duration is a number '
            'of seconds, or has units: 90, 1.5, 500ms, 5m, 1h30m'
        ),
    )
    parser.add_argument(
        '--concurrency',
        metavar='<number>',
        type=concurrency,
        default=limits.CONCURRENCY,
        help=(
            'The most pings in flight (default: %(default)d). The sweep '
            'finds out how many requests the API serves at the same time, '
            'and leaves a worker to other users. It pings guests with a stale '
            'heartbeat last, and few at a time. In uWSGI or mod_wsgi with one '
            'thread in each process, a dead guest occupies a whole process of '
            'trove-api until Trove gives up'
        ),
    )
    parser.add_argument(
        '--rate',
        metavar='<number>',
        type=rate,
        help=(
            'The most pings a second (default: only the limit of the server)'
        ),
    )


def mistake_in_targets(arguments: argparse.Namespace) -> str | None:
    """Say what is wrong with the choice of targets; None if nothing is."""
    named = arguments.instances or arguments.from_file
    if arguments.all and named:
        return '--all stands alone: name no instance and no file beside it'
    if not arguments.all and not named:
        return 'name an instance, or give --all or --from-file'
    if arguments.exclude == '-':
        return '--exclude takes no standard input: give it a file'
    filtered = arguments.project or arguments.datastore or arguments.status
    if filtered and not arguments.all:
        return '--project, --datastore and --status go with --all'
    return None


def selection(arguments: argparse.Namespace) -> targets.Selection:
    """Return the guests that a command line asks for."""
    fields = dataclasses.fields(targets.Selection)
    return targets.Selection(
        **{each.name: getattr(arguments, each.name) for each in fields}
    )


def plan(arguments: argparse.Namespace) -> surveys.Plan:
    """Return how a command line wants guests to be pinged, each once."""
    return surveys.Plan(
        concurrency=arguments.concurrency,
        timeout=arguments.timeout,
        rate=arguments.rate,
    )


def repeated_plan(arguments: argparse.Namespace) -> surveys.Plan:
    """Return how a command line wants guests to be pinged repeatedly."""
    waits = arguments.wait is not None
    return dataclasses.replace(
        plan(arguments),
        count=arguments.count or 1,
        stable=(arguments.stable or 1) if waits else None,
        interval=arguments.interval or limits.INTERVAL,
    )


def add_repetition(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that let a guest be pinged more than once."""
    parser.add_argument(
        '--count',
        metavar='<number>',
        type=times,
        help='Pings for each instance (default: 1)',
    )
    parser.add_argument(
        '--wait',
        metavar='<duration>',
        nargs='?',
        const=limits.WAIT,
        type=wait_seconds,
        help=(
            'Ping until every instance is reachable, or until this time is '
            f'up (without a value: {limits.WAIT:g}s)'
        ),
    )
    parser.add_argument(
        '--stable',
        metavar='<number>',
        type=times,
        help=(
            'With --wait: each instance must be reachable this many times in '
            'a row (default: 1)'
        ),
    )
    parser.add_argument(
        '--interval',
        metavar='<duration>',
        type=seconds,
        help=(
            'With --count or --wait: the time from one ping of an instance '
            f'to its next (default: {limits.INTERVAL:g}s)'
        ),
    )


def add_textfile(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for a file of metrics, and for their labels."""
    parser.add_argument(
        '--textfile',
        metavar='<file>',
        type=textfile,
        help=(
            'Write metrics to this file, as the textfile collector of '
            "Prometheus's node_exporter reads it. Its name ends in .prom"
        ),
    )
    parser.add_argument(
        '--label',
        metavar='<name>=<value>',
        action='append',
        type=label,
        default=[],
        help=(
            'Put this label on every metric, as in "cloud=north", to tell '
            'the metrics of several clouds apart (may be repeated)'
        ),
    )


def name(text: str) -> str:
    """Parse a name or an ID: trim it, as in a file; refuse an empty one."""
    trimmed = text.strip()
    if not trimmed:
        # A script may have used a variable that is not set.
        raise _mistaken(text, 'is not a name: give a name or an ID')
    return trimmed


def file(text: str) -> str:
    """Parse the path of a file; refuse an empty one."""
    if not text:
        # A script may have used a variable that is not set.
        raise _mistaken(text, 'is not a file: give its path')
    return text


def textfile(text: str) -> str:
    """Parse the path of a file for node_exporter: it ends in ``.prom``."""
    if not text.endswith('.prom') or text.endswith('/.prom'):
        raise _mistaken(
            text,
            'does not end in .prom: node_exporter reads no other file, so '
            'give one as in trove.prom',
        )
    return text


def label(text: str) -> tuple[str, str]:
    """Parse a label of all metrics: ``NAME=VALUE``."""
    name, equals, value = text.partition('=')
    if not equals or not _LABEL.fullmatch(name):
        raise _mistaken(
            text,
            'is not a label: give a name of letters, digits and "_", and a '
            'value, as in cloud=north',
        )
    # Prometheus would rename a label of ours that it sets itself.
    if name in OWN_LABELS or name in ('job', 'instance'):
        raise _mistaken(
            name,
            'is a label that the metrics or Prometheus set: give another name',
        )
    # Prometheus treats an empty label as a missing one.
    if not value.strip() or not value.isprintable():
        raise _mistaken(
            text, 'has no value that can be printed: give one, as in north'
        )
    return name, value


def mistake_in_metrics(arguments: argparse.Namespace) -> str | None:
    """Say what is wrong with the metrics; None if nothing is."""
    wanted = arguments.textfile or getattr(arguments, 'listen', None)
    if arguments.label and not wanted:
        return '--label goes with --textfile or --listen'
    names = [name for name, _ in arguments.label]
    for each in names:
        if names.count(each) > 1:
            return f'the label {each} is given twice: give each name once'
    return None


def seconds(text: str, hint: str = '') -> float:
    """Parse a duration; return it in seconds, 0.001 or more.

    :param hint: the end of the message for a mistake.
    """
    try:
        value = durations.parse(text)
    except ValueError:
        value = math.nan
    if not _LEAST <= value <= limits.LARGEST:
        raise _mistaken(
            text,
            f'is not a duration {_RANGE} seconds: give seconds, or units, as '
            f'in 90, 500ms, 5m or 1h30m{hint}',
        )
    return value


def wait_seconds(text: str) -> float:
    """Parse how long to wait; return it in seconds, 0.001 or more."""
    return seconds(text, '; an instance goes before --wait')


def rate(text: str) -> float:
    """Parse how many pings a second may be sent: 0.001 or more."""
    try:
        # Python also takes 1_000, and the digits of other scripts.
        value = float(text) if text.isascii() and '_' not in text else math.nan
    except ValueError:
        value = math.nan
    if not _LEAST <= value <= limits.LARGEST:
        raise _mistaken(
            text, f'is not a rate: give a number of pings a second {_RANGE}'
        )
    return value


def times(text: str, most: int = limits.LARGEST) -> int:
    """Parse a number of pings: from 1 to *most*."""
    # int() also takes "1_000", and would read a megabyte of digits.
    digits = text.isascii() and text.isdecimal() and len(text) <= 20
    if not digits or not 1 <= int(text) <= most:
        raise _mistaken(
            text, f'is not a number of pings: give one from 1 to {most}'
        )
    return int(text)


def concurrency(text: str) -> int:
    """Parse the most pings in flight: 1 to 1024."""
    # Each ping takes a connection, and a greenthread of trove-api.
    return times(text, 1024)


def _mistaken(text: str, mistake: str) -> argparse.ArgumentTypeError:
    shown = plaintext.one_line(text, 60)
    return argparse.ArgumentTypeError(f'"{shown}" {mistake}')


def mistake_in_repetition(arguments: argparse.Namespace) -> str | None:
    """Say what is wrong with the repetition; None if nothing is."""
    if arguments.count is not None and arguments.wait is not None:
        return '--count and --wait exclude each other'
    if arguments.stable is not None and arguments.wait is None:
        return '--stable goes with --wait'
    if arguments.interval is not None and (
        arguments.count is None and arguments.wait is None
    ):
        return '--interval goes with --count or --wait'
    return None
