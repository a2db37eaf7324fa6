# SPDX-License-Identifier: Apache-2.0

"""The common trait of the bad guests of a sweep: a host, for example.

A common trait is reported only if it is far from chance. Deal the bad verdicts
out at random: how likely is it that one host gets at least that many of them
(the upper tail of the hypergeometric distribution)? Multiply the answer by the
number of hosts, datastores and projects, because one of many always stands out
(Bonferroni). Only a small result is reported.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import enum
import math

from troveclient_rpcping import inventory
from troveclient_rpcping import plaintext
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.outcomes import outcome as outcomes

# A common trait is reported if chance alone causes one with a probability
# below this.
_CHANCE = 0.001

# Fewer bad guests than this are not a pattern.
_LEAST = 3

# The longest value that stands in a line, in characters: Nova's hostId, which
# hides the name of a host, has 56.
_VALUE_LIMIT = 64

_WORDS = {
    verdicts.Verdict.UNREACHABLE: 'unreachable guests',
    verdicts.Verdict.ERROR: 'guests in error',
}


class Trait(enum.StrEnum):
    """A trait that guests can share, the closest to a cause first."""

    HOST = 'host'
    DATASTORE = 'datastore'
    PROJECT = 'project'


# How to name a trait, and how to read it from a row.
_TRAITS: dict[
    Trait, tuple[str, Callable[[inventory.Instance], str | None]]
] = {
    Trait.HOST: (
        'are on host',
        lambda row: row.server.host if row.server else None,
    ),
    Trait.DATASTORE: ('run', lambda row: row.datastore),
    Trait.PROJECT: ('belong to project', lambda row: row.project_id),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CommonTrait:
    """One trait that many of the bad guests have.

    :param verdict: ``unreachable`` or ``error``.
    :param value: which host, datastore or project, as one clean line.
    :param bad_here: bad guests that have it.
    :param bad: bad guests in all.
    :param here: guests that have it.
    """

    verdict: verdicts.Verdict
    trait: Trait
    value: str
    bad_here: int
    bad: int
    here: int

    @property
    def text(self) -> str:
        """The trait as one clean line without a full stop."""
        phrase, _ = _TRAITS[self.trait]
        value = ' '.join(map(plaintext.word, self.value.split()))
        return (
            f'{self.bad_here} of {self.bad} {_WORDS[self.verdict]} '
            f'{phrase} {value} ({self.bad_here} of its {self.here})'
        )

    @property
    def kind(self) -> tuple[verdicts.Verdict, Trait, str]:
        """The part that stays while more guests become bad, or fewer."""
        return self.verdict, self.trait, self.value

    def is_over(self, guests: Iterable[outcomes.Outcome]) -> bool:
        """Whether guests with this trait answer, and few are still bad."""
        _, value_of = _TRAITS[self.trait]
        counts = collections.Counter(
            each.result.verdict
            for each in guests
            if each.target.instance
            and _shown(value_of(each.target.instance)) == self.value
        )
        reachable = counts[verdicts.Verdict.REACHABLE]
        return reachable > 0 and counts[self.verdict] < _LEAST


def common_trait(
    guests: Iterable[outcomes.Outcome],
) -> CommonTrait | None:
    """Return what the bad guests have in common, if it is far from chance.

    Guests whose verdict is unknown do not count: they may be bad, or not.

    :returns: the trait that is furthest from chance; None for none.
    """
    known = [
        (each.target.instance, each.result.verdict)
        for each in guests
        if each.target.instance
        and each.result.verdict is not verdicts.Verdict.UNKNOWN
    ]
    candidates = [
        candidate
        for trait in Trait
        for verdict in _WORDS
        for candidate in _candidates(known, trait, verdict)
    ]
    # The first of several that are as unlikely: the closest to a cause.
    chance, best = min(
        candidates, key=lambda each: each[0], default=(1.0, None)
    )
    return best if chance * len(candidates) < _CHANCE else None


def _candidates(
    guests: Iterable[tuple[inventory.Instance, verdicts.Verdict]],
    trait: Trait,
    verdict: verdicts.Verdict,
) -> Iterator[tuple[float, CommonTrait]]:
    """Return each value of a trait, and how likely it is by chance."""
    _, value_of = _TRAITS[trait]
    all_here: collections.Counter[str] = collections.Counter()
    bad_here: collections.Counter[str] = collections.Counter()
    for row, each in guests:
        if value := value_of(row):
            all_here[value] += 1
            bad_here[value] += each is verdict
    bad = bad_here.total()
    for value, here in all_here.items():
        if here < _LEAST or bad < _LEAST:
            continue
        hits = bad_here[value]
        found = CommonTrait(
            verdict=verdict,
            trait=trait,
            value=_shown(value),
            bad_here=hits,
            bad=bad,
            here=here,
        )
        chance = tail(hits, here, bad, all_here.total())
        yield (chance if hits >= _LEAST else 1.0), found


def _shown(value: str | None) -> str:
    return plaintext.one_line(value or '', _VALUE_LIMIT)


def tail(hits: int, drawn: int, bad: int, guests: int) -> float:
    """Return the upper tail of the hypergeometric distribution.

    :param hits: bad guests, at the least, among those drawn.
    :param drawn: guests that are drawn, without putting any back.
    :param bad: bad guests in all.
    :param guests: guests in all.
    :returns: a probability; 1.0 for the expected number of hits, or fewer.
    """
    if hits * guests <= drawn * bad:
        return 1.0
    term = math.comb(bad, hits) * math.comb(guests - bad, drawn - hits)
    total = 0
    for hit in range(hits, min(drawn, bad) + 1):
        total += term
        term *= (bad - hit) * (drawn - hit)
        term //= (hit + 1) * (guests - bad - drawn + hit + 1)
    return total / math.comb(guests, drawn)
