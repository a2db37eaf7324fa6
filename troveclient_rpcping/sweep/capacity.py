# SPDX-License-Identifier: Apache-2.0

"""How many pings may be in flight, so that tenants do not notice the sweep.

Many clouds run trove-api as a few workers that serve one request each at a
time. There the ping of a dead guest holds a worker of the whole API until
Trove gives up, for 5 or 15 seconds. So the sweep learns two numbers: how many
quick pings the API serves side by side without a queue, and how many pings may
be held while it still answers others at once.
"""

from __future__ import annotations

from collections.abc import Hashable
import statistics

# While it measures the usual round-trip time, the sweep keeps this many
# requests in flight. It starts to grow after the first round trips, and
# measures more.
_CALM = 2
_FIRST = 4
_CALM_ROUND_TRIPS = 16

# In a quick window, requests wait for others for at most half of a usual round
# trip. Where round trips are short, the wait may be about two round trips, but
# not more than _WAIT seconds.
_QUICK = 1.5
_SHORT = 3.2
_WAIT = 0.1

# The first round trips may meet workers that just wake up. A window that takes
# less than this share of the usual time sets a new usual time.
_WOKEN = 0.8

# The fewest round trips that make a window.
_WINDOW = 6

# If two controls side by side share one worker, the second takes twice as long
# as the first. If the slower one takes at most _APART times as long, each had
# a worker of its own; unless it took more than _SLOW_PAIR usual round trips:
# then both waited. Workers that share a processor are slow, too.
_APART = 1.5
_SLOW_PAIR = 4.0

# After this many seconds and usual round trips, a ping is held: its guest
# keeps Trove waiting.
_HELD = 0.5
_HELD_ROUND_TRIPS = 4

# This many quick pairs in a row allow one more held ping; after a slow pair,
# which may show that only one worker is left, it takes more.
_LUCK = 2
_MORE_LUCK = 3

# Seconds until the next pair of controls after one, two, ... slow pairs. The
# first slow pair may have met a request of another caller.
_PAUSES = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0)

# A block is forgotten after this many sweeps without another one.
_FORGOTTEN = 20

# After this many seconds without an answer to any request, every worker is
# held: the API is blocked.
_BLOCKED = 2.0

# If agents then answer all requests, and there are more than this many, it was
# a short halt. Fewer may be agents that take seconds.
_HALTED = 8

# Before the first answer of an agent, the sweep begins with few requests in
# flight, and adds one a second up to a limit. If the message bus is dead, each
# of them holds a worker.
_UNANSWERED = 2
_MOST_UNANSWERED = 4

# Seconds that Trove waits for an agent (agent_call_low_timeout), until a sweep
# sees another time.
_TROVE_WAITS = 15.0


class Capacity:
    """The known capacity of the API, and the requests in flight.

    Times are seconds on one monotonic clock, which the caller reads. One
    object may serve one sweep after another: it keeps what it learnt.

    :param most: requests in flight, at the most.
    """

    def __init__(self, most: int):
        self.most = most
        #: The usual round-trip time in seconds; None if it is not known.
        self.usual: float | None = None
        #: Guests that held a worker when they were pinged last.
        self.suspects: set[str] = set()
        self._places = min(_CALM, most)
        self._doubling = True
        self._calm: list[float] = []
        self._window: list[float] = []
        # How many pings may be held at once, and how many blocked the API.
        self._holds = 1
        self._never = most + 1
        self._wary = False
        self._sweeps_since_block = 0
        self._may_forgive = True
        self._luck = self._slow_pairs = 0
        self._trove_waits = _TROVE_WAITS
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """Start a sweep, with what earlier ones learnt."""
        # When each request in flight was sent, the oldest first, and whether
        # it is risky.
        self._flight: dict[Hashable, tuple[float, bool]] = {}
        self._risky = 0
        self._controls: set[Hashable] = set()
        # The times until which requests that were given up hold workers.
        self._abandoned: list[float] = []
        self._answered = False
        # The requests that blocked the API and are still under way, and what
        # was known before.
        self._blocking: set[Hashable] = set()
        self._before = self._never, self._holds, self._wary
        #: The most requests that were in flight together.
        self.peak = 0
        self._began = self._quiet_since = self._next_pair = now
        self._pair_burden = 0
        self._sweeps_since_block += 1
        if self._sweeps_since_block > _FORGOTTEN:
            self._never, self._wary = self.most + 1, False
            self._may_forgive = True
        # The usual time may have changed since: measure it again.
        self._calm.clear()
        self._window.clear()
        # Whether a guest had to wait for a place during this window, and how
        # many answers to pings of the last window will still arrive.
        self._is_full = False
        self._late = 0

    def sent(
        self,
        ping: Hashable,
        now: float,
        *,
        risky: bool = False,
        control: bool = False,
    ) -> None:
        """Record a request.

        :param risky: whether it is likely to be held: its guest was silent
            before, or has a stale heartbeat.
        :param control: whether it takes no place of a guest.
        """
        if not self._flight:
            self._quiet_since = now
        self._flight[ping] = now, risky
        self._risky += risky
        if control:
            self._controls.add(ping)
        self.peak = max(self.peak, len(self._flight))

    def ended(self, ping: Hashable, now: float, rtt: float | None) -> None:
        """Record the end of a request.

        :param rtt: the round-trip time in seconds if an agent answered; None
            for any other end.
        """
        burden, beside = self._burden(now), len(self._flight)
        _, risky = self._flight.pop(ping)
        self._controls.discard(ping)
        self._risky -= risky
        self._quiet_since = now
        self._look_at_block(ping, answered=rtt is not None)
        if rtt is None:
            return
        self._answered = True
        if not burden:
            self._learn(rtt, beside)

    def answered(self, guest: str, rtt: float) -> None:
        """Record that a guest answered: one that is slow holds a worker."""
        if rtt > self._held_after:
            self.suspects.add(guest)
        else:
            self.suspects.discard(guest)

    def timed_out(self, seconds: float) -> None:
        """Record how long Trove waited for an agent that did not answer."""
        self._trove_waits = seconds

    def gave_up(self, sent: float, now: float) -> None:
        """Record that a request was given up before Trove gave its answer.

        Trove goes on waiting for the agent, and its worker is held.
        """
        end = sent + self._trove_waits
        if end > now:
            self._abandoned.append(end)

    def has_room(self, now: float, *, risky: bool) -> bool:
        """Whether one more guest may be pinged now.

        :param risky: as for :meth:`sent`.
        """
        flight = len(self._flight)
        if flight >= self.most:
            self._is_full = True
            return False
        if not self._answered:
            seconds = int(now - self._began)
            return flight < min(_UNANSWERED + seconds, _MOST_UNANSWERED)
        burden = self._burden(now)
        if risky:
            return burden < self._holds
        if burden or self._wary:
            # Each guest may turn out to keep Trove waiting.
            guests = flight - len(self._controls) + len(self._abandoned)
            return max(burden, guests) < self._holds
        if len(self._calm) < _FIRST:
            return flight < min(_CALM, self.most)
        if flight < self._places:
            return True
        self._is_full = True
        return False

    def wants_pair(self, now: float) -> bool:
        """Whether a pair of controls, side by side, would help.

        It helps if guests wait only because the API may not bear more held
        pings, and if no request in flight would delay the pair.
        """
        burden = self._burden(now)
        return (
            bool(self._calm)
            and now >= self._next_pair
            and len(self._flight) + 2 <= self.most
            and self._holds + 1 < self._never
            and burden >= self._holds
            and burden >= len(self._flight) + len(self._abandoned)
        )

    def pair_sent(self, now: float) -> None:
        """Record that a pair of controls is on its way."""
        self._pair_burden = self._burden(now)

    def pair_ended(self, now: float, rtts: tuple[float, ...]) -> None:
        """Record a pair of controls that ran side by side.

        :param rtts: their round-trip times; fewer than two if one was lost.
        """
        if len(rtts) == 2 and self._is_quick(*rtts):
            self._luck += 1
            if self._luck >= (_MORE_LUCK if self._slow_pairs else _LUCK):
                self._luck = self._slow_pairs = 0
                # Beside the held pings, the API served two more at once: one
                # more may be held, and one place remains for others.
                burden = min(self._pair_burden, self._burden(now))
                most = min(self._never - 1, self.most)
                self._holds = max(self._holds, min(burden + 1, most))
            self._next_pair = now
        else:
            self._luck = 0
            pause = _PAUSES[min(self._slow_pairs, len(_PAUSES) - 1)]
            self._slow_pairs += 1
            self._next_pair = now + pause

    def watch(self, now: float) -> None:
        """Look whether every worker is held; call it now and then."""
        if (
            self._answered
            and self._flight
            and now - self._quiet_since > max(_BLOCKED, self._held_after)
        ):
            # This many requests in flight are too many.
            if not self._blocking:
                self._before = self._never, self._holds, self._wary
                self._may_forgive &= len(self._flight) > _HALTED
            self._blocking.update(self._flight)
            self._quiet_since = now
            self._never = max(2, min(self._never, len(self._flight)))
            self._holds = max(1, min(self._holds, len(self._flight) // 2))
            self._wary = True
            self._sweeps_since_block = 0
            self._luck = 0

    def _look_at_block(self, ping: Hashable, *, answered: bool) -> None:
        """Forget a block if it was a short halt, unless it comes again."""
        if ping not in self._blocking:
            return
        self._blocking.discard(ping)
        if not answered:
            self._may_forgive = False
        elif not self._blocking and self._may_forgive:
            self._may_forgive = False
            self._never, self._holds, self._wary = self._before

    @property
    def _held_after(self) -> float:
        return max(_HELD, _HELD_ROUND_TRIPS * (self.usual or 0.0))

    def _is_quick(self, one: float, other: float) -> bool:
        """Whether two controls side by side had a worker each."""
        return max(one, other) < min(
            _APART * min(one, other), _SLOW_PAIR * (self.usual or 0.0)
        )

    def _burden(self, now: float) -> int:
        """How many requests are held, or are likely to be."""
        if self._abandoned:
            self._abandoned = [end for end in self._abandoned if end > now]
        held = self._risky
        for sent, risky in self._flight.values():
            if now - sent <= self._held_after:
                break
            held += not risky
        return held + len(self._abandoned)

    def _learn(self, rtt: float, beside: int) -> None:
        """Learn from the answer to a ping, with *beside* pings in flight."""
        if beside <= _CALM and len(self._calm) < _CALM_ROUND_TRIPS:
            self._calm.append(rtt)
            self.usual = statistics.median(self._calm)
            if len(self._calm) == _FIRST:
                self._places = max(self._places, min(2 * _CALM, self.most))
        if len(self._calm) < _FIRST or self.usual is None:
            return
        if self._late:
            self._late -= 1
            return
        self._window.append(rtt)
        enough = _WINDOW if self._doubling else max(_WINDOW, self._places)
        if len(self._window) < enough:
            return
        if self._is_full:
            self._resize(statistics.median(self._window), self.usual)
        self._is_full = False
        self._window.clear()
        # The next window leaves out the answers to pings of this one.
        self._late = max(self._places, len(self._flight))

    def _resize(self, took: float, usual: float) -> None:
        """Use more or fewer places.

        :param took: the median of the round-trip times in a full window.
        """
        if took < _WOKEN * usual:
            self.usual = usual = took
        quick = max(_QUICK * usual, min(_SHORT * usual, usual + _WAIT))
        if took > quick:
            self._doubling = False
            # By Little's law, the round trips are quick with this number.
            self._places = max(_CALM, round(self._places * quick / took))
        else:
            step = self._places if self._doubling else 1
            self._places = min(self._places + step, self.most)
