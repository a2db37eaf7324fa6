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

"""All pings of one guest, taken together."""

from __future__ import annotations

import dataclasses

from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict

# From the worst to the best: what is known to be bad outweighs what is not
# known.
_WORST_FIRST = (
    Verdict.UNREACHABLE,
    Verdict.ERROR,
    Verdict.UNKNOWN,
    Verdict.REACHABLE,
)


@dataclasses.dataclass(slots=True)
class Series:
    """What came of the pings of one guest; empty until :meth:`add`.

    :param sent: pings sent.
    :param received: pings that the agent answered well.
    :param failed: pings that were answered with an error.
    :param in_a_row: of these the latest ones, with none lost after them.
    :param shortest: the shortest round-trip time of those received, in
        seconds; None for none.
    :param longest: the longest one; None for none.
    :param total: all of them together.
    :param last: the latest result.
    :param awaited: whether the guest is pinged until it is reachable. Then
        the pings before that are no loss.
    """

    sent: int = 0
    received: int = 0
    failed: int = 0
    in_a_row: int = 0
    shortest: float | None = None
    longest: float | None = None
    total: float = 0.0
    last: PingResult | None = None
    awaited: bool = False
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
        if result.verdict is not Verdict.REACHABLE:
            self.in_a_row = 0
            self.failed += _was_answered(result)
            return
        self._missed = None
        self.sent += result.lost
        self.received += 1
        self.in_a_row += 1
        rtt = result.rtt or 0.0
        if self.shortest is None or rtt < self.shortest:
            self.shortest = rtt
        if self.longest is None or rtt > self.longest:
            self.longest = rtt
        self.total += rtt

    @property
    def worst(self) -> PingResult | None:
        """The result with the worst verdict, the latest of several.

        A ping that got lost is no verdict on a guest that answered later.
        """
        if self._missed is None:
            return self._worst
        return _worse(self._missed, self._worst)

    @property
    def lost(self) -> int:
        """Pings sent and not answered."""
        return self.sent - self.received - self.failed

    @property
    def average(self) -> float | None:
        """The mean round-trip time of those received, in seconds."""
        return self.total / self.received if self.received else None


def _worse(result: PingResult, other: PingResult | None) -> PingResult:
    if other is None or _rank(result) <= _rank(other):
        return result
    return other


def _rank(result: PingResult) -> int:
    return _WORST_FIRST.index(result.verdict)


def _was_sent(result: PingResult) -> bool:
    if result.reason is Reason.NOT_FOUND:
        # A text that cannot be an ID is not sent.
        return result.http_status is not None
    return result.reason is not Reason.NOT_ASKED


def _was_answered(result: PingResult) -> bool:
    """Whether a ping that did not end well had an answer of its own."""
    return result.http_status is not None and result.reason not in (
        Reason.AGENT_TIMEOUT,
        Reason.MESSAGE_BUS,
        Reason.TIMEOUT,
    )
