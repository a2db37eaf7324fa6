# SPDX-License-Identifier: Apache-2.0

"""When a guest is pinged again: a number of times, or until it answers."""

from __future__ import annotations

from troveclient_rpcping import limits
from troveclient_rpcping import verdict as verdicts


class Times:
    """A number of pings for each guest; slow answers do not delay them.

    :param count: the number of pings.
    :param interval: seconds from one ping of a guest to its next. If the
        answer takes longer, the next ping follows it at once.
    :raises ValueError: a parameter is not positive.
    """

    #: Whether to go on while the control plane fails.
    patient = False

    def __init__(self, count: int, interval: float):
        self._count = limits.positive('count', count)
        #: Whether a guest may have more than one result.
        self.repeats = count > 1
        self._interval = limits.positive('interval', interval)
        # When each guest was pinged first, and how often since.
        self._begun: dict[str, tuple[float, int]] = {}

    def due(
        self, result: verdicts.PingResult, sent: float, now: float
    ) -> float | None:
        """Record the result of one ping.

        :param sent: when the ping was sent, in seconds on any clock.
        :param now: the time on that clock.
        :returns: when to ping the guest again; None for never.
        """
        guest = result.instance_id
        first, times = self._begun.get(guest, (sent, 0))
        times += 1
        if times >= self._count:
            self._begun.pop(guest, None)
            return None
        self._begun[guest] = first, times
        return max(now, first + times * self._interval)


class UntilReachable:
    """Pings until the guest was reachable a number of times in a row.

    A guest that Trove does not know is pinged once.

    :param stable: the number of times.
    :param interval: seconds from one ping of a guest to its next. If the
        answer takes longer, the next ping follows it at once.
    :raises ValueError: a parameter is not positive.
    """

    patient = repeats = True

    def __init__(self, stable: int, interval: float):
        self._stable = limits.positive('stable', stable)
        self._interval = limits.positive('interval', interval)
        self._in_a_row: dict[str, int] = {}

    def due(
        self, result: verdicts.PingResult, sent: float, now: float
    ) -> float | None:
        """See :meth:`Times.due`."""
        guest = result.instance_id
        if result.reason is verdicts.Reason.NOT_FOUND:
            return None
        if result.ok:
            times = self._in_a_row.get(guest, 0) + 1
            if times >= self._stable:
                self._in_a_row.pop(guest, None)
                return None
            self._in_a_row[guest] = times
        else:
            self._in_a_row.pop(guest, None)
        return max(now, sent + self._interval)


Repeat = Times | UntilReachable
