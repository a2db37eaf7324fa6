# SPDX-License-Identifier: Apache-2.0

"""The fixture that users test their own code with."""

import dataclasses
import json
import subprocess
import sys
import urllib.request

import fixtures
import testtools

from troveclient_rpcping import exceptions
from troveclient_rpcping import fixture
from troveclient_rpcping import inventory
from troveclient_rpcping import reply as replies
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.tests import base

# No server can cause this reason: the sweep itself gives it.
CANNOT_BE_SENT = {verdicts.Reason.NOT_ASKED, verdicts.Reason.SERVER_OFF}


class RepliesTest(testtools.TestCase):
    def test_there_is_an_outcome_for_every_reason(self) -> None:
        """The verdict on it has that reason, also for another guest."""
        for reason in verdicts.Reason:
            for instance_id in (base.GUEST, base.OTHER):
                outcome = fixture.for_reason(reason, instance_id)
                self.assertIs(
                    reason, verdicts.judge(outcome, instance_id).reason
                )

    def test_each_reply_has_its_verdict(self) -> None:
        """Older releases have other texts for the same verdict.

        The timeout of 2014 is that of one guest: for another guest it is an
        error, not a death.
        """
        for reply, verdict in (
            (fixture.reachable(), verdicts.Verdict.REACHABLE),
            (fixture.no_such_method(), verdicts.Verdict.REACHABLE),
            (fixture.agent_timeout_before_26(), verdicts.Verdict.UNREACHABLE),
            (fixture.agent_timeout_2014(), verdicts.Verdict.UNREACHABLE),
            (fixture.agent_timeout_2014(base.OTHER), verdicts.Verdict.ERROR),
        ):
            self.assertIs(verdict, verdicts.judge(reply, base.GUEST).verdict)

    def test_the_words_of_a_broken_bus_can_be_chosen(self) -> None:
        """By default, RabbitMQ refuses access to Trove."""
        reply = fixture.message_bus_error('Socket closed')
        self.assertIs(
            verdicts.Reason.MESSAGE_BUS,
            verdicts.judge(reply, base.GUEST).reason,
        )
        self.assertIn('Socket closed', reply.fault or '')
        words = fixture.message_bus_error().fault or ''
        self.assertIn('ACCESS_REFUSED', words)

    def test_the_rate_limit_names_its_pause(self) -> None:
        """The header and the body have it, as in Trove's reply."""
        reply = fixture.rate_limited(7)
        self.assertEqual(7.0, reply.retry_after)
        self.assertEqual('7', reply.json()['overLimit']['retryAfter'])

    def test_a_gateway_answers_in_html(self) -> None:
        """The reply has the given status."""
        reply = fixture.gateway(504)
        self.assertEqual(504, reply.status)
        self.assertIn(b'504 Gateway Timeout', reply.body)
        self.assertIsNone(reply.fault)

    def test_a_result_looks_like_one_of_a_sweep(self) -> None:
        """A reply has an RTT and a request ID; silence has neither."""
        self.assertEqual(
            verdicts.PingResult(
                instance_id=base.OTHER,
                verdict=verdicts.Verdict.UNREACHABLE,
                reason=verdicts.Reason.AGENT_TIMEOUT,
                message='Timeout trying to connect to the Guest Agent.',
                rtt=15.0,
                http_status=400,
                request_id=fixture.REQUEST_ID,
            ),
            fixture.ping_result(fixture.agent_timeout(), base.OTHER, 15.0),
        )
        silent = fixture.ping_result(fixture.silence())
        self.assertEqual(
            verdicts.unknown(
                base.GUEST, verdicts.Reason.TIMEOUT, silent.message
            ),
            silent,
        )


class TroveTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.trove = self.enterContext(fixture.Trove())
        self.manager = self.trove.client().mgmt_instances

    def outcome(
        self, answer: replies.Reply | replies.NoReply
    ) -> verdicts.PingResult:
        self.trove.add(base.GUEST, answer)
        (result,) = self.manager.rpc_ping_each(
            [base.GUEST], timeout=0.5, count=1
        )
        return result

    def test_a_sweep_reports_the_reason_of_each_outcome(self) -> None:
        """Each outcome goes over HTTP, with Trove's text.

        A death that no other guest confirms has a remark about that.
        """
        sent = set(verdicts.Reason) - CANNOT_BE_SENT
        for reason in sent - {verdicts.Reason.RATE_LIMITED}:
            answer = fixture.for_reason(reason)
            result = self.outcome(answer)
            self.assertIs(reason, result.reason)
            if isinstance(answer, replies.Reply):
                judgement = verdicts.judge(answer, base.GUEST)
                self.assertEqual(
                    (answer.status, answer.request_id),
                    (result.http_status, result.request_id),
                )
                self.assertGreater(result.rtt or 0, 0)
                self.assertIs(judgement.verdict, result.verdict)
                self.assertIn(judgement.message.rstrip('.'), result.message)

    def test_a_guest_is_reachable_by_default(self) -> None:
        """One that was not added is not found: a wrong ID fails a test."""
        self.trove.add(base.GUEST)
        self.manager.rpc_ping(base.GUEST)
        (result,) = self.manager.rpc_ping_each([base.OTHER])
        self.assertIs(verdicts.Reason.NOT_FOUND, result.reason)

    def test_another_route_is_not_found(self) -> None:
        """The fixture has no other routes of Trove."""
        error = self.assertRaises(
            urllib.request.HTTPError,
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open,
            f'{self.trove.url}/mgmt/hosts',
        )
        self.assertEqual(404, error.code)
        self.assertIn('itemNotFound', json.loads(error.read()))

    def test_it_lists_the_guests_that_were_added(self) -> None:
        """The listing has all their fields."""
        guest = inventory.Instance(
            id=base.OTHER,
            name='db-7',
            project_id='p',
            datastore='mysql 8.0',
            status='SHUTDOWN',
            last_heartbeat='2026-11-22T10:00:00',
            server=inventory.Server('s', 'compute-7', 'SHUTOFF'),
        )
        self.trove.add(guest)
        (listed,) = self.manager.list_all()
        self.assertIsNotNone(listed.heartbeat_age)
        self.assertEqual(
            guest, dataclasses.replace(listed, heartbeat_age=None)
        )

    def test_a_heartbeat_has_the_age_that_it_is_given(self) -> None:
        """The age does not depend on the time of the test."""
        self.trove.add(inventory.Instance(base.GUEST, heartbeat_age=3600.0))
        self.trove.add(inventory.Instance(base.OTHER))
        stale, unheard = self.manager.list_all()
        self.assertEqual(3600.0, stale.heartbeat_age)
        self.assertTrue(stale.is_stale)
        self.assertIsNone(unheard.heartbeat_age)
        self.assertIsNone(unheard.server)

    def test_a_guest_may_be_dead_with_a_stale_heartbeat(self) -> None:
        """One timeout then proves the death."""
        self.trove.add(base.GUEST)
        self.trove.add(
            inventory.Instance(
                base.OTHER, status='ACTIVE', heartbeat_age=3600.0
            ),
            fixture.agent_timeout(),
        )
        rows = {row.id: row for row in self.manager.list_all()}
        self.assertTrue(rows[base.OTHER].is_stale)
        self.assertFalse(rows[base.GUEST].is_stale)
        results = {
            result.instance_id: result.verdict
            for result in self.manager.rpc_ping_each(list(rows.values()))
        }
        self.assertEqual(
            {
                base.GUEST: verdicts.Verdict.REACHABLE,
                base.OTHER: verdicts.Verdict.UNREACHABLE,
            },
            results,
        )

    def test_its_pages_are_as_long_as_troves(self) -> None:
        """A page has twenty rows unless the request has a limit."""
        ids = [f'{base.GUEST[:-3]}{number:03}' for number in range(45)]
        for instance_id in ids:
            self.trove.add(instance_id)
        marker = None
        for part in (ids[:20], ids[20:40], ids[40:]):
            page = self.manager.list(marker=marker)
            self.assertEqual(part, [row.id for row in page])
            marker = page.next
        self.assertIsNone(marker)

    def test_the_listing_can_fail(self) -> None:
        """It fails for a user who is not an administrator."""
        self.trove.listing = fixture.denied()
        error = self.assertRaises(
            exceptions.ListingFailed, self.manager.list_all
        )
        self.assertIs(verdicts.Reason.DENIED, error.reason)

    def test_a_proxy_of_the_machine_is_not_used(self) -> None:
        """Neither a single ping nor a sweep uses it."""
        for name in ('http_proxy', 'HTTP_PROXY'):
            self.useFixture(
                fixtures.EnvironmentVariable(name, 'http://127.0.0.1:1')
            )
        self.trove.add(base.GUEST)
        self.manager.rpc_ping(base.GUEST)
        (result,) = self.manager.rpc_ping_each([base.GUEST])
        self.assertIs(verdicts.Verdict.REACHABLE, result.verdict)

    def test_after_the_block_the_server_is_gone(self) -> None:
        """Open connections are closed, too."""
        with fixture.Trove() as trove:
            trove.add(base.GUEST)
            manager = trove.client().mgmt_instances
            manager.rpc_ping(base.GUEST)
        (result,) = manager.rpc_ping_each([base.GUEST])
        self.assertIs(verdicts.Reason.CONNECTION, result.reason)


class ModuleTest(testtools.TestCase):
    def test_all_has_every_public_name(self) -> None:
        """Each name exists, and no public name is missing."""
        public = {
            name
            for name, value in vars(fixture).items()
            if not name.startswith('_')
            and not isinstance(value, type(fixture))
        }
        self.assertEqual(public, set(fixture.__all__))

    def test_it_needs_no_package_of_our_tests(self) -> None:
        """The library alone brings the fixture."""
        program = (
            'import sys, troveclient_rpcping.fixture\n'
            'print(*{n.partition(".")[0] for n in sys.modules})\n'
        )
        loaded = subprocess.run(
            [sys.executable, '-c', program],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        self.assertIn('keystoneauth1', loaded)
        for name in ('fixtures', 'hypothesis', 'testtools', 'trustme'):
            self.assertNotIn(name, loaded)
