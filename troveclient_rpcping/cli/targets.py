# SPDX-License-Identifier: Apache-2.0

"""From names and IDs on the command line to instances."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import difflib
import fnmatch
import os
import pathlib
import re
from typing import TextIO

from troveclient_rpcping import exceptions
from troveclient_rpcping import inventory
from troveclient_rpcping import plaintext
from troveclient_rpcping.cli import advice
from troveclient_rpcping.outcomes import outcome as outcomes

# The largest file to read, in bytes: a million IDs fit in.
_FILE_LIMIT = 64 * 1024 * 1024

# The characters that make a name a pattern.
_PATTERN = frozenset('*?[')

_BY_ID = 'Ask for one of them by its ID.'

# The most names that get near names. The search for near names takes longer,
# the more names the listing has.
_MOST_HINTS = 5
# The most values to show for a selection that fits no instance.
_MOST_SHOWN = 8
# The letters of a UUID, and about its length.
_ALMOST_ID = re.compile(r'[0-9a-fA-F-]{30,42}')

#: A comment begins at the start of a line or after white space. A name may
#: have a "#" inside.
COMMENT = re.compile(r'(?:^|\s)#\s*(.*)')


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The guests that a command line asks for: named ones, or all that fit.

    Its fields have the names of the options.

    :param instances: names, patterns of names, and IDs.
    :param from_file: a file with more of them; ``-`` for standard input; None
        for no file.
    :param all: every instance that fits, rather than named ones.
    :param project: only these projects, by name or ID; empty for all.
    :param datastore: only these types, or types and versions; empty for all.
    :param status: only these statuses; empty for all.
    :param exclude: a file with the guests to leave out; None for no file.
    :param exclude_status: the statuses to leave out.
    """

    instances: Sequence[str] = ()
    from_file: str | None = None
    all: bool = False
    project: Sequence[str] = ()
    datastore: Sequence[str] = ()
    status: Sequence[str] = ()
    exclude: str | None = None
    exclude_status: Sequence[str] = ()

    def names(self, stdin: TextIO | None = None) -> list[str]:
        """Return the names and IDs, also those in the file."""
        file = self.from_file
        more = read(file, stdin) if file is not None else []
        return [*self.instances, *more]

    def with_pipe_read(self, stdin: TextIO | None) -> Selection:
        """Return the same selection, with the lines of a pipe as names.

        A pipe can be read only once. A regular file is read again for each
        lookup of the guests.
        """
        file = self.from_file
        if file is None or (file != '-' and os.path.isfile(file)):
            return self
        return dataclasses.replace(
            self, instances=self.names(stdin), from_file=None
        )


class Names:
    """The instance of each name, from one lookup to the next.

    Any tenant can give an instance a name that is in use. So a name stands
    for the same instance as long as that instance exists.

    :param strict: whether an ambiguous name is an error in the first lookup,
        where a person can give an ID instead. In later lookups, and without
        *strict*, an ambiguous name has no instance.
    """

    def __init__(self, *, strict: bool = True):
        self._strict = strict
        self._ids: dict[str, str] = {}

    def look_up(
        self, names: Iterable[str], by_id: Mapping[str, inventory.Instance]
    ) -> dict[str, outcomes.Target]:
        """Find the target of each name.

        :param by_id: every instance.
        :raises TargetError: for ambiguous names in a strict first lookup.
        """
        bearers: dict[str, list[inventory.Instance]] = {
            name: [] for name in names
        }
        for instance in by_id.values():
            if instance.name in bearers:
                bearers[instance.name].append(instance)
        complaints = [
            _shared(name, several)
            for name, several in bearers.items()
            if len(several) > 1
        ]
        if self._strict and complaints:
            raise exceptions.TargetError(f'{" ".join(complaints)} {_BY_ID}')
        self._strict = False
        return {
            name: self._target(name, found, by_id)
            for name, found in bearers.items()
        }

    def _target(
        self,
        name: str,
        bearers: Sequence[inventory.Instance],
        by_id: Mapping[str, inventory.Instance],
    ) -> outcomes.Target:
        known = by_id.get(self._ids.get(name, ''))
        if known is None and len(bearers) == 1:
            known = bearers[0]
        if known is None:
            doubt = f'{_shared(name, bearers)} {_BY_ID}' if bearers else ''
            return outcomes.Target(None, name, doubt=doubt)
        self._ids[name] = known.id
        if all(bearer.id == known.id for bearer in bearers):
            return _target(known)
        goes_on = f'{plaintext.quoted(name)} still stands for {known.id}.'
        doubt = f'{_shared(name, bearers)} {goes_on}'
        return dataclasses.replace(_target(known), doubt=doubt)


def listed(
    list_all: Callable[[], list[inventory.Instance]], *, ids: bool
) -> list[inventory.Instance]:
    """List every instance.

    :param ids: whether the user could have given IDs, which need no listing.
    :raises TargetError: there is no listing; says what to do.
    """
    try:
        return list_all()
    except exceptions.ListingFailed as error:
        hint = advice.after_listing(error, ids=ids)
        said = f'{str(error).rstrip(".")}. {hint}'
        raise exceptions.TargetError(said.rstrip()) from error


def resolve(
    named: Sequence[str], instances: Sequence[inventory.Instance], known: Names
) -> list[outcomes.Target]:
    """Find the instance of each name, each instance once.

    :param named: names, patterns of names as a shell has them (``db-*``), and
        IDs.
    :param instances: every instance; IDs alone need none.
    :param known: the names of earlier lookups.
    :returns: in the order of *named*.
    :raises TargetError: several instances bear one name, and *known* does not
        allow that. The text has their IDs.
    """
    # The texts of the listing are clean, too.
    named = list(map(plaintext.one_line, named))
    by_id = {instance.id: instance for instance in instances}
    names = [
        text
        for text in named
        if not inventory.is_id(text) and _PATTERN.isdisjoint(text)
    ]
    by_name = known.look_up(names, by_id)
    targets: dict[str, outcomes.Target] = {}
    for text in named:
        if text in by_name:
            found = [by_name[text]]
        elif inventory.is_id(text):
            # Trove knows its IDs in lower case.
            id_ = text.lower()
            row = by_id.get(id_)
            found = [_target(row) if row else outcomes.Target(id_)]
        else:
            found = _matches(text, instances) or [outcomes.Target(None, text)]
        for target in found:
            key = target.instance_id or f'name {text}'
            targets.setdefault(key, target)
    return _with_hints(list(targets.values()), instances)


def select(
    instances: Sequence[inventory.Instance],
    *,
    project_ids: Collection[str] = (),
    datastores: Collection[str] = (),
    statuses: Collection[str] = (),
) -> list[outcomes.Target]:
    """Return every instance that fits, in the order of their names.

    :param project_ids: which projects; empty for all.
    :param datastores: see :class:`Selection`, as for the statuses.
    :raises NoTargetError: no instance fits.
    """
    wanted = {text.casefold() for text in datastores}
    states = {text.casefold() for text in statuses}
    found = [
        instance
        for instance in instances
        if (not project_ids or instance.project_id in project_ids)
        and (not wanted or wanted & _datastore(instance))
        and (not states or (instance.status or '').casefold() in states)
    ]
    if not instances:
        raise exceptions.NoTargetError('There is no instance in this cloud')
    if not found:
        filters = (
            ('project_id', 'projects', project_ids),
            ('datastore', 'datastores', datastores),
            ('status', 'statuses', statuses),
        )
        there = [
            _there_are(attribute, plural, instances)
            for attribute, plural, given in filters
            if given
        ]
        raise exceptions.NoTargetError(' '.join(['No instance fits.', *there]))
    return _in_order(found)


def read(file: str, stdin: TextIO | None) -> list[str]:
    """Read names and IDs, one a line, from a file.

    :returns: nothing for a file without a name. The list of failed guests is
        such a file if all guests are reachable.
    :raises TargetError: see :func:`text_of`.
    """
    lines = (
        COMMENT.sub('', line).strip()
        for line in text_of(file, stdin).split('\n')
    )
    return [line for line in lines if line]


def text_of(file: str, stdin: TextIO | None) -> str:
    """Return the text of a file that names instances.

    :param file: its path; ``-`` for standard input.
    :param stdin: standard input; None if it is closed.
    :raises TargetError: it cannot be read, or is not text.
    """
    shown = plaintext.one_line(file)
    try:
        if file == '-':
            if stdin is None:
                raise exceptions.TargetError('Standard input is closed')
            data = stdin.buffer.read(_FILE_LIMIT + 1)
        else:
            with pathlib.Path(file).open('rb') as stream:
                data = stream.read(_FILE_LIMIT + 1)
        if len(data) > _FILE_LIMIT:
            raise exceptions.TargetError(
                f'{shown} is too large to be a list of instances'
            )
        # A NUL is not UTF-8 here: no text has one.
        return data.replace(b'\0', b'\xff').decode('utf-8-sig')
    except OSError as error:
        raise exceptions.TargetError(
            f'Cannot read {shown}: {error.strerror}'
        ) from error
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        raise exceptions.TargetError(
            f'{shown} is not text in UTF-8: see line {line}'
        ) from error


def _datastore(instance: inventory.Instance) -> set[str]:
    """Return the type, and the type with the version."""
    full = (instance.datastore or '').casefold()
    return {full, full.partition(' ')[0]}


def _target(instance: inventory.Instance) -> outcomes.Target:
    return outcomes.Target(instance.id, instance.name, instance)


def _matches(
    pattern: str, instances: Sequence[inventory.Instance]
) -> list[outcomes.Target]:
    """Return the targets whose names fit a pattern, or are its text."""
    fits = re.compile(fnmatch.translate(pattern)).match
    return _in_order(
        each
        for each in instances
        if each.name and (each.name == pattern or fits(each.name))
    )


def _in_order(
    instances: Iterable[inventory.Instance],
) -> list[outcomes.Target]:
    """Return targets in the order of their names."""
    ordered = sorted(instances, key=lambda each: (each.name or '', each.id))
    return [_target(each) for each in ordered]


def _is_lost(target: outcomes.Target) -> bool:
    """Whether no instance bears the name of a target."""
    return target.instance_id is None and not target.doubt


def _with_hints(
    targets: list[outcomes.Target], instances: Sequence[inventory.Instance]
) -> list[outcomes.Target]:
    """Suggest other names to the targets whose names no instance bears."""
    lost = [index for index, target in enumerate(targets) if _is_lost(target)]
    if lost:
        names = sorted({each.name for each in instances if each.name})
        for count, index in enumerate(lost):
            near = names if count < _MOST_HINTS else []
            hint = _hint(targets[index].name or '', near)
            targets[index] = dataclasses.replace(targets[index], hint=hint)
    return targets


def _hint(name: str, names: Sequence[str]) -> str:
    """Return a hint, as the end of a sentence; empty for none."""
    if _ALMOST_ID.fullmatch(name):
        return (
            f'. It looks like an ID, but is not a UUID: {len(name)} '
            'characters, and a UUID has 36, four of them hyphens'
        )
    near = difflib.get_close_matches(name, names, cutoff=0.75)
    quoted = ', '.join(map(plaintext.quoted, near))
    return f'. Similar names: {quoted}' if near else ''


def _there_are(
    attribute: str, plural: str, instances: Iterable[inventory.Instance]
) -> str:
    """Say which values an attribute of the instances has."""
    values = sorted(
        {value for each in instances if (value := getattr(each, attribute))}
    )
    shown = ', '.join(map(plaintext.quoted, values[:_MOST_SHOWN])) or 'none'
    rest = len(values) - _MOST_SHOWN
    more = f' and {rest} more' if rest > 0 else ''
    return f'There are these {plural}: {shown}{more}.'


def _shared(name: str, bearers: Sequence[inventory.Instance]) -> str:
    """Say which instances bear the same name."""
    ids = ', '.join(plaintext.word(bearer.id) for bearer in bearers)
    count = len(bearers)
    are = '1 instance is' if count == 1 else f'{count} instances are'
    return f'{are} named {plaintext.quoted(name)}: {ids}.'
