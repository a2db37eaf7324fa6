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

"""Controls: further pings of guests that answered.

They show whether pings get through while other guests keep Trove waiting.
Each goes by a new connection, so that together they reach all workers of
trove-api. A control is never a result.
"""

from __future__ import annotations

import collections
from collections.abc import Hashable
import math

from troveclient_rpcping.sweep.evidence import CONTROL

# The most guests that take turns, and the most controls under way at once.
_GUESTS = 32
_IN_FLIGHT = 3

# A control may be lost after this many seconds and usual round trips.
_OVERDUE = 1.0
_OVERDUE_ROUND_TRIPS = 4

# Two controls side by side show whether two workers are free.
_PAIR = 2


class Controls:
    """Decides when a control goes out, and which guest it pings."""

    def __init__(self) -> None:
        self._guests: collections.deque[str] = collections.deque(
            maxlen=_GUESTS
        )
        # The guests that missed their last turn.
        self._missed: set[str] = set()
        # Controls under way, and when each was sent.
        self._flight: dict[Hashable, float] = {}
        self._sent = self._free = -math.inf
        # Controls of a pair that are to be sent, and that are under way.
        self._unpaired = 0
        self._pair: set[Hashable] = set()
        self._rtts: list[float] = []

    def __len__(self) -> int:
        return len(self._guests)

    def add(self, instance_id: str) -> None:
        """Add a guest that answered quickly."""
        if instance_id not in self._guests:
            self._guests.append(instance_id)

    def heard(self, instance_id: str, *, answered: bool) -> None:
        """Record whether a guest answered as a control.

        A guest that misses two in a row may be dead: it takes no more turns.
        The last one goes on: it shows when the message bus works again.
        """
        if answered:
            self._missed.discard(instance_id)
        elif instance_id not in self._missed:
            self._missed.add(instance_id)
        elif instance_id in self._guests and len(self._guests) > 1:
            self._guests.remove(instance_id)

    def turn(self) -> str:
        """Return the guest whose turn it is."""
        self._guests.rotate()
        return self._guests[0]

    def is_due(self, now: float, last: float, spacing: float) -> bool:
        """Whether it is time for a control, so that agents keep answering.

        :param last: when an agent answered last.
        :param spacing: seconds between two requests under the rate limit.
            Every other request remains for the guests.
        """
        pause = max(CONTROL, 2 * spacing)
        return (
            bool(self._guests)
            and len(self._flight) < _IN_FLIGHT
            and now >= max(last, self._sent) + pause
        )

    def is_free(self, now: float) -> bool:
        """Whether one more control would do no harm.

        Further controls go out one at a time, with pauses, so that they take
        two thirds of the time of one worker.
        """
        return bool(self._guests) and not self._flight and now >= self._free

    def wakes(self) -> float:
        """Return when :meth:`is_free` may be true again."""
        return self._free if not self._flight else math.inf

    def begin_pair(self) -> None:
        """Send two controls side by side."""
        self._unpaired = _PAIR
        self._pair.clear()
        self._rtts.clear()

    @property
    def has_pair(self) -> bool:
        """Whether a pair is under way, or about to be sent."""
        return bool(self._unpaired or self._pair)

    def give_up_pair(self, now: float, usual: float) -> bool:
        """Stop waiting for a pair if one of its controls may be lost.

        :param usual: the usual round-trip time in seconds.
        :returns: whether there was such a pair.
        """
        late = self._late(usual)
        if not any(now - self._flight[each] > late for each in self._pair):
            return False
        self._unpaired = 0
        self._pair.clear()
        return True

    @property
    def is_unpaired(self) -> bool:
        """Whether a control of the pair is still to be sent."""
        return self._unpaired > 0

    def sent(self, control: Hashable, now: float) -> None:
        """Record that a control was sent."""
        self._flight[control] = self._sent = now
        if self._unpaired:
            self._unpaired -= 1
            self._pair.add(control)

    def ended(
        self, control: Hashable, now: float, rtt: float | None, pause: float
    ) -> tuple[float, ...] | None:
        """Record the end of a control.

        :param rtt: its round-trip time; None if no agent answered.
        :param pause: seconds until the next one may follow.
        :returns: the round-trip times of the pair that it completes, of those
            that were answered; None if it completes none.
        """
        self._flight.pop(control, None)
        self._free = now + pause
        if control not in self._pair:
            return None
        self._pair.discard(control)
        if rtt is not None:
            self._rtts.append(rtt)
        return None if self.has_pair else tuple(self._rtts)

    def overdue(self, now: float, usual: float) -> int:
        """Return how many controls under way may be lost.

        :param usual: the usual round-trip time in seconds.
        """
        late = self._late(usual)
        return sum(now - sent > late for sent in self._flight.values())

    def _late(self, usual: float) -> float:
        return max(_OVERDUE, _OVERDUE_ROUND_TRIPS * usual)
