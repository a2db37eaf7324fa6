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

"""From names and IDs on the command line to instances."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import difflib
import fnmatch
import functools
import os
import pathlib
import re
from typing import TextIO

from troveclient_rpcping import inventory
from troveclient_rpcping import plaintext
from troveclient_rpcping.exceptions import ListingFailed
from troveclient_rpcping.exceptions import NoTargetError
from troveclient_rpcping.exceptions import TargetError
from troveclient_rpcping.inventory import Instance
from troveclient_rpcping.verdict import is_about_project
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import unknown

# How much of a file is read at most, in bytes: a million IDs fit in.
_FILE_LIMIT = 64 * 1024 * 1024

# What to do when there is no listing.
_HINTS = {
    Reason.DENIED: (
        'Only an administrator may ping; check the credentials in use.'
    ),
    Reason.COMPUTE_ERROR: 'Trove asks Nova for its servers: look at Nova.',
    Reason.CONNECTION: (
        'Check that trove-api runs, the endpoint in the catalog, and the way '
        'there: proxies and certificates.'
    ),
    Reason.GATEWAY: 'Check that trove-api runs, and that it reaches Keystone.',
    Reason.RATE_LIMITED: 'Try again in a minute.',
}
#: What to do if the project in the URL is not that of the caller.
PROJECT_HINT = (
    'The project in the URL of the endpoint must be that of the login: check '
    'the endpoint in the catalog, or where an endpoint is set in its place.'
)
# Where a ping may succeed though the listing failed.
_IDS_HINT = (
    'Guests that are named by their IDs need no listing, unless there is '
    '--long or a file of metrics.'
)
_LISTING_ALONE = {Reason.TIMEOUT, Reason.API_ERROR}

_BY_ID = 'Ask for one of them by its ID.'

# Near names are looked up for so many names at the most: it takes about as
# long as the listing has names.
_MOST_HINTS = 5
# How many values are shown of what a selection could have named.
_MOST_SHOWN = 8
# The letters of a UUID, and about as many.
_ALMOST_ID = re.compile(r'[0-9a-fA-F-]{30,42}')

# At the beginning of a line, or after white space: a name may have one inside.
_COMMENT = re.compile(r'(?:^|\s)#.*')


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """One guest that was asked for.

    :param instance_id: the ID; None for a name that stands for no instance.
    :param name: the name, as far as it is known.
    :param instance: its row in the listing, if there was a listing.
    :param doubt: why the name is ambiguous, in a clean line; empty if it is
        not.
    :param hint: what may have been meant by a name that no instance bears.
    """

    instance_id: str | None
    name: str | None = None
    instance: Instance | None = None
    doubt: str = ''
    hint: str = ''


def unanswered(target: Target, why: str = '') -> PingResult:
    """Return what is known of a target that no answer came for.

    :param target: what was asked for.
    :param why: why there is no answer, if there is an instance to ask.
    """
    reason = Reason.NOT_ASKED
    if target.instance_id is None:
        reason = Reason.NOT_FOUND
        why = target.doubt or f'No instance bears this name{target.hint}'
    return unknown(target.instance_id or '', reason, why)


class Names:
    """Which instance each name stands for, from one lookup to the next.

    Any tenant can give an instance a name that is in use. So a name goes on
    to stand for the instance that it stood for first, as long as that exists.

    :param strict: whether an ambiguous name is an error in the first lookup:
        a person is there who can give an ID. Later, and without *strict*, an
        ambiguous name costs only itself.
    """

    def __init__(self, *, strict: bool = True):
        self._strict = strict
        self._ids: dict[str, str] = {}

    def look_up(
        self,
        by_name: Mapping[str, Sequence[Instance]],
        by_id: Mapping[str, Instance],
    ) -> dict[str, Target]:
        """Find the target of each name.

        :param by_name: the instances that bear each name.
        :param by_id: every instance.
        :raises TargetError: for ambiguous names in a strict first lookup.
        """
        if self._strict:
            _refuse_ambiguous(by_name)
        self._strict = False
        return {
            name: self._target(name, bearers, by_id)
            for name, bearers in by_name.items()
        }

    def _target(
        self,
        name: str,
        bearers: Sequence[Instance],
        by_id: Mapping[str, Instance],
    ) -> Target:
        known = by_id.get(self._ids.get(name, ''))
        if known is None and len(bearers) == 1:
            known = bearers[0]
        if known is None:
            doubt = f'{_shared(name, bearers)} {_BY_ID}' if bearers else ''
            return Target(None, name, doubt=doubt)
        self._ids[name] = known.id
        if all(bearer.id == known.id for bearer in bearers):
            return _target(known)
        goes_on = f'{plaintext.quoted(name)} still stands for {known.id}.'
        doubt = f'{_shared(name, bearers)} {plaintext.one_line(goes_on)}'
        return dataclasses.replace(_target(known), doubt=doubt)


class Directory:
    """The instances of the cloud, listed once, when first needed.

    :param listing: lists every instance.
    :param ids: whether IDs could be given in place of a listing.
    """

    def __init__(
        self, listing: Callable[[], list[Instance]], *, ids: bool = True
    ):
        self._listing = listing
        self._ids = ids

    @functools.cached_property
    def instances(self) -> list[Instance]:
        """Every instance.

        :raises TargetError: if there is no listing.
        """
        try:
            return self._listing()
        except ListingFailed as error:
            said = f'{str(error).rstrip(".")}. {self._hint(error)}'
            raise TargetError(said.rstrip()) from error

    def _hint(self, error: ListingFailed) -> str:
        """Say what to do when there is no listing; empty for nothing."""
        if is_about_project(str(error)):
            return PROJECT_HINT
        if self._ids and (error.reason in _LISTING_ALONE or error.came):
            return _IDS_HINT
        return _HINTS.get(error.reason, '')

    def resolve(
        self,
        arguments: Sequence[str],
        *,
        always_list: bool = False,
        known: Names | None = None,
    ) -> list[Target]:
        """Find the instance of each argument, each instance once.

        All names together cost one listing, IDs none.

        :param arguments: names, patterns of names as a shell has them
            (``db-*``), and IDs. What is the name of an instance is no pattern.
        :param always_list: list even for IDs alone, for more about them.
        :param known: what names stood for in earlier lookups; None if this
            is the only one.
        :returns: in the order of the arguments.
        :raises TargetError: for names that several instances bear (it lists
            their IDs) unless *known* allows them, or if there is no listing.
        """
        names = [text for text in arguments if not inventory.is_id(text)]
        instances = self.instances if names or always_list else []
        by_id = {instance.id: instance for instance in instances}
        bearers = inventory.by_name(instances, names)
        by_name = (known or Names()).look_up(bearers, by_id)
        hints = _Hints(instances)
        targets: dict[str, Target] = {}
        for text in arguments:
            if inventory.is_id(text):
                # Trove knows its IDs in lower case.
                instance = by_id.get(text.lower())
                found = [
                    _target(instance) if instance else Target(text.lower())
                ]
            elif _is_pattern(text) and not bearers[text]:
                found = _matches(text, instances)
            else:
                found = [by_name[text]]
            for target in found or [Target(None, text)]:
                if target.instance_id is None and not target.doubt:
                    target = dataclasses.replace(target, hint=hints.of(text))
                key = target.instance_id or f'name {text}'
                targets.setdefault(key, target)
        return list(targets.values())

    def select(
        self,
        *,
        project_ids: Collection[str] = (),
        datastores: Collection[str] = (),
        statuses: Collection[str] = (),
    ) -> list[Target]:
        """Return every instance that fits, by name.

        :param project_ids: which projects; empty for all.
        :param datastores: types, or types and versions; empty for all.
        :param statuses: which statuses; empty for all.
        :raises NoTargetError: if none does.
        :raises TargetError: if there is no listing.
        """
        wanted = {text.casefold() for text in datastores}
        states = {text.casefold() for text in statuses}
        found = [
            instance
            for instance in self.instances
            if (not project_ids or instance.project_id in project_ids)
            and (not wanted or wanted & _datastore_names(instance))
            and (not states or (instance.status or '').casefold() in states)
        ]
        if not self.instances:
            raise NoTargetError('There is no instance in this cloud')
        if not found:
            there = [
                _there_are(what, attribute, self.instances)
                for what, attribute, given in (
                    ('projects', 'project_id', project_ids),
                    ('datastores', 'datastore', datastores),
                    ('statuses', 'status', statuses),
                )
                if given
            ]
            raise NoTargetError(' '.join(['No instance fits.', *there]))
        found.sort(key=lambda instance: (instance.name or '', instance.id))
        return [_target(instance) for instance in found]


def chosen(
    arguments: argparse.Namespace,
    listing: Callable[[], list[Instance]],
    *,
    stdin: TextIO | None,
    project_id: Callable[[str], str],
    always_list: bool = False,
    known: Names | None = None,
) -> list[Target]:
    """Find the guests that a command line asks for.

    :param arguments: with what ``arguments.add_targets`` adds.
    :param listing: lists every instance; called once at the most.
    :param stdin: standard input; None if it is closed.
    :param project_id: asks Keystone for the ID of a project.
    :param always_list: list even for IDs alone, for more about them.
    :param known: what names stood for in earlier lookups, if there were any.
    :returns: none if a file names none, and nothing else does.
    :raises NoTargetError: if none fits.
    :raises TargetError: if they cannot be found.
    """
    directory = Directory(listing, ids=not arguments.all)
    if not arguments.all:
        named = list(arguments.instances)
        if arguments.from_file:
            named += read(arguments.from_file, stdin)
        return directory.resolve(named, always_list=always_list, known=known)
    listed = {instance.project_id for instance in directory.instances}
    return directory.select(
        # A project without an instance is looked up in Keystone, to tell a
        # wrong name from an empty project.
        project_ids={
            project if project in listed else project_id(project)
            for project in arguments.project
        },
        datastores=arguments.datastore,
        statuses=arguments.status,
    )


def can_be_read_again(file: str) -> bool:
    """Whether a file still has its lines after it was read: not a pipe."""
    return file != '-' and os.path.isfile(file)


def read(file: str, stdin: TextIO | None) -> list[str]:
    """Read names and IDs, one a line, from a file.

    :param file: its path; ``-`` for standard input.
    :param stdin: standard input; None if it is closed.
    :returns: none if it names none, as a list of failed guests where all is
        well.
    :raises TargetError: if it cannot be read, or is not text.
    """
    shown = plaintext.one_line(file)
    try:
        if file == '-':
            if stdin is None:
                raise TargetError('Standard input is closed')
            data = stdin.buffer.read(_FILE_LIMIT + 1)
        else:
            with pathlib.Path(file).open('rb') as stream:
                data = stream.read(_FILE_LIMIT + 1)
        if len(data) > _FILE_LIMIT:
            raise TargetError(
                f'{shown} is too large to be a list of instances'
            )
        text = data.decode('utf-8-sig')
    except OSError as error:
        raise TargetError(f'Cannot read {shown}: {error.strerror}') from error
    except UnicodeDecodeError as error:
        raise _no_text(shown, data, error.start) from error
    if '\0' in text:
        raise _no_text(shown, data, data.index(b'\0'))
    lines = (_COMMENT.sub('', line).strip() for line in text.split('\n'))
    return [line for line in lines if line]


def _no_text(file: str, data: bytes, where: int) -> TargetError:
    line = data.count(b'\n', 0, where) + 1
    return TargetError(f'{file} is no text in UTF-8: see line {line}')


def _datastore_names(instance: Instance) -> set[str]:
    full = (instance.datastore or '').casefold()
    return {full, full.partition(' ')[0]}


def _target(instance: Instance) -> Target:
    return Target(instance.id, instance.name, instance)


def _is_pattern(text: str) -> bool:
    return not set(text).isdisjoint('*?[')


def _matches(pattern: str, instances: Sequence[Instance]) -> list[Target]:
    """Return the targets whose names fit a pattern, by name."""
    fits = re.compile(fnmatch.translate(pattern)).match
    found = [each for each in instances if each.name and fits(each.name)]
    found.sort(key=lambda each: (each.name or '', each.id))
    return [_target(each) for each in found]


class _Hints:
    """What may have been meant by names that no instance bears.

    :param instances: those that there are.
    """

    def __init__(self, instances: Sequence[Instance]):
        self._names = sorted({each.name for each in instances if each.name})
        self._left = _MOST_HINTS

    def of(self, name: str) -> str:
        """Return a hint, as the end of a sentence; empty for none."""
        if _ALMOST_ID.fullmatch(name):
            return (
                f'. It looks like an ID, but is not a UUID: {len(name)} '
                'characters, and a UUID has 36, four of them hyphens'
            )
        self._left -= 1
        if self._left < 0:
            return ''
        near = difflib.get_close_matches(name, self._names, cutoff=0.75)
        quoted = ', '.join(map(plaintext.quoted, near))
        return f'. Near names: {quoted}' if near else ''


def _there_are(
    what: str, attribute: str, instances: Sequence[Instance]
) -> str:
    """Say what a selection could have named."""
    values = sorted(
        {value for each in instances if (value := getattr(each, attribute))}
    )
    shown = ', '.join(map(plaintext.quoted, values[:_MOST_SHOWN]))
    rest = len(values) - _MOST_SHOWN
    more = f' and {rest} more' if rest > 0 else ''
    return f'There are these {what}: {shown or "none"}{more}.'


def _refuse_ambiguous(by_name: Mapping[str, Sequence[Instance]]) -> None:
    complaints = [
        _shared(name, bearers)
        for name, bearers in by_name.items()
        if len(bearers) > 1
    ]
    if complaints:
        raise TargetError(f'{" ".join(complaints)} {_BY_ID}')


def _shared(name: str, bearers: Sequence[Instance]) -> str:
    """Say which instances bear a name."""
    ids = ', '.join(plaintext.word(bearer.id) for bearer in bearers)
    count = len(bearers)
    are = '1 instance is' if count == 1 else f'{count} instances are'
    return f'{are} named {plaintext.quoted(name)}: {ids}.'
