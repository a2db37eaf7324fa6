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

"""The monitor as a service: its reports to systemd, and its early end."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from troveclient_rpcping import plaintext
from troveclient_rpcping.cli import login_failure
from troveclient_rpcping.osc import login
from troveclient_rpcping.osc import systemd

# Keystone must refuse the credentials in this many sweeps in a row. One
# refusal may come from a Keystone that is being restarted or upgraded.
_REFUSALS = 3

# The watchdog lets a sweep take this many times as long as the longest sweep
# so far.
_MARGIN = 3


class Service:
    """Reports each sweep to systemd, and ends a monitor that is locked out.

    :param interval: seconds from the start of one sweep to the next.
    :param explained: says why a login failed.
    :param manager: the service manager.
    """

    def __init__(
        self,
        interval: float,
        explained: Callable[[Exception], login.LoginFailed],
        manager: systemd.Manager | None = None,
    ):
        self._interval = interval
        self._explained = explained
        self._manager = manager or systemd.Manager()
        self._refusals = 0

    def __enter__(self) -> Self:
        self._manager.notify(STATUS='The first sweep is under way')
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._manager.notify(STOPPING=1)

    def swept(self, status: str, seconds: float) -> None:
        """Record a sweep that brought results.

        :param status: its summary, in a line.
        :param seconds: how long it took.
        """
        self._refusals = 0
        self._lengthen_watchdog(seconds)
        self._report(status)

    def failed(self, why: str, error: Exception) -> None:
        """Record a sweep that brought no result.

        The monitor goes on while Keystone is down, because Keystone will come
        back. Refused credentials stay refused until a person renews them.

        :param why: the reason, in a line.
        :param error: the error that ended the sweep.
        :raises LoginFailed: Keystone refused the credentials in several
            sweeps in a row.
        """
        self._report(f'No sweep: {why}')
        refused = login_failure.is_refusal(error)
        self._refusals = self._refusals + 1 if refused else 0
        if self._refusals == _REFUSALS:
            raise self._explained(error) from error

    def _report(self, status: str) -> None:
        # The service is ready after its first sweep. systemd ignores each
        # further READY=1.
        self._manager.notify(
            READY=1, WATCHDOG=1, STATUS=plaintext.one_line(status)
        )

    def _lengthen_watchdog(self, seconds: float) -> None:
        needed = self._interval + _MARGIN * seconds
        allowed = self._manager.watchdog
        if allowed is not None and allowed < needed:
            self._manager.watchdog = needed
            self._manager.notify(WATCHDOG_USEC=round(needed * 1e6))
