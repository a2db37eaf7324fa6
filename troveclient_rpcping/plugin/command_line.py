# SPDX-License-Identifier: Apache-2.0

"""The command line of ``check_trove_guest_rpc``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from troveclient_rpcping import version
from troveclient_rpcping.cli import arguments as cli_arguments
from troveclient_rpcping.plugin import cloud as clouds
from troveclient_rpcping.plugin import thresholds

#: The longest time for the plugin, in seconds. Nagios and Icinga end a plugin
#: after 60 seconds; then Nagios reports CRITICAL.
DEADLINE = 50.0

_DESCRIPTION = """\
Ask whether Trove can reach the agents in its guests, by the rules of the
monitoring plugins (Icinga, Nagios, Checkmk, ...). For administrators.
"""

_EPILOG = """\
A range is [@][start:]end, as with any monitoring plugin: 5 alerts above 5,
@5:10 from 5 to 10, 20% above a fifth of the guests asked for; ~: never alerts.

Exit status: 0 OK; 1 WARNING; 2 CRITICAL: too many guests are known to be bad,
however many others are unknown, or they answer too slowly; 3 UNKNOWN: too many
guests are unknown, or the check itself failed, for any reason. A timeout alone
makes no guest bad.
"""


class UsageError(Exception):
    """The command line is wrong."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse would exit with 2, which is CRITICAL.
        raise UsageError(f'{message} (see --help)')


def first_look(argv: Sequence[str]) -> thresholds.Thresholds:
    """Return -t and -v alone: they count before the cloud is known.

    If one of them has a mistake, the defaults count.
    """
    peek = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, exit_on_error=False
    )
    _add_general(peek)
    try:
        return peek.parse_known_args(argv, thresholds.Thresholds())[0]
    except argparse.ArgumentError:
        return peek.parse_args([], thresholds.Thresholds())


def parse(cloud: clouds.Cloud, argv: Sequence[str]) -> thresholds.Thresholds:
    """Parse the command line; the cloud adds options of its own.

    :raises UsageError: the command line is wrong.
    :raises SystemExit: the parser has printed the help or the version.
    """
    parser = own_parser()
    cloud.add_options(parser)
    parsed = parser.parse_args(argv, thresholds.Thresholds())
    mistake = cli_arguments.mistake_in_targets(parsed)
    if mistake:
        parser.error(mistake)
    return parsed


def own_parser() -> argparse.ArgumentParser:
    """Return the parser of all options except those that name the cloud."""
    parser = _Parser(
        prog='check_trove_guest_rpc',
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument(
        '-V',
        '--version',
        action='version',
        version=f'%(prog)s {version.VERSION}',
    )
    cli_arguments.add_targets(parser)
    _add_thresholds(parser)
    cli_arguments.add_limits(parser)
    _add_general(parser)
    return parser


def _add_thresholds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '-w',
        '--warning',
        metavar='<range>',
        type=thresholds.parse,
        default=thresholds.NEVER,
        help=(
            'WARNING for this number of bad guests, or for this percentage '
            'of the guests asked for (default: none)'
        ),
    )
    parser.add_argument(
        '-c',
        '--critical',
        metavar='<range>',
        type=thresholds.parse,
        default='0',
        help=(
            'CRITICAL for this number of bad guests (those that are '
            'unreachable or in error), or for this percentage of the guests '
            'asked for (default: %(default)s: for any)'
        ),
    )
    parser.add_argument(
        '--unknown',
        metavar='<number>',
        type=thresholds.parse_tolerance,
        default='1',
        help=(
            'UNKNOWN for this number of unknown guests or more, or for this '
            'percentage of the guests asked for or more (default: '
            '%(default)s)'
        ),
    )
    for state, example in (('warning', '500ms'), ('critical', '2s')):
        parser.add_argument(
            f'--rtt-{state}',
            metavar='<range>',
            type=thresholds.parse_rtt,
            default=thresholds.NEVER,
            help=(
                f'{state.upper()} for this 95th percentile of the round-trip '
                f'times, as in {example} (default: none)'
            ),
        )


def _add_general(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '-t',
        '--deadline',
        metavar='<duration>',
        type=cli_arguments.seconds,
        default=DEADLINE,
        help=(
            'The longest time for the plugin; a guest without an answer by '
            'then is unknown (default: %(default)gs)'
        ),
    )
    parser.add_argument(
        '-v',
        '--verbose',
        action='count',
        default=0,
        help=(
            'One more line for each bad guest; -vv: for the unknown guests '
            'too; -vvv: for all guests, and a traceback if the plugin fails'
        ),
    )
