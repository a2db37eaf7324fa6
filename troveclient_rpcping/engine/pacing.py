# SPDX-License-Identifier: Apache-2.0

"""The gate of a sweep: it says how fast the sweep may send.

Trove's rate limit allows each project 200 GETs a minute. It is a leaky bucket:
the first 200 requests pass at once, and then one every 0.3 s
(trove/common/limits.py). Each API process has a bucket of its own. A refused
request costs nothing. So the gate sends a few more requests than the limit
allows. From the share of refusals it learns the budget of all API processes
together.
"""

from __future__ import annotations

from collections.abc import Callable
import math
import re

from troveclient_rpcping import limits
from troveclient_rpcping import reply as replies

# The growth of the rate with each request that is admitted, and its shrinking
# with each that is refused. In balance, the share of refusals is the growth
# divided by the shrinking: 2.4 %.
_GROWTH = 0.006
_SHRINKING = 0.25
_REFUSED = _GROWTH / _SHRINKING

# The kernel does not spread connections evenly over API processes. To use the
# whole budget, the busiest process must refuse more requests. So with several
# processes the rate grows faster while refusals are few. A refusal lowers the
# rate less, unless the rate is far beyond the budget of the known processes.
_GROWTH_OF_SEVERAL = 0.015
_GROWTH_IF_REFUSED = 0.004
_SHRINKING_OF_SEVERAL = 0.07
_FAR_BEYOND = 1.5
_FEW = 0.08

# The rate does not fall below this share of the budget, because it would take
# very long to grow again. With several processes the share is larger while
# refusals are few.
_LEAST = 0.5
_LEAST_OF_SEVERAL = 0.95

# The growth after the first refusal. The refusal names the budget of one API
# process, and others may have their whole budget left.
_FIRST_SEARCH = 0.05

# The growth after many requests without a refusal. The budget must be larger
# than the gate thinks: other API processes have budget left.
_MANY_IN_A_ROW = 50
_SEARCH = 0.015

# The longest delay, in seconds, that the gate makes up for by sending faster.
# It makes up for none if the user gave the rate, because that is a maximum.
_LAG = 1.0

# The assumed rate of a server that refuses the first requests and names no
# limit, in requests a second.
_UNNAMED = 1.0

# The longest pause, in seconds, even if a server asks for a longer one.
_LONGEST_PAUSE = 120.0

#: If the server admits no request for this number of seconds, it never will:
#: Trove's limits are by the minute.
STARVED = 150.0

_PERIODS = {'second': 1, 'minute': 60, 'hour': 3600, 'day': 86400}


class Gate:
    """Says when the next request may be sent.

    Times are seconds on one monotonic clock, which the caller reads.

    :param rate: requests a second at the most; None for no limit but the
        server's.
    :param on_throttle: the gate calls it after each refusal.
    """

    def __init__(
        self,
        rate: float | None = None,
        on_throttle: Callable[[limits.Throttle], None] | None = None,
    ):
        self._on_throttle = on_throttle
        self._maximum = math.inf if rate is None else rate
        self._rate = rate
        self._lag = _LAG if rate is None else 0.0
        # The limit of one API process, as its refusal names it: requests a
        # second, and requests at once after a pause.
        self._process_rate = 0.0
        self._process_burst = 0.0
        # The least number of API processes.
        self._processes = 1
        self._began = math.inf
        self._admitted = 0
        self._refusals = 0
        self._next = 0.0
        self._closed_until = 0.0
        # How many times the rate was lowered. If a request was sent before the
        # last time, its refusal says nothing about the rate of now.
        self._generation = 0
        # How many requests were admitted since the last refusal.
        self._in_a_row = 0
        # Whether requests wait for the gate.
        self._saturated = False
        # Since when every request was refused, and for how long by now.
        self._refused_since: float | None = None
        self._refused_for = 0.0
        self.throttled = False

    @property
    def rate(self) -> float | None:
        """Requests a second that pass; None while that is not known."""
        if self._rate is None or not self.throttled:
            return self._rate
        return self._rate * (1 - _REFUSED)

    def pause(self, now: float) -> float:
        """Return the seconds until the next request may be sent; 0 for now."""
        return max(0.0, max(self._closed_until, self._next) - now)

    @property
    def starved(self) -> bool:
        """Whether the server has refused everything for too long."""
        return self._refused_for > STARVED

    def sent(self, now: float) -> int:
        """Record that a request is sent; return the generation of its rate."""
        self._began = min(self._began, now)
        if self._rate is not None:
            idle = now - max(self._next, self._closed_until)
            if idle > _LAG:
                self._saturated = False
            elif idle * self._rate <= 1.0:
                # The gate has made up for its delays.
                self._saturated = True
            due = max(self._next, now - self._lag)
            self._next = due + 1 / self._rate
        return self._generation

    def admitted(self, generation: int) -> None:
        """Record that the rate limit admitted a request."""
        self._refused_since, self._refused_for = None, 0.0
        self._admitted += 1
        if self._rate is None or not self.throttled:
            return
        # Requests below the rate say nothing about the budget, and those of
        # another rate say nothing about this one.
        if self._saturated and generation == self._generation:
            self._in_a_row += 1
            rate = self._rate * (1 + self._growth())
            self._rate = min(rate, self._maximum)

    def _growth(self) -> float:
        if self._generation == 1:
            return _FIRST_SEARCH
        if self._processes > 1:
            few = self._few_refused()
            return _GROWTH_OF_SEVERAL if few else _GROWTH_IF_REFUSED
        return _SEARCH if self._in_a_row > _MANY_IN_A_ROW else _GROWTH

    def refused(
        self, now: float, generation: int, reply: replies.Reply
    ) -> float:
        """Record that the rate limit refused a request.

        :param now: when the refusal arrived.
        :param generation: the result of :meth:`sent` for the request.
        :returns: seconds until that request may be sent again.
        """
        pause = min(reply.retry_after or 1.0, _LONGEST_PAUSE)
        # Trove rounds the pause up to whole seconds, so the real pause may be
        # up to a second shorter.
        if pause > 1.0:
            self._closed_until = max(self._closed_until, now + pause - 1.0)
        if self._refused_since is None:
            self._refused_since = now
        self._refused_for = now - self._refused_since
        self._refusals += 1
        if generation == self._generation:
            self._slow_down(now, reply)
        if self._on_throttle is not None and self.rate is not None:
            self._on_throttle(limits.Throttle(self.rate, self.pause(now)))
        return pause

    def _slow_down(self, now: float, reply: replies.Reply) -> None:
        seconds = max(now - self._began, 0.001)
        if self.throttled and self._rate is not None:
            self._count_processes(seconds)
            several = self._processes > 1
            budget = self._processes * self._process_rate
            near = several and self._rate <= _FAR_BEYOND * budget
            few = several and self._few_refused()
            shrinking = _SHRINKING_OF_SEVERAL if near else _SHRINKING
            least = _LEAST_OF_SEVERAL if few else _LEAST
            self._rate = max(self._rate * (1 - shrinking), budget * least)
        else:
            # The refusal names the budget of one API process, and there may be
            # several. If it names none, the gate starts at half the observed
            # rate.
            rate, self._process_burst = _named_budget(reply) or (
                max(self._admitted / seconds / 2, _UNNAMED),
                math.inf,
            )
            self._process_rate = rate
            self._count_processes(seconds)
            rate *= self._processes / (1 - _REFUSED)
            self._rate = min(rate, self._rate or rate)
            self.throttled = True
        self._next = now + 1 / self._rate
        self._generation += 1
        self._in_a_row = 0

    def _few_refused(self) -> bool:
        return self._refusals < _FEW * self._admitted

    def _count_processes(self, seconds: float) -> None:
        """Count the API processes by the requests that were admitted.

        Each process admits its burst, and then its rate. The count allows for
        a tenth more, because clocks differ.
        """
        most = self._process_burst + self._process_rate * seconds
        processes = math.ceil(self._admitted / most - 0.1)
        self._processes = max(self._processes, processes)


_LIMIT = re.compile(
    r'Only (\d{1,9}) GET request\(s\) can be made to \* every '
    rf'({"|".join(_PERIODS)})\.'
)


def _named_budget(reply: replies.Reply) -> tuple[float, float] | None:
    """Return the limit that Trove names: requests a second, and at once."""
    # The text is that of trove/common/limits.py, Limit.error_message. In the
    # body it is the "details" (trove/common/wsgi.py, OverLimitFault).
    match = _LIMIT.search(reply.body.decode('utf-8', 'replace'))
    if match is None or match[1].strip('0') == '':
        return None
    rate = int(match[1]) / _PERIODS[match[2]]
    return max(rate, 1 / _LONGEST_PAUSE), float(match[1])
