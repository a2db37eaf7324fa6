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

"""The monitor as a service of systemd, with a real socket as systemd."""

from __future__ import annotations

import os
import pathlib
import select
import socket

import fixtures
from keystoneauth1 import exceptions as ksa_exceptions
import testtools

from troveclient_rpcping.exceptions import ListingFailed
from troveclient_rpcping.exceptions import TargetError
from troveclient_rpcping.osc import service
from troveclient_rpcping.verdict import Reason

MINUTE = 60.0


class Systemd(fixtures.Fixture):
    """The socket on which systemd listens.

    :param address: where; starts with a null byte if it is abstract.
    """

    def __init__(self, address: str):
        self.address = address

    def _setUp(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self._socket.close)
        self._socket.bind(self.address)

    def service(
        self, interval: float = MINUTE, **environment: str
    ) -> service.Service:
        """Return the service of a process that systemd started."""
        address = self.address.replace('\0', '@')
        return service.Service(
            interval, {'NOTIFY_SOCKET': address, **environment}
        )

    def reports(self) -> list[list[str]]:
        """Return the lines of each report that has come."""
        found = []
        while select.select([self._socket], [], [], 0)[0]:
            found.append(self._socket.recv(65536).decode().split('\n'))
        return found


class TestCase(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.systemd = self.useFixture(Systemd(str(self.folder / 'notify')))


class ReportTest(TestCase):
    def test_a_report_is_one_datagram(self) -> None:
        """Each variable is a line of it."""
        self.systemd.service().notify(READY=1, STATUS='all well')
        self.assertEqual(
            [['READY=1', 'STATUS=all well']], self.systemd.reports()
        )

    def test_the_address_may_be_abstract(self) -> None:
        """The manager of a container may listen on such a socket."""
        other = self.useFixture(Systemd(f'\0rpcping-test-{os.getpid()}'))
        other.service().notify(STOPPING=1)
        self.assertEqual([['STOPPING=1']], other.reports())

    def test_a_process_that_systemd_did_not_start_reports_nothing(
        self,
    ) -> None:
        """A terminal has neither a socket nor a watchdog."""
        for environment in ({}, {'NOTIFY_SOCKET': ''}):
            ours = service.Service(MINUTE, environment)
            ours.notify(READY=1)
            self.assertIsNone(ours.watchdog)

    def test_a_lost_report_does_not_end_the_service(self) -> None:
        """systemd may have closed its socket."""
        address = str(self.folder / 'nobody')
        ours = service.Service(MINUTE, {'NOTIFY_SOCKET': address})
        ours.notify(READY=1)

    def test_a_watchdog_of_another_process_is_not_ours(self) -> None:
        """A wrapper may have inherited the variables."""
        for environment, expected in (
            ({'WATCHDOG_USEC': '30000000'}, 30.0),
            (
                {
                    'WATCHDOG_USEC': '30000000',
                    'WATCHDOG_PID': str(os.getpid()),
                },
                30.0,
            ),
            ({'WATCHDOG_USEC': '30000000', 'WATCHDOG_PID': '1'}, None),
            ({'WATCHDOG_USEC': '0'}, None),
            ({'WATCHDOG_USEC': 'soon'}, None),
        ):
            ours = service.Service(MINUTE, environment)
            self.assertEqual(expected, ours.watchdog)


class ServiceTest(TestCase):
    def test_the_service_is_ready_when_its_first_sweep_ended(self) -> None:
        """Before that, it only says what it does."""
        ours = self.systemd.service()
        with ours.run():
            self.assertEqual(
                [['STATUS=The first sweep is under way']],
                self.systemd.reports(),
            )
            ours.swept('9 guests: 9 reachable', 1.0)
            self.assertEqual(
                [['READY=1', 'WATCHDOG=1', 'STATUS=9 guests: 9 reachable']],
                self.systemd.reports(),
            )
        self.assertEqual([['STOPPING=1']], self.systemd.reports())

    def test_a_failed_sweep_feeds_the_watchdog_too(self) -> None:
        """A new start of the monitor would not bring Keystone back."""
        self.systemd.service().failed('Keystone is down', OSError())
        self.assertEqual(
            [['READY=1', 'WATCHDOG=1', 'STATUS=No sweep: Keystone is down']],
            self.systemd.reports(),
        )

    def test_a_status_forges_no_variable(self) -> None:
        """A line break in a server's text would begin one."""
        self.systemd.service().failed('x\nWATCHDOG=trigger', OSError())
        ((_, _, status),) = self.systemd.reports()
        self.assertEqual('STATUS=No sweep: x WATCHDOG=trigger', status)

    def test_the_watchdog_waits_for_slow_sweeps(self) -> None:
        """The monitor lengthens it, and never shortens it."""
        ours = self.systemd.service(WATCHDOG_USEC=str(10**8))
        lengthened = []
        for seconds in (10.0, 40.0, 10.0, 50.0):
            ours.swept('', seconds)
            lengthened += [
                report[0]
                for report in self.systemd.reports()
                if report[0].startswith('WATCHDOG_USEC')
            ]
        self.assertEqual(
            ['WATCHDOG_USEC=180000000', 'WATCHDOG_USEC=210000000'], lengthened
        )

    def test_without_a_watchdog_none_is_lengthened(self) -> None:
        """WATCHDOG_USEC would begin one."""
        self.systemd.service().swept('', 1000.0)
        self.assertEqual(1, len(self.systemd.reports()))


class RefusalTest(testtools.TestCase):
    def service(self) -> service.Service:
        """Return a service that systemd did not start."""
        return service.Service(MINUTE, {})

    def refusal(self) -> Exception:
        """Return the error of a sweep whose login Keystone refused."""
        error = TargetError('The guests are not known')
        error.__cause__ = ksa_exceptions.Unauthorized('401')
        return error

    def test_refused_credentials_end_the_monitor_after_three_sweeps(
        self,
    ) -> None:
        """One refusal may come from a Keystone that restarts."""
        ours = self.service()
        self.assertEqual(
            [False, False, True],
            [ours.failed('', self.refusal()) for _ in range(3)],
        )

    def test_a_keystone_that_is_down_never_ends_the_monitor(self) -> None:
        """It comes back by itself; so does a Trove that refuses tokens."""
        ours = self.service()
        for error in (
            ksa_exceptions.ServiceUnavailable('503'),
            ksa_exceptions.ConnectFailure('no route'),
            ksa_exceptions.ConnectTimeout('slow'),
            ListingFailed('HTTP 401', Reason.DENIED),
        ):
            for _ in range(5):
                self.assertFalse(ours.failed('', error))

    def test_only_refusals_in_a_row_count(self) -> None:
        """A sweep that ends otherwise starts the count anew."""
        ours = self.service()
        for _ in range(3):
            ours.failed('', self.refusal())
            self.assertFalse(ours.failed('', self.refusal()))
            ours.swept('', 1.0)
            self.assertFalse(ours.failed('', self.refusal()))
            ours.failed('', ksa_exceptions.ServiceUnavailable('503'))
