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

"""The protocol by which a service reports to systemd: sd_notify(3).

It is one datagram for each report. Of the libraries for it, sdnotify has had
no release since 2017 and knows no watchdog, and systemd-python needs a C
compiler. They would save ten lines.
"""

from __future__ import annotations

from collections.abc import Mapping
import contextlib
import os
import socket

# Seconds for systemd to take a report.
_TIMEOUT = 5.0


class Manager:
    """The service manager that started this process, if one did.

    :param environment: the variables of the process.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ):
        # "@" stands for the null byte of an abstract address.
        self._address = environment.get('NOTIFY_SOCKET', '').replace(
            '@', '\0', 1
        )
        #: Seconds without a ``WATCHDOG=1`` after which systemd ends the
        #: process; None if it does not watch.
        self.watchdog = _watchdog(environment)

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


def _watchdog(environment: Mapping[str, str]) -> float | None:
    mine = environment.get('WATCHDOG_PID') in (None, str(os.getpid()))
    microseconds = environment.get('WATCHDOG_USEC', '')
    if not mine or not microseconds.isdecimal():
        return None
    return int(microseconds) / 1e6 or None
