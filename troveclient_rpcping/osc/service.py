# SPDX-License-Identifier: Apache-2.0

"""The monitor as a service: its reports to systemd, and its early end.

A report is one datagram: sd_notify(3). Of the libraries for it, sdnotify has
had no release since 2017 and knows no watchdog, and systemd-python needs a C
compiler.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import os
import socket

from troveclient_rpcping import plaintext
from troveclient_rpcping.cli import login_failure

# Seconds for systemd to take a report.
_TIMEOUT = 5.0

# Keystone must refuse the credentials in this many sweeps in a row. One
# refusal may come from a Keystone that is being restarted or upgraded.
_REFUSALS = 3

# The watchdog lets a sweep take this many times as long as the longest sweep
# so far.
_MARGIN = 3


class Service:
    """Reports each sweep to systemd, and sees when a monitor is locked out.

    :param interval: seconds from the start of one sweep to the next.
    :param environment: the variables by which systemd says where to report.
    """

    def __init__(
        self, interval: float, environment: Mapping[str, str] = os.environ
    ):
        self._interval = interval
        address = environment.get('NOTIFY_SOCKET', '')
        # "@" stands for the null byte of an abstract address.
        self._address = address.replace('@', '\0', 1)
        mine = environment.get('WATCHDOG_PID') in (None, str(os.getpid()))
        text = environment.get('WATCHDOG_USEC', '')
        #: Seconds without a ``WATCHDOG=1`` after which systemd ends the
        #: process; 0 if it does not watch.
        self.watchdog = int(text) / 1e6 if mine and text.isdecimal() else 0.0
        self._refusals = 0

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """Report the begin and the end of the block."""
        self.notify(STATUS='The first sweep is under way')
        try:
            yield
        finally:
            self.notify(STOPPING=1)

    def swept(self, status: str, seconds: float) -> None:
        """Record a sweep that brought results."""
        self._refusals = 0
        needed = self._interval + _MARGIN * seconds
        if 0 < self.watchdog < needed:
            self.watchdog = needed
            self.notify(WATCHDOG_USEC=round(needed * 1e6))
        self._report(status)

    def failed(self, why: str, error: Exception) -> bool:
        """Record a sweep that brought no result.

        The monitor goes on while Keystone is down, because Keystone will come
        back. Refused credentials stay refused until a person renews them.

        :returns: whether the monitor must end: Keystone refused the
            credentials in several sweeps in a row.
        """
        self._report(f'No sweep: {why}')
        refused = login_failure.is_refusal(error)
        self._refusals = self._refusals + 1 if refused else 0
        return self._refusals == _REFUSALS

    def notify(self, **variables: str | int) -> None:
        """Report to systemd; without systemd, do nothing.

        :param variables: as in sd_notify(3), with values of one line.
        """
        if not self._address:
            return
        text = '\n'.join(f'{key}={value}' for key, value in variables.items())
        with (
            # A report that is lost must not end the service.
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            sender.settimeout(_TIMEOUT)
            sender.sendto(text.encode(), self._address)

    def _report(self, status: str) -> None:
        # The service is ready after its first sweep. systemd ignores each
        # further READY=1.
        self.notify(READY=1, WATCHDOG=1, STATUS=plaintext.one_line(status))
