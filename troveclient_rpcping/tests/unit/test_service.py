# SPDX-License-Identifier: Apache-2.0

"""The monitor as a service of systemd, with a real socket as systemd."""

from __future__ import annotations

import os
import select
import socket

import fixtures
from keystoneauth1 import exceptions as ksa_exceptions
import testtools

from troveclient_rpcping import exceptions
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.osc import service

INTERVAL = 60.0


class TestCase(testtools.TestCase):
    """A process with a socket on which systemd listens."""

    def setUp(self) -> None:
        super().setUp()
        self.address = f'{self.useFixture(fixtures.TempDir()).path}/notify'
        self.listen(self.address)

    def listen(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(address)

    def service(self, **environment: str) -> service.Service:
        """Return the service of a process that systemd started."""
        environment = {'NOTIFY_SOCKET': self.address, **environment}
        return service.Service(INTERVAL, environment)

    def reports(self) -> list[list[str]]:
        """Return the lines of each report that has come."""
        found = []
        while select.select([self.socket], [], [], 0)[0]:
            found.append(self.socket.recv(65536).decode().split('\n'))
        return found


class ReportTest(TestCase):
    def test_a_report_is_one_datagram(self) -> None:
        """Each variable is a line of it."""
        self.service().notify(READY=1, STATUS='all well')
        self.assertEqual([['READY=1', 'STATUS=all well']], self.reports())

    def test_the_address_may_be_abstract(self) -> None:
        """The manager of a container may listen on such a socket."""
        name = f'rpcping-test-{os.getpid()}'
        self.listen(f'\0{name}')
        self.service(NOTIFY_SOCKET=f'@{name}').notify(STOPPING=1)
        self.assertEqual([['STOPPING=1']], self.reports())

    def test_a_report_that_nobody_takes_does_not_end_the_service(self) -> None:
        """systemd may not have started it, or may have closed its socket."""
        for environment in (
            {},
            {'NOTIFY_SOCKET': ''},
            {'NOTIFY_SOCKET': f'{self.address}-nobody'},
        ):
            service.Service(INTERVAL, environment).notify(READY=1)

    def test_a_watchdog_of_another_process_is_not_ours(self) -> None:
        """A wrapper may have inherited the variables."""
        for microseconds, pid, expected in (
            ('30000000', None, 30.0),
            ('30000000', str(os.getpid()), 30.0),
            ('30000000', '1', 0.0),
            ('0', None, 0.0),
            ('soon', None, 0.0),
        ):
            environment = {'WATCHDOG_USEC': microseconds}
            if pid is not None:
                environment['WATCHDOG_PID'] = pid
            ours = service.Service(INTERVAL, environment)
            self.assertEqual(expected, ours.watchdog)


class ServiceTest(TestCase):
    def test_the_service_is_ready_when_its_first_sweep_ended(self) -> None:
        """Before that, it only says what it does."""
        ours = self.service()
        with ours.run():
            self.assertEqual(
                [['STATUS=The first sweep is under way']], self.reports()
            )
            # Without a watchdog, a slow sweep must not begin one.
            ours.swept('9 guests: 9 reachable', 1000.0)
            self.assertEqual(
                [['READY=1', 'WATCHDOG=1', 'STATUS=9 guests: 9 reachable']],
                self.reports(),
            )
        self.assertEqual([['STOPPING=1']], self.reports())

    def test_a_failed_sweep_feeds_the_watchdog_too(self) -> None:
        """A new start of the monitor would not bring Keystone back.

        A line break in a server's text would begin a variable.
        """
        self.service().failed('x\nWATCHDOG=trigger', OSError())
        self.assertEqual(
            [['READY=1', 'WATCHDOG=1', 'STATUS=No sweep: x WATCHDOG=trigger']],
            self.reports(),
        )

    def test_the_watchdog_waits_for_slow_sweeps(self) -> None:
        """The monitor lengthens it, and never shortens it."""
        ours = self.service(WATCHDOG_USEC=str(10**8))
        for seconds in (10.0, 40.0, 10.0, 50.0):
            ours.swept('', seconds)
        self.assertEqual(
            ['WATCHDOG_USEC=180000000', 'WATCHDOG_USEC=210000000'],
            [
                report[0]
                for report in self.reports()
                if report[0].startswith('WATCHDOG_USEC')
            ],
        )


class RefusalTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.service = service.Service(INTERVAL, {})

    def ends(self, error: Exception | None = None) -> bool:
        """Whether a failed sweep ends the monitor; by default, a refusal."""
        if error is None:
            error = exceptions.TargetError('The guests are not known')
            error.__cause__ = ksa_exceptions.Unauthorized('401')
        return self.service.failed('', error)

    def test_refused_credentials_end_the_monitor_after_three_sweeps(
        self,
    ) -> None:
        """One refusal may come from a Keystone that restarts."""
        for error in (
            ksa_exceptions.Unauthorized('401'),
            ksa_exceptions.NotFound('Could not find Application Credential'),
        ):
            self.assertEqual(
                [False, False, True], [self.ends(error) for _ in range(3)]
            )
            self.service.swept('', 1.0)

    def test_a_keystone_that_is_down_never_ends_the_monitor(self) -> None:
        """It comes back by itself; so does a Trove that refuses tokens."""
        for error in (
            ksa_exceptions.ServiceUnavailable('503'),
            ksa_exceptions.ConnectFailure('no route'),
            ksa_exceptions.ConnectTimeout('slow'),
            exceptions.ListingFailed('HTTP 401', verdicts.Reason.DENIED),
        ):
            for _ in range(5):
                self.assertFalse(self.ends(error))

    def test_only_refusals_in_a_row_count(self) -> None:
        """A sweep that ends otherwise starts the count anew."""
        for _ in range(3):
            self.ends()
            self.assertFalse(self.ends())
            self.service.swept('', 1.0)
            self.assertFalse(self.ends())
            self.ends(ksa_exceptions.ServiceUnavailable('503'))
