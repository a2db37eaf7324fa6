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

"""Whether Trove's word that a guest did not answer may be believed.

When the message bus fails while Trove waits for guests, Trove says of each of
them what it says of a dead one: its call timed out. So that word counts only
if the bus was seen to work all the time that Trove waited: agents kept
answering. When a sweep has nobody left to ask but waits for the last ones, it
asks a guest that answered before, every second, to see just that.
"""

from __future__ import annotations

import dataclasses

from troveclient_rpcping.verdict import Judgement
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict

#: Seconds after the last answer of an agent when the next one is asked for.
CHECK = 1.0

# Seconds without an answer of any agent that leave doubt about the bus. With
# a check every second there are none while it works; a RabbitMQ node takes
# longer than this to restart, and loses what was under way.
_SILENCE = 2.5

_DOUBT = (
    "Trove's call timed out, but nothing shows that the message bus worked "
    'meanwhile'
)


class Proof:
    """Keeps when agents answered, and what is not proven yet."""

    def __init__(self) -> None:
        #: A guest whose agent answered in this sweep, a reachable one if
        #: there is any: a witness for the bus.
        self.witness: str | None = None
        #: When an agent answered last; None if none has yet.
        self.last: float | None = None
        self._silences: list[tuple[float, float]] = []
        self._held: dict[str, PingResult] = {}

    def saw(self, result: PingResult, now: float) -> None:
        """Take in what a ping says of the bus.

        :param result: its result.
        :param now: when it arrived.
        """
        # What Trove calls an error of the agent may be one of the bus.
        if result.verdict is Verdict.REACHABLE:
            self.witness = result.instance_id
        elif result.reason is Reason.NO_SUCH_METHOD:
            self.witness = self.witness or result.instance_id
        else:
            return
        before = -float('inf') if self.last is None else self.last
        if now - before > _SILENCE:
            self._silences.append((before, now))
        self.last = now

    def proves(self, sent: float, now: float) -> bool:
        """Whether the bus worked all the time from *sent* until *now*."""
        if self.last is None or now - self.last > _SILENCE:
            return False
        # The silence before the very first answer has its end shortly after
        # the first questions were sent.
        return all(
            end - max(begin, sent) <= _SILENCE for begin, end in self._silences
        )

    def hold(self, result: PingResult) -> None:
        """Keep a result that is not proven, one for each guest."""
        self._held[result.instance_id] = result

    def held(self) -> list[str]:
        """Return whose results are kept, in the order in which they came."""
        return list(self._held)

    def settle(self, instance_id: str) -> PingResult | None:
        """Return the kept result of a guest, if any; keep it no longer."""
        return self._held.pop(instance_id, None)

    def release(self) -> list[PingResult]:
        """Return what is still kept, as Trove said it."""
        held, self._held = self._held, {}
        return list(held.values())

    def doubt(self) -> list[PingResult]:
        """Return what is still kept, as unknown."""
        return [doubtful(result) for result in self.release()]


def doubtful(result: PingResult) -> PingResult:
    """Return the result of a guest of which Trove's word is not believed."""
    judgement = Judgement(Verdict.UNKNOWN, Reason.TIMEOUT, _DOUBT)
    return dataclasses.replace(result, judgement=judgement)
