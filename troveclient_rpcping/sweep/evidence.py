# SPDX-License-Identifier: Apache-2.0

"""What a timeout is worth: whether a guest may be called dead.

Trove says the same of a dead guest, of a broken message bus, and of one worker
of trove-api that lost its own connection to the bus: its call timed out. So a
timeout counts only if agents answered all the while. And a guest that times
out first and answers later shows that a ping was lost on the way. The more
pings get lost, the more timeouts in a row prove a death. The page "Verdicts"
explains the rules.

A worker that serves one request at a time and lost the bus is out of reach
while a lost ping holds it. What answers meanwhile went through other workers,
and proves nothing about this one. So an answer counts for the verdict on a
silent guest only if it came while no request waited that timed out later. A
request that is still under way may be such a request.
"""

from __future__ import annotations

import bisect
import functools
import math

#: Seconds after the last answer of an agent when a control is due.
CONTROL = 1.0

#: A live guest may be called dead in fewer than this share of all sweeps,
#: whatever share of the pings gets lost.
RISK = 0.001

#: The same if a larger share of the pings than _FEW_LOST gets lost. A worker
#: may have lost the bus then, and many live guests time out.
RISK_WITH_LOSSES = 0.00001
_FEW_LOST = 0.01

#: The most pings of one guest that times out.
MOST_TIMEOUTS = 5

# Only a guest that --wait waits for has this many timeouts in a row.
_MANY_TIMEOUTS = 10

#: No row of timeouts proves anything before this number of answers. One worker
#: of five that is cut off hides from 50 pings once in 70,000 times.
ENOUGH = 50

# The most controls that are reasonable for one verdict.
_MOST_CONTROLS = 400

# This many lost pings show the share of lost pings.
_LOST = 3

# Seconds without an answer of any agent that leave doubt about the bus. With
# a control every second, no silence is so long while the bus works. A RabbitMQ
# node takes longer to restart, and loses the calls that it had in hand.
_SILENCE = 2.5

# A rate limit makes answers rarer: then this many of them may be missing.
_MISSED = 3

# In fewer than this share of all sweeps, a live guest has a stale heartbeat
# though the heartbeats of the others are fresh. An agent sends one every 30 s,
# and three in a row must be missing.
_STALE_BUT_ALIVE = 0.05


class Evidence:
    """What one sweep has seen of the message bus.

    Times are seconds on one monotonic clock, which the caller reads.
    """

    def __init__(self) -> None:
        #: Pings that an agent answered.
        self.answered = 0
        #: Pings that timed out though their guest answers.
        self.lost = 0
        #: Controls under way that take so long that they may be lost.
        self.overdue = 0
        #: When the oldest request under way was sent; infinite for none.
        self.waits_since = math.inf
        #: When an agent answered last; None if none has yet.
        self.last: float | None = None
        #: Seconds between two pings under the rate limit; 0 without one.
        self.spacing = 0.0
        self._live = {False: 0, True: 0}
        self._silences: list[tuple[float, float]] = []
        # The times of the answers that count, in order.
        self._counted: list[float] = []

    def answer(self, now: float, *, new: bool, stale: bool) -> None:
        """Record that an agent answered a ping.

        :param now: when the answer arrived.
        :param new: whether its guest had not answered before in this sweep.
        :param stale: whether the heartbeat of that guest is stale.
        """
        self.answered += 1
        self._counted.append(now)
        self._live[stale] += new
        before = -math.inf if self.last is None else self.last
        if now - before > _SILENCE:
            self._silences.append((before, now))
        self.last = now

    def timeout(self, sent: float) -> None:
        """Record a ping that timed out, and may have held a worker."""
        del self._counted[bisect.bisect_right(self._counted, sent) :]

    def lose(self, pings: int = 1) -> None:
        """Record pings that timed out though their guest answers."""
        self.lost += pings

    def silent_for(self, now: float) -> float:
        """Return the seconds since an agent answered; infinite if none did."""
        return math.inf if self.last is None else now - self.last

    def steady(self, sent: float, now: float, *, stale: bool = False) -> bool:
        """Whether agents answered all the while from *sent* until *now*.

        :param stale: whether the heartbeat of the guest that was waited for
            is stale. Then half of the wait may pass before the first answer
            of all: the listing has to be read before a witness can answer.
        """
        # Never so long that no agent had to answer during the wait.
        half = max(_SILENCE, (now - sent) / 2)
        silence = min(max(_SILENCE, _MISSED * self.spacing), half)
        if self.last is None or now - self.last > silence:
            return False
        first = half if stale else silence
        return all(
            end - max(begin, sent)
            <= (first if begin == -math.inf else silence)
            for begin, end in self._silences
        )

    def proves(self, timeouts: int, *, stale: bool) -> bool:
        """Whether this number of timeouts in a row proves a death.

        :param timeouts: how many, while agents answered all the while.
        :param stale: whether its heartbeat is stale.
        """
        if timeouts < (1 if stale else 2):
            return False
        return self.missing(timeouts, stale=stale) == 0

    def missing(self, timeouts: int, *, stale: bool) -> int | None:
        """Return how many more answered pings that many timeouts need.

        :returns: None for more than is reasonable.
        """
        # No worker hides behind a long row of timeouts.
        many = timeouts >= _MANY_TIMEOUTS
        counted = self.answered if many else self._undisturbed
        return _missing(counted, self._missed, timeouts, self._alike(stale))

    def wants_controls(self, timeouts: int, *, stale: bool) -> bool:
        """Whether controls should come before the next ping of a guest.

        :param timeouts: how many that guest will have then, if it is dead.
        """
        if self.overdue:
            # It may hide a worker, and will be answered or lost soon.
            return True
        if self.lost:
            # Further timeouts tell more than controls that get lost, too.
            return self.lost < _LOST and self._undisturbed < ENOUGH
        return bool(self.missing(timeouts, stale=stale))

    @property
    def hopeless(self) -> bool:
        """Whether too many pings get lost for timeouts to prove anything."""
        if self.lost < _LOST:
            return False
        share = self.lost / (self.answered + self.lost)
        return self._alike(stale=False) * share**MOST_TIMEOUTS >= RISK

    @property
    def _undisturbed(self) -> int:
        return bisect.bisect_right(self._counted, self.waits_since)

    @property
    def _missed(self) -> int:
        return self.lost + self.overdue

    def _alike(self, stale: bool) -> float:
        """How many live guests there are with such a heartbeat."""
        if stale:
            return max(_STALE_BUT_ALIVE, self._live[True])
        return max(1, self._live[False])


@functools.lru_cache(maxsize=4096)
def _missing(
    answered: int, lost: int, timeouts: int, alike: float
) -> int | None:
    """Return how many more answered pings are needed; None for too many.

    :param alike: how many live guests could be taken for the dead one.
    """
    least = max(0, ENOUGH - answered)

    def suffices(more: int) -> bool:
        pings = answered + lost + more
        risk = RISK_WITH_LOSSES if lost > _FEW_LOST * pings else RISK
        return alike * _chance(pings, lost, timeouts) < risk

    # The chance falls with each further ping.
    if not suffices(_MOST_CONTROLS):
        return None
    return bisect.bisect_left(
        range(_MOST_CONTROLS), True, lo=least, key=suffices
    )


@functools.lru_cache(maxsize=1 << 15)
def _chance(pings: int, lost: int, timeouts: int) -> float:
    """Return how likely bad luck is, at the worst.

    It is the largest probability, over all shares of pings that get lost,
    that a live guest loses *timeouts* pings in a row while no more than
    *lost* of the *pings* are seen to get lost.
    """
    if lost >= pings:
        return 1.0
    # The logarithm of that probability has one maximum between these two. It
    # is flat there: to come near is enough.
    low, high = lost / pings, 1.0
    for _ in range(20):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        at_left = _luck(left, pings, lost, timeouts)
        if at_left < _luck(right, pings, lost, timeouts):
            low = left
        else:
            high = right
    return math.exp(_luck(low, pings, lost, timeouts))


def _luck(share: float, pings: int, lost: int, timeouts: int) -> float:
    """The logarithm of a probability; see :func:`_chance`."""
    if not 0.0 < share < 1.0:
        return -math.inf
    # No more than *lost* of *pings*: the sum of a binomial distribution.
    term = pings * math.log1p(-share)
    odds = math.log(share) - math.log1p(-share)
    terms = [term]
    for number in range(lost):
        term += math.log(pings - number) - math.log(number + 1) + odds
        terms.append(term)
    most = max(terms)
    tail = most + math.log(sum(math.exp(each - most) for each in terms))
    return timeouts * math.log(share) + min(0.0, tail)
