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

"""All pings of one guest, and their outcome."""

from __future__ import annotations

import dataclasses

from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict

# A bad verdict outweighs an unknown one.
_WORST_FIRST = (
    Verdict.UNREACHABLE,
    Verdict.ERROR,
    Verdict.UNKNOWN,
    Verdict.REACHABLE,
)


@dataclasses.dataclass(slots=True)
class Series:
    """The pings of one guest; empty until :meth:`add`. Times are in seconds.

    :param received: pings that the agent answered well.
    :param failed: pings that were answered with an error.
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
    last: PingResult | None = None
    stable: int | None = None
    _worst: PingResult | None = None
    # A ping that may have got lost; forgotten if the guest answers later.
    _missed: PingResult | None = None

    def add(self, result: PingResult) -> None:
        """Record one more ping."""
        self.last = result
        if result.reason is Reason.MESSAGE_BUS:
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
        self.shortest = min(
            rtt, rtt if self.shortest is None else self.shortest
        )
        self.longest = max(rtt, self.longest or 0.0)
        self.total += rtt

    @property
    def is_awaited(self) -> bool:
        """Whether this is a wait, in which an early silence is not a loss."""
        return self.stable is not None

    @property
    def outcome(self) -> PingResult | None:
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
            Reason.TIMEOUT,
            f'Reachable {self.in_a_row} of {self.stable} times in a row by '
            'the end',
        )

    @property
    def worst(self) -> PingResult | None:
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


def _worse(*results: PingResult | None) -> PingResult | None:
    """Return the worst result, the first of several; None for none."""
    return min(
        (result for result in results if result),
        key=lambda result: _WORST_FIRST.index(result.verdict),
        default=None,
    )


def _was_sent(result: PingResult) -> bool:
    if result.reason is Reason.NOT_FOUND:
        # A text that cannot be an ID is never sent.
        return result.http_status is not None
    return result.reason is not Reason.NOT_ASKED


def _was_answered(result: PingResult) -> bool:
    """Whether a failed ping had an answer of its own."""
    return result.http_status is not None and result.reason not in (
        Reason.AGENT_TIMEOUT,
        Reason.MESSAGE_BUS,
        Reason.TIMEOUT,
    )
