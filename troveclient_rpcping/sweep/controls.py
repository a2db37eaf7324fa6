# SPDX-License-Identifier: Apache-2.0

"""Controls: further pings of guests that answered.

They show whether pings get through while other guests keep Trove waiting.
Each goes by a new connection, so that together they reach all workers of
trove-api. A control is never a result.
"""

from __future__ import annotations

import collections
import math

from troveclient_rpcping import reply as replies
from troveclient_rpcping.sweep import capacity as capacities
from troveclient_rpcping.sweep import evidence as sweep_evidence

# The most guests that take turns, and the most controls under way at once.
_GUESTS = 32
_IN_FLIGHT = 3

# A control may be lost after this many seconds and usual round trips.
_OVERDUE = 1.0
_OVERDUE_ROUND_TRIPS = 4

# Seconds until the next control may follow one that was lost or failed.
# Otherwise it is half of the round-trip time.
_PAUSE = 0.5


class Controls:
    """Decides when a control goes out, and which guest it pings.

    The first guest that answers is added before the first control is due. Two
    controls side by side, a pair, show whether two workers are free.

    :param capacity: learns from each pair.
    """

    def __init__(self, capacity: capacities.Capacity):
        self._capacity = capacity
        self._guests: collections.deque[str] = collections.deque(
            maxlen=_GUESTS
        )
        # The guests that missed their last turn.
        self._missed: set[str] = set()
        # Controls under way, and when each was sent.
        self._flight: dict[replies.Question, float] = {}
        self._sent = self._free = -math.inf
        #: Seconds between the last control that ended and the next one.
        self.pause = 0.0
        # Controls of a pair that are not sent yet, and those under way.
        self.unpaired = 0
        self._pair: set[replies.Question] = set()
        self._rtts: list[float] = []

    def __len__(self) -> int:
        return len(self._guests)

    def add(self, instance_id: str) -> None:
        """Add a guest that answered quickly."""
        if instance_id not in self._guests:
            self._guests.append(instance_id)

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
        pause = max(sweep_evidence.CONTROL, 2 * spacing)
        return (
            len(self._flight) < _IN_FLIGHT
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

    def begin_pair(self, now: float) -> bool:
        """Prepare a pair if it helps: see ``Capacity.wants_pair``."""
        # If a worker of Trove 26 looks up one guest twice at a time, it may
        # answer 500 to a later ping of another guest.
        if (
            self._has_pair
            or len(self._guests) < 2
            or not self._capacity.wants_pair(now)
        ):
            return False
        self._capacity.pair_sent(now)
        self.unpaired = 2
        self._rtts.clear()
        return True

    def sent(self, control: replies.Question, now: float) -> None:
        """Record that a control was sent."""
        self._flight[control] = self._sent = now
        if self.unpaired:
            self.unpaired -= 1
            self._pair.add(control)

    def answered(
        self,
        control: replies.Question,
        now: float,
        rtt: float | None,
        *,
        useless: bool = False,
    ) -> None:
        """Record the end of a control.

        A guest that misses two in a row may be dead: it takes no more turns.
        The last guest goes on: it shows when the message bus works again.

        :param rtt: its round-trip time; None if no agent answered.
        :param useless: whether the guest cannot answer, though the bus works.
        """
        id_ = control.instance_id
        if rtt is not None:
            self._missed.discard(id_)
        elif id_ not in self._missed:
            self._missed.add(id_)
        elif id_ in self._guests and (useless or len(self._guests) > 1):
            self._guests.remove(id_)
        self.ended(control, now, rtt, rtt / 2 if rtt else _PAUSE)

    def ended(
        self,
        control: replies.Question,
        now: float,
        rtt: float | None,
        pause: float,
    ) -> None:
        """Record the end of a control; see :meth:`answered`.

        :param pause: seconds until the next one may follow.
        """
        del self._flight[control]
        self._free, self.pause = now + pause, pause
        if control not in self._pair:
            return
        self._pair.discard(control)
        if rtt is not None:
            self._rtts.append(rtt)
        if not self._has_pair:
            self._capacity.pair_ended(now, tuple(self._rtts))

    def overdue(self, now: float) -> int:
        """Return how many controls under way may be lost.

        A pair with such a control brings nothing.
        """
        usual = self._capacity.usual or 0.0
        late = max(_OVERDUE, _OVERDUE_ROUND_TRIPS * usual)
        lost = {
            each for each in self._flight if now - self._flight[each] > late
        }
        if lost & self._pair:
            self.unpaired = 0
            self._pair.clear()
            self._capacity.pair_ended(now, ())
        return len(lost)

    @property
    def _has_pair(self) -> bool:
        return bool(self.unpaired or self._pair)
