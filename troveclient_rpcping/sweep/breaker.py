# SPDX-License-Identifier: Apache-2.0

"""When to end a sweep early: the control plane fails, not the guests."""

from __future__ import annotations

from troveclient_rpcping import verdict as verdicts

# Reasons that say nothing of a guest: the control plane fails.
_FAILURES = {*verdicts.CONTROL_PLANE} - {
    verdicts.Reason.RATE_LIMITED,
    verdicts.Reason.NOT_ASKED,
}

# This many failures in a row, beyond the pings that were in flight together,
# end the sweep.
_PATTERN = 16

# The fewest timeouts in a row that end it.
_TIMEOUTS = 8

# Trove answers for a dead guest after 15 s (agent_call_low_timeout). If no
# answer comes for longer than this, in seconds, the API itself is silent.
_LONGER_THAN_TROVE = 20.0


class Breaker:
    """Watches the results of a sweep, in the order in which they come.

    :param timeout: seconds for each ping.
    """

    def __init__(self, timeout: float):
        self._is_long = timeout > _LONGER_THAN_TROVE
        self._in_a_row = 0
        self._timeouts_in_a_row = 0

    def heard(self) -> None:
        """Record that an agent answered a ping of any kind."""
        self._in_a_row = self._timeouts_in_a_row = 0

    def saw(self, result: verdicts.PingResult, peak: int) -> str | None:
        """Record one more result.

        :param peak: the most pings that were in flight together. When a
            server dies, all of them fail at once. That alone may be a
            restart: some more must fail after it.
        :returns: why the sweep must end; None to go on.
        """
        if result.reason not in _FAILURES:
            self.heard()
            return None
        self._in_a_row += 1
        self._timeouts_in_a_row += 1
        if result.reason is not verdicts.Reason.TIMEOUT:
            self._timeouts_in_a_row = 0
        # After a long timeout of silence no more proof is needed.
        enough = max(_TIMEOUTS, min(peak, _PATTERN))
        if self._in_a_row >= peak + _PATTERN or (
            self._is_long and self._timeouts_in_a_row >= enough
        ):
            count = self._in_a_row
            return f'The {count} pings before it all failed: {result.detail}'
        return None
