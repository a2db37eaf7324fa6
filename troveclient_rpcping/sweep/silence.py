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

"""Guests that timed out and have not answered since, and what comes next."""

from __future__ import annotations

import dataclasses
import enum

from troveclient_rpcping.sweep.evidence import Evidence
from troveclient_rpcping.sweep.evidence import MOST_TIMEOUTS
from troveclient_rpcping.sweep.queue import Guest
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason

_UNPROVEN = (
    "Trove's call timed out, and the sweep ended before that could be proven"
)
_LOSSES = (
    "Trove's call timed out, but so did {lost} of {pings} pings of guests "
    'that answer'
)
_NOT_STEADY = (
    "Trove's call timed out, but meanwhile the agents of other guests did not "
    'answer either'
)
_NOBODY = "Trove's call timed out, and the agent of no guest answers"
_BUSY = 'The agent does not answer while the guest has status {status}'
_OFF = (
    'The server of the guest is {status} in Nova, so no agent can answer in it'
)


class Next(enum.Enum):
    """What a silent guest needs."""

    #: It is dead.
    DEAD = enum.auto()
    #: It is dead on Trove's word alone: no other guest can be asked.
    DEAD_UNCONFIRMED = enum.auto()
    #: A further ping.
    PING = enum.auto()
    #: Further controls.
    CONTROLS = enum.auto()
    #: Its server is off, or Trove itself would not ask its agent now.
    NOT_READY = enum.auto()
    #: Too many pings get lost for a verdict.
    LOSSES = enum.auto()
    #: No agent answered while Trove waited.
    NOT_STEADY = enum.auto()
    #: There is too little evidence.
    UNPROVEN = enum.auto()


@dataclasses.dataclass(slots=True)
class Silent:
    """A guest that timed out, and has not answered since.

    :param guest: the guest.
    :param result: the latest timeout.
    :param held: its timeouts that are results, and have no verdict yet.
    :param asked: how often it was pinged since it fell silent.
    :param timeouts: how many of these timed out while agents answered.
    :param queued: whether a further ping of it waits, or is under way.
    """

    guest: Guest
    result: PingResult
    held: list[PingResult] = dataclasses.field(default_factory=list)
    asked: int = 0
    timeouts: int = 0
    queued: bool = False

    @property
    def is_stale(self) -> bool:
        """Whether its heartbeat is stale in the listing."""
        return self.guest.row is not None and self.guest.row.is_stale

    def needs(self, evidence: Evidence, *, has_controls: bool) -> Next:
        """Return what comes next, if agents answered in this sweep.

        :param evidence: what the sweep has seen.
        :param has_controls: whether there are guests for controls.
        """
        stale = self.is_stale
        row = self.guest.row
        if row is not None and (row.is_off or row.is_busy):
            return Next.NOT_READY
        if evidence.proves(self.timeouts, stale=stale):
            return Next.DEAD
        may_ping = self.asked < MOST_TIMEOUTS and not (
            evidence.hopeless and self.asked > 1
        )
        least = 1 if stale else 2
        for timeouts in (self.timeouts, self.timeouts + may_ping):
            # Controls may be enough, and take less time than a timeout. And
            # they come before a ping, which may hide a worker from them.
            if has_controls and evidence.wants_controls(
                max(least, timeouts), stale=stale
            ):
                return Next.CONTROLS
        if may_ping:
            return Next.PING
        if evidence.lost:
            return Next.LOSSES
        return Next.NOT_STEADY if self.timeouts < least else Next.UNPROVEN

    def needs_alone(self) -> Next:
        """Return what comes next if there is no other guest to ask."""
        row = self.guest.row
        if row is not None and (row.is_off or row.is_busy):
            return Next.NOT_READY
        return Next.PING if self.asked < 2 else Next.DEAD_UNCONFIRMED


def dead(result: PingResult, *, confirmed: bool) -> PingResult:
    """Return the result of a guest that is dead.

    :param result: its latest timeout.
    :param confirmed: whether other guests answered meanwhile.
    """
    if confirmed:
        return result
    text = result.message.rstrip('.')
    return dataclasses.replace(
        result, message=f'{text}; no other guest confirms it'
    )


def not_ready(silent: Silent) -> PingResult:
    """Return the result of a silent guest that cannot be expected to answer.

    Its server is off, or Trove itself would not ask its agent now.
    """
    row = silent.guest.row
    if row is not None and row.server is not None and row.is_off:
        text = _OFF.format(status=row.server.status)
        return silent.result.as_unknown(Reason.SERVER_OFF, text)
    text = _BUSY.format(status=row.status if row else None)
    return silent.result.as_unknown(Reason.NOT_READY, text)


def losses(result: PingResult, evidence: Evidence) -> PingResult:
    """Return the result of a guest whose pings may have got lost."""
    text = _LOSSES.format(
        lost=evidence.lost, pings=evidence.lost + evidence.answered
    )
    return result.as_unknown(Reason.MESSAGE_BUS, text)


def not_steady(result: PingResult) -> PingResult:
    """Return the result of a guest during whose wait no agent answered."""
    return result.as_unknown(Reason.MESSAGE_BUS, _NOT_STEADY)


def nobody(result: PingResult) -> PingResult:
    """Return the result of a guest that is silent like all the others."""
    return result.as_unknown(Reason.MESSAGE_BUS, _NOBODY)


def unproven(result: PingResult) -> PingResult:
    """Return the result of a guest that there was no time to prove dead."""
    return result.as_unknown(Reason.TIMEOUT, _UNPROVEN)


def lost(result: PingResult) -> PingResult:
    """Return the result of a ping whose guest answered another one."""
    return result.as_unknown(
        Reason.MESSAGE_BUS,
        "Trove's call timed out, but the agent answered another ping",
    )
