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

"""When to stop asking: nothing answers any more, and it is not the guests."""

from __future__ import annotations

from troveclient_rpcping.verdict import CONTROL_PLANE
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason

# What says nothing of any guest, but that the control plane fails.
_FAILURES = {*CONTROL_PLANE} - {Reason.RATE_LIMITED, Reason.NOT_ASKED}

# Failures in a row, beyond those that were in flight together, that make a
# pattern.
_PATTERN = 16

# Trove answers for a dead guest after 15 s (agent_call_low_timeout). Who
# waits for longer than this, in seconds, and hears nothing, did not hear from
# Trove: a dead guest is no timeout, and a streak of them is none either.
_LONGER_THAN_TROVE = 20.0


class Breaker:
    """Watches the results of a sweep, in the order in which they come.

    :param concurrency: pings in flight at once.
    :param timeout: seconds for each ping.
    """

    def __init__(self, concurrency: int, timeout: float):
        # When a server dies, all that is in flight fails at once. That alone
        # may be a restart: it takes some more that fail after it.
        self._failures = concurrency + _PATTERN
        # Those in flight together time out together, and after a whole
        # timeout of silence no more proof is needed.
        self._timeouts = (
            min(concurrency, _PATTERN)
            if timeout > _LONGER_THAN_TROVE
            else self._failures
        )
        self._in_a_row = 0
        self._timeouts_in_a_row = 0

    def saw(self, result: PingResult) -> str | None:
        """Take one more result in.

        :returns: why it makes no sense to go on; None if it does.
        """
        if result.reason not in _FAILURES:
            self._in_a_row = self._timeouts_in_a_row = 0
            return None
        self._in_a_row += 1
        if result.reason is Reason.TIMEOUT:
            self._timeouts_in_a_row += 1
        else:
            self._timeouts_in_a_row = 0
        if (
            self._in_a_row < self._failures
            and self._timeouts_in_a_row < self._timeouts
        ):
            return None
        return (
            f'The {self._in_a_row} pings before it all failed: {result.detail}'
        )
