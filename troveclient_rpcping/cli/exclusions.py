# SPDX-License-Identifier: Apache-2.0

"""Guests that are left out on purpose: ``--exclude``, ``--exclude-status``.

Each line of the file has a name, an ID or a pattern of names. ``until=DATE``
and a comment that says why may follow::

    db-7                              # Ann repairs its disk
    staging-*    until=2027-01-31     # moves to the new cloud
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Sequence
import dataclasses
import datetime
import fnmatch
import os
import re

from troveclient_rpcping import exceptions
from troveclient_rpcping import inventory
from troveclient_rpcping import plaintext
from troveclient_rpcping.cli import targets
from troveclient_rpcping.outcomes import outcome as outcomes

# An option at the end of an entry.
_OPTION = re.compile(r'(?:^|\s)([a-z]+)=(\S*)$', re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the file.

    :param line: its number in the file, from 1 on.
    :param what: a name, an ID, or a pattern of names.
    :param until: the last day on which the guest is left out, in UTC.
    """

    line: int
    what: str
    until: datetime.date = datetime.date.max
    why: str = ''


def utc_today() -> datetime.date:
    """Return the present day, in UTC."""
    return datetime.datetime.now(datetime.UTC).date()


class Exclusions:
    """The guests that a command leaves out.

    :raises TargetError: the file cannot be read, or has a bad line.
    """

    def __init__(
        self,
        file: str | None,
        statuses: Collection[str] = (),
        *,
        today: Callable[[], datetime.date] = utc_today,
    ):
        self._file = file
        self._shown = plaintext.one_line(file or '')
        self._statuses = {status.casefold() for status in statuses}
        self._today = today
        self._entries = self._read()
        self._trouble: list[str] = []
        #: How many guests were left out, which entries have ended, and why
        #: the file cannot be read.
        self.sentences: list[str] = []
        # A pipe can be read only once.
        self._changes = file is not None and os.path.isfile(file)

    @property
    def needs_listing(self) -> bool:
        """Whether the exclusions need names or statuses of a listing."""
        return bool(self._statuses) or any(
            not inventory.is_id(entry.what) for entry in self._entries
        )

    def refresh(self) -> None:
        """Read the file again.

        If that fails, its last good version stays in force, and
        :meth:`leave_out` reports the failure.
        """
        self._trouble = []
        try:
            if self._changes:
                self._entries = self._read()
        except exceptions.TargetError as error:
            self._trouble = [f'{error}. The exclusions stay as they were']

    def leave_out(
        self, chosen: list[outcomes.Target]
    ) -> list[outcomes.Target]:
        """Return the guests that are asked, and renew the sentences.

        :raises NoTargetError: all guests are left out.
        """
        day = self._today()
        fits = _matcher([each for each in self._entries if each.until >= day])
        kept = [
            target
            for target in chosen
            if not fits(target) and not self._has_status(target)
        ]
        left_out = outcomes.guests_in_words(len(chosen) - len(kept))
        self.sentences = [
            f'{left_out} left out (--exclude, --exclude-status)',
            *(
                self._ending(each)
                for each in self._entries
                if each.until < day
            ),
            *self._trouble,
        ]
        if chosen and not kept:
            why = 'No instance is left to ask: ' + '; '.join(self.sentences)
            raise exceptions.NoTargetError(why)
        return kept

    def _has_status(self, target: outcomes.Target) -> bool:
        status = target.instance.status if target.instance else None
        return (status or '').casefold() in self._statuses

    def _ending(self, entry: Entry) -> str:
        why = f' ({plaintext.quoted(entry.why)})' if entry.why else ''
        return (
            f'{self._shown}, line {entry.line}: '
            f'{plaintext.quoted(entry.what)} was left out until '
            f'{entry.until}{why}, and is pinged again'
        )

    def _read(self) -> list[Entry]:
        if self._file is None:
            return []
        text = targets.text_of(self._file, None)
        return [
            entry
            for number, line in enumerate(text.split('\n'), 1)
            if (entry := self._entry(number, line)) is not None
        ]

    def _entry(self, number: int, line: str) -> Entry | None:
        """Parse a line; None for one that is empty.

        :raises TargetError: it is a bad line.
        """
        comment = targets.COMMENT.search(line)
        what = (line[: comment.start()] if comment else line).strip()
        if not what:
            return None
        until = datetime.date.max
        option = _OPTION.search(what)
        if option:
            what = what[: option.start()].rstrip()
            try:
                day = option[2] if option[1] == 'until' else ''
                until = datetime.date.fromisoformat(day)
            except ValueError:
                what = ''
            if not what or _OPTION.search(what):
                shown = plaintext.quoted(line.strip())
                raise exceptions.TargetError(
                    f'{self._shown}, line {number}: {shown} is not an entry: '
                    'give a name, an ID or a pattern, alone or with an end, '
                    'as in "db-7 until=2027-01-31"'
                )
        why = comment[1].strip() if comment else ''
        return Entry(line=number, what=what, until=until, why=why)


def _matcher(entries: Sequence[Entry]) -> Callable[[outcomes.Target], bool]:
    """Return a function that says whether an entry fits a guest."""
    ids = {each.what.lower() for each in entries if inventory.is_id(each.what)}
    names = {each.what for each in entries}
    # Without a name, the pattern fits none.
    patterns = '|'.join(map(fnmatch.translate, sorted(names))) or '(?!)'
    fits = re.compile(patterns).match
    return lambda target: (
        target.instance_id in ids
        or target.name in names
        or bool(target.name and fits(target.name))
    )
