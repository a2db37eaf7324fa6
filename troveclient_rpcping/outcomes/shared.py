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

"""What the bad guests of a sweep have in common: a host, for example.

A finding is reported only if it is far from chance. Take away what the guests
have in common, and deal the bad verdicts out at random: how likely is it that
one host gets at least that many of them (the upper tail of the hypergeometric
distribution)? The answer is multiplied by the number of hosts, datastores and
projects that were looked at, because among many of them one always stands out
(Bonferroni). Only a result below :data:`CHANCE` is a finding.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable
import dataclasses
import enum
import math

from troveclient_rpcping import plaintext
from troveclient_rpcping.inventory import Instance
from troveclient_rpcping.verdict import Verdict

#: A finding is less likely than this if there is no common cause.
CHANCE = 0.001

#: Fewer bad guests than this are no pattern.
LEAST = 3

# The longest value that stands in a line, in characters: Nova's hostId, which
# hides the name of a host, has 56.
_VALUE_LIMIT = 64

_WORDS = {
    Verdict.UNREACHABLE: 'unreachable guests',
    Verdict.ERROR: 'guests in error',
}


class Trait(enum.StrEnum):
    """What guests can have in common, the closest to a cause first."""

    HOST = 'host'
    DATASTORE = 'datastore'
    PROJECT = 'project'


_PHRASES = {
    Trait.HOST: 'are on host {}',
    Trait.DATASTORE: 'run {}',
    Trait.PROJECT: 'belong to project {}',
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What many of the bad guests have in common.

    :param verdict: ``unreachable`` or ``error``.
    :param trait: what they have in common.
    :param value: which host, datastore or project, as one clean line.
    :param bad_here: bad guests that have it.
    :param bad: bad guests in all.
    :param here: guests that have it.
    """

    verdict: Verdict
    trait: Trait
    value: str
    bad_here: int
    bad: int
    here: int

    @property
    def text(self) -> str:
        """The finding as one clean line without a full stop."""
        value = ' '.join(map(plaintext.word, self.value.split()))
        return (
            f'{self.bad_here} of {self.bad} {_WORDS[self.verdict]} '
            f'{_PHRASES[self.trait].format(value)} '
            f'({self.bad_here} of its {self.here})'
        )

    @property
    def kind(self) -> tuple[Verdict, Trait, str]:
        """What stays the same while more guests become bad, or fewer."""
        return self.verdict, self.trait, self.value


def finding(guests: Iterable[tuple[Instance, Verdict]]) -> Finding | None:
    """Return what the bad guests have in common, if that is no chance.

    Guests whose verdict is unknown are left out: they may be as bad as the
    others, or not.

    :param guests: the row of each guest in the listing, and its verdict.
    :returns: the finding that is furthest from chance; None for none.
    """
    known = [
        (_traits(row), verdict)
        for row, verdict in guests
        if verdict is not Verdict.UNKNOWN
    ]
    candidates = []
    looked_at = 0
    for trait in Trait:
        groups = [(traits[trait], verdict) for traits, verdict in known]
        here = collections.Counter(value for value, _ in groups if value)
        for verdict in _WORDS:
            bad = collections.Counter(
                value for value, each in groups if value and each is verdict
            )
            if bad.total() < LEAST:
                continue
            for value, guests_here in here.items():
                if guests_here < LEAST:
                    continue
                looked_at += 1
                if bad[value] < LEAST:
                    continue
                chance = tail(
                    bad[value], guests_here, bad.total(), here.total()
                )
                found = Finding(
                    verdict=verdict,
                    trait=trait,
                    value=plaintext.one_line(value, _VALUE_LIMIT),
                    bad_here=bad[value],
                    bad=bad.total(),
                    here=guests_here,
                )
                candidates.append((chance, found))
    # The first of several that are as unlikely: the closest to a cause.
    chance, best = min(
        candidates, key=lambda each: each[0], default=(1.0, None)
    )
    return best if chance * looked_at < CHANCE else None


def tail(hits: int, drawn: int, bad: int, guests: int) -> float:
    """Return how likely at least that many bad guests are by chance.

    :param hits: bad guests among those drawn.
    :param drawn: guests that are drawn, without putting any back.
    :param bad: bad guests in all.
    :param guests: guests in all.
    :returns: a probability. The upper tail of the hypergeometric
        distribution; 1.0 for no more hits than are to be expected.
    """
    if hits * guests <= drawn * bad:
        return 1.0
    term = math.exp(
        _log_choose(bad, hits)
        + _log_choose(guests - bad, drawn - hits)
        - _log_choose(guests, drawn)
    )
    total = 0.0
    for hit in range(hits, min(drawn, bad) + 1):
        total += term
        term *= (bad - hit) * (drawn - hit)
        term /= (hit + 1) * (guests - bad - drawn + hit + 1)
    return min(total, 1.0)


def _log_choose(most: int, some: int) -> float:
    return (
        math.lgamma(most + 1)
        - math.lgamma(some + 1)
        - math.lgamma(most - some + 1)
    )


def _traits(row: Instance) -> dict[Trait, str | None]:
    """Return what a guest may have in common with others."""
    return {
        Trait.HOST: row.server.host if row.server else None,
        Trait.DATASTORE: row.datastore,
        Trait.PROJECT: row.project_id,
    }
