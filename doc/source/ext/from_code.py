# SPDX-License-Identifier: Apache-2.0

"""Tables of verdicts, reasons, exit statuses and options, from the code.

Such a table cannot differ from the code. A value without a ``#:`` comment is
an error, and ends the build.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from collections.abc import Sequence
from importlib import metadata
from typing import Any
from typing import ClassVar

from cliff import sphinxext
from docutils import nodes
from sphinx import application
from sphinx import pycode
from sphinx.util import docutils

from troveclient_rpcping import fixture
from troveclient_rpcping import plaintext
from troveclient_rpcping import reply as replies
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.osc import exits
from troveclient_rpcping.plugin import command_line


def comment(module: str, name: str) -> str:
    """Return the ``#:`` comment of a constant or a member of an enum.

    :param module: the module of the constant.
    :param name: its name in the module, as in ``Verdict.ERROR``.
    :raises LookupError: there is no comment.
    """
    owner, _, attribute = name.rpartition('.')
    comments = pycode.ModuleAnalyzer.for_module(module).find_attr_docs()
    text = ' '.join(comments.get((owner, attribute), ())).strip()
    if not text:
        raise LookupError(f'{module}.{name} has no comment')
    return text


class _Table(docutils.SphinxDirective):
    header: ClassVar[Sequence[str]]
    widths: ClassVar[Sequence[int]]

    def rows(self) -> Iterator[Sequence[str]]:
        """Return the rows, in reStructuredText."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        widths = ' '.join(map(str, self.widths))
        lines = [
            '.. list-table::',
            '   :header-rows: 1',
            f'   :widths: {widths}',
            '',
        ]
        for row in (self.header, *self.rows()):
            lines += [
                f'   {"*" if number == 0 else " "} - {cell}'
                for number, cell in enumerate(row)
            ]
        return self.parse_text_to_nodes('\n'.join(lines))


class Verdicts(_Table):
    """``.. verdicts::``: every verdict, and its meaning."""

    header = ('Verdict', 'What it means')
    widths = (15, 85)

    def rows(self) -> Iterator[Sequence[str]]:
        """Return the rows, in reStructuredText."""
        for verdict in verdicts.Verdict:
            yield (
                f'``{verdict}``',
                comment(
                    verdicts.Verdict.__module__, f'Verdict.{verdict.name}'
                ),
            )


class Reasons(_Table):
    """``.. reasons::``: every reason, its verdict, and a reply of Trove.

    The verdict is the judgement on the reply beside it.
    """

    header = ('Verdict', 'Reason', 'What happened', 'An answer of this kind')
    widths = (12, 16, 42, 30)

    def rows(self) -> Iterator[Sequence[str]]:
        """Return the rows, in reStructuredText."""
        instance_id = '<id>'
        for reason in verdicts.Reason:
            outcome = fixture.for_reason(reason, instance_id)
            judgement = verdicts.judge(outcome, instance_id)
            if judgement.reason is not reason:
                raise LookupError(f'the example of {reason} has another')
            yield (
                f'``{judgement.verdict}``',
                f'``{reason}``',
                comment(verdicts.Reason.__module__, f'Reason.{reason.name}'),
                _said(outcome),
            )


def _said(outcome: replies.Reply | replies.NoReply) -> str:
    if isinstance(outcome, replies.NoReply):
        return 'none'
    text = plaintext.first_line(outcome.fault or '')
    return f'{outcome.status} ``{text}``' if text else str(outcome.status)


class ExitStatuses(_Table):
    """``.. exit-statuses::``: the exit statuses of the commands."""

    header = ('Status', 'What it means, and what a runbook may do')
    widths = (12, 88)

    def rows(self) -> Iterator[Sequence[str]]:
        """Return the rows, in reStructuredText."""
        statuses = {
            name: value
            for name, value in vars(exits).items()
            if name.isupper() and isinstance(value, int)
        }
        for name in sorted(statuses, key=lambda name: statuses[name]):
            yield str(statuses[name]), comment(exits.__name__, name)


class Options(docutils.SphinxDirective):
    """``.. options:: PROGRAM``: its arguments, and their meaning.

    The list leaves out the options for the output, which every command of
    ``openstack`` has, and those that name a cloud.
    """

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return a list of definitions."""
        lines = []
        for action in _actions(_parser(self.arguments[0])):
            lines += [_signature(action), f'    {_help(action)}', '']
        return self.parse_text_to_nodes('\n'.join(lines))


class Command(sphinxext.AutoprogramCliffDirective):  # type: ignore[misc]
    """``.. autoprogram-cliff::``: cliff's directive, with the defaults.

    cliff itself prints the "%(default)s" of a help text unchanged.
    """

    def _load_command(self, manager: Any, command_name: str) -> Any:
        command: Any = super()._load_command(manager, command_name)

        class Documented(command):  # type: ignore[misc]
            __doc__ = command.__doc__

            def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
                """Return the parser, with the help that a user sees."""
                parser: argparse.ArgumentParser = super().get_parser(prog_name)
                for action in parser._actions:
                    if action.help:
                        action.help = _expanded(action, prog_name)
                return parser

        return Documented


def _expanded(action: argparse.Action, program: str) -> str:
    return (action.help or '') % {**vars(action), 'prog': program}


def _parser(program: str) -> argparse.ArgumentParser:
    if program == 'check_trove_guest_rpc':
        return command_line.own_parser()
    name = program.removeprefix('openstack ').replace(' ', '_')
    (entry,) = metadata.entry_points(group='openstack.database.v1', name=name)
    command = entry.load()(None, None)
    parser: argparse.ArgumentParser = command.get_parser(program)
    return parser


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    # argparse has no public way to its arguments. Those of cliff and
    # keystoneauth stand in groups of their own.
    return [
        action
        for group in (parser._positionals, parser._optionals)
        for action in group._group_actions
        if action.help is not argparse.SUPPRESS
    ]


def _signature(action: argparse.Action) -> str:
    value = str(action.metavar or '')
    if action.nargs == '?':
        value = f'[{value}]'
    if not action.option_strings:
        return f'``{value}``'
    signatures = (
        f'``{option} {value}``' if value else f'``{option}``'
        for option in action.option_strings
    )
    return ', '.join(signatures)


def _help(action: argparse.Action) -> str:
    text = _expanded(action, '')
    for character in '\\*`_|':
        text = text.replace(character, f'\\{character}')
    return f'{text[:1].upper()}{text[1:].removesuffix(".")}.'


def setup(app: application.Sphinx) -> dict[str, bool]:
    """Add the directives to Sphinx."""
    # After cliff's own directive, which this replaces.
    app.setup_extension('cliff.sphinxext')
    app.add_directive('autoprogram-cliff', Command, override=True)
    app.add_directive('verdicts', Verdicts)
    app.add_directive('reasons', Reasons)
    app.add_directive('exit-statuses', ExitStatuses)
    app.add_directive('options', Options)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
