# SPDX-License-Identifier: Apache-2.0

"""The guests that were asked for, their pings, and the outcome of each."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses
import functools
import math

from troveclient_rpcping import inventory
from troveclient_rpcping import plaintext
from troveclient_rpcping import verdict as verdicts

#: The verdicts of guests that are known to be bad.
BAD = (verdicts.Verdict.UNREACHABLE, verdicts.Verdict.ERROR)

#: The percentiles of the RTTs in a summary, with their labels.
PERCENTILES = (('p50', 50), ('p95', 95), ('max', 100))


# A bad verdict outweighs an unknown one.
_WORST_FIRST = (
    verdicts.Verdict.UNREACHABLE,
    verdicts.Verdict.ERROR,
    verdicts.Verdict.UNKNOWN,
    verdicts.Verdict.REACHABLE,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """One guest that was asked for. Its texts are clean lines.

    :param instance_id: the ID; None for a name that no instance bears.
    :param name: the name; None if it is not known.
    :param instance: its row in the listing; None without a listing.
    :param doubt: why the name is ambiguous; empty if it is not.
    :param hint: similar names, if no instance bears this one.
    """

    instance_id: str | None
    name: str | None = None
    instance: inventory.Instance | None = None
    doubt: str = ''
    hint: str = ''

    def __post_init__(self) -> None:
        plaintext.clean_fields(self, 'instance_id', 'name')


@dataclasses.dataclass(slots=True)
class Series:
    """The pings of one guest; empty until :meth:`add`. Times are in seconds.

    :param received: pings that the agent answered well.
    :param failed: pings that got an error as their answer.
    :param in_a_row: pings received since the last one that was lost or failed.
    :param shortest: the shortest round-trip time of the pings received.
    :param total: the sum of the round-trip times.
    :param last: the latest result.
    :param stable: in a wait, how many times in a row the guest must be
        reachable; None outside a wait.
    """

    sent: int = 0
    received: int = 0
    failed: int = 0
    in_a_row: int = 0
    shortest: float | None = None
    longest: float | None = None
    total: float = 0.0
    last: verdicts.PingResult | None = None
    stable: int | None = None
    _worst: verdicts.PingResult | None = None
    # A ping that may have got lost; forgotten if the guest answers later.
    _missed: verdicts.PingResult | None = None

    def add(self, result: verdicts.PingResult) -> None:
        """Record one more ping."""
        self.last = result
        if result.reason is verdicts.Reason.MESSAGE_BUS:
            self._missed = result
        else:
            self._worst = _worse(result, self._worst)
        self.sent += _was_sent(result)
        if not result.ok:
            self.in_a_row = 0
            self.failed += _was_answered(result)
            return
        self._missed = None
        self.sent += result.lost
        self.received += 1
        self.in_a_row += 1
        rtt = result.rtt or 0.0
        shortest = rtt if self.shortest is None else self.shortest
        self.shortest = min(rtt, shortest)
        self.longest = max(rtt, self.longest or 0.0)
        self.total += rtt

    @property
    def is_awaited(self) -> bool:
        """Whether this is a wait, in which an early silence is not a loss."""
        return self.stable is not None

    @property
    def outcome(self) -> verdicts.PingResult | None:
        """The outcome of all pings; None before the first result.

        In a wait it is the latest result. Otherwise it is the result with
        the worst verdict, with the mean RTT.
        """
        last, worst = self.last, self.worst
        if self.stable is None:
            if worst and self.received and self.sent > 1:
                return dataclasses.replace(worst, rtt=self.average)
            return worst
        if last is None or not last.ok or self.in_a_row >= self.stable:
            return last
        return last.as_unknown(
            verdicts.Reason.TIMEOUT,
            f'Reachable {self.in_a_row} of {self.stable} times in a row by '
            'the end',
        )

    @property
    def worst(self) -> verdicts.PingResult | None:
        """The result with the worst verdict, the latest of several.

        A lost ping says nothing of a guest that answered later.
        """
        return _worse(self._missed, self._worst)

    @property
    def lost(self) -> int:
        """Pings sent and not answered."""
        return self.sent - self.received - self.failed

    @property
    def average(self) -> float | None:
        """The mean round-trip time in seconds; None before the first one."""
        return self.total / self.received if self.received else None


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """One guest, its pings, and their outcome."""

    target: Target
    result: verdicts.PingResult
    series: Series


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """A sweep in numbers.

    :param by_verdict: guests by verdict.
    :param by_reason: guests that are not reachable, by reason.
    :param rtts: the RTTs of the reachable guests in seconds, in order.
    """

    by_verdict: collections.Counter[verdicts.Verdict]
    by_reason: collections.Counter[verdicts.Reason]
    rtts: tuple[float, ...]

    @classmethod
    def of(cls, results: Iterable[verdicts.PingResult]) -> Summary:
        """Sum up results."""
        results = list(results)
        bad = [each.reason for each in results if not each.ok]
        rtts = [each.rtt for each in results if each.ok]
        return cls(
            collections.Counter(each.verdict for each in results),
            collections.Counter(filter(None, bad)),
            tuple(sorted(rtt for rtt in rtts if rtt is not None)),
        )

    @property
    def guests(self) -> int:
        """The number of all guests."""
        return self.by_verdict.total()

    @property
    def bad(self) -> int:
        """How many guests are unreachable or in error."""
        return sum(self.by_verdict[verdict] for verdict in BAD)

    def percentile(self, percent: float) -> float:
        """Return the smallest RTT that *percent* of the guests do not exceed.

        At least one guest must be reachable.

        :param percent: more than 0, 100 at the most.
        """
        return self.rtts[math.ceil(len(self.rtts) * percent / 100) - 1]


@dataclasses.dataclass(frozen=True)
class Findings:
    """The outcomes of one sweep, in the order of the targets."""

    outcomes: Sequence[Outcome]

    @functools.cached_property
    def summary(self) -> Summary:
        """The outcomes in numbers."""
        return Summary.of(each.result for each in self.outcomes)


class Collector:
    """Sorts the results of pings by their guests, as the results come.

    :param targets: all guests that were asked for.
    :param stable: None: the outcome of a guest is its worst result. A number:
        the guests are pinged until they are reachable this many times in a
        row, and the outcome of a guest is its last result.
    """

    def __init__(self, targets: Sequence[Target], stable: int | None = None):
        self.targets = targets
        self._series = {
            target.instance_id: Series(stable=stable)
            for target in targets
            if target.instance_id
        }

    @property
    def guests(self) -> list[inventory.Instance | str]:
        """The guests to ping: all targets that have an ID."""
        return [
            target.instance or target.instance_id
            for target in self.targets
            if target.instance_id
        ]

    def add(self, result: verdicts.PingResult) -> Series:
        """Record a result; return all pings of its guest."""
        series = self._series[result.instance_id]
        series.add(result)
        return series

    def findings(self, why: str = '') -> Findings:
        """Return the outcome of every target.

        :param why: why guests without a result have none.
        """
        return Findings([self._outcome(each, why) for each in self.targets])

    def _outcome(self, target: Target, why: str) -> Outcome:
        id_, reason = target.instance_id or '', verdicts.Reason.NOT_ASKED
        series = self._series.get(id_) or Series()
        if target.instance_id is None:
            reason = verdicts.Reason.NOT_FOUND
            why = target.doubt or f'No instance has this name{target.hint}'
        result = series.outcome or verdicts.unknown(id_, reason, why)
        return Outcome(target, result, series)


def guests_in_words(count: int) -> str:
    """Return a number of guests in words."""
    return '1 guest' if count == 1 else f'{count} guests'


def _worse(*results: verdicts.PingResult | None) -> verdicts.PingResult | None:
    """Return the worst result, the first of several; None for none."""
    return min(
        (result for result in results if result),
        key=lambda result: _WORST_FIRST.index(result.verdict),
        default=None,
    )


def _was_sent(result: verdicts.PingResult) -> bool:
    if result.reason is verdicts.Reason.NOT_FOUND:
        # A text that cannot be an ID is never sent.
        return result.http_status is not None
    return result.reason is not verdicts.Reason.NOT_ASKED


def _was_answered(result: verdicts.PingResult) -> bool:
    """Whether a failed ping had an answer of its own."""
    return result.http_status is not None and result.reason not in (
        verdicts.Reason.AGENT_TIMEOUT,
        verdicts.Reason.MESSAGE_BUS,
        verdicts.Reason.TIMEOUT,
    )
