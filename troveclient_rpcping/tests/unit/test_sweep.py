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

"""``Management.rpc_ping_each``, over HTTP."""

import collections
from collections.abc import Iterator
import threading
import time
from typing import Any
from unittest import mock
import uuid

import fixtures
from keystoneauth1 import exceptions as ksa_exceptions
import pycurl
from troveclient.v1 import client as trove_client

from troveclient_rpcping import exceptions
from troveclient_rpcping import fixture
from troveclient_rpcping import management
from troveclient_rpcping.engine import access
from troveclient_rpcping.inventory import Instance
from troveclient_rpcping.inventory import Server
from troveclient_rpcping.limits import Throttle
from troveclient_rpcping.tests import base
from troveclient_rpcping.tests.base import GUEST
from troveclient_rpcping.tests.base import OTHER
from troveclient_rpcping.tests.base import raw
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict

NOT_ADMIN = base.fault(
    '401 Unauthorized', 'unauthorized', 'User does not have admin privileges.'
)
# keystonemiddleware's answer to a token that it does not take.
BAD_TOKEN = raw(
    '401 Unauthorized',
    b'{"error": {"message": "The request you have made requires '
    b'authentication.", "code": 401, "title": "Unauthorized"}}',
    {
        'Content-Type': 'application/json',
        'WWW-Authenticate': 'Keystone uri="http://127.0.0.1:5000"',
    },
)


def ids(count: int) -> list[str]:
    return [str(uuid.UUID(int=number)) for number in range(count)]


class SweepTest(base.TestCase):
    def sweep(
        self, answer: Any, instances: Any = (GUEST,), **kwargs: Any
    ) -> list[PingResult]:
        self.server = self.serve(answer)
        self.trove = self.connect(self.server.url)
        return list(
            self.trove.mgmt_instances.rpc_ping_each(instances, **kwargs)
        )

    def outcome(self, answer: Any, **kwargs: Any) -> Any:
        (result,) = self.sweep(answer, **kwargs)
        return result.verdict, result.reason

    def test_each_guest_gets_its_own_verdict(self) -> None:
        """A dead guest does not spoil, nor is spoiled by, a healthy one."""

        def answer(request: base.Request) -> bytes:
            return base.PONG if GUEST in request[0] else base.DEAD

        results = self.sweep(answer, [GUEST, OTHER])
        self.assertEqual(
            {GUEST: Verdict.REACHABLE, OTHER: Verdict.UNREACHABLE},
            {result.instance_id: result.verdict for result in results},
        )

    def test_a_result_says_what_came_back(self) -> None:
        """Status, request ID and a round-trip time in seconds."""
        (result,) = self.sweep(base.PONG)
        self.assertEqual(204, result.http_status)
        self.assertEqual('req-' + GUEST, result.request_id)
        self.assertGreater(result.rtt or 0, 0)
        self.assertEqual('', result.detail)

    def test_every_one_of_many_guests_is_asked_once(self) -> None:
        """Nothing is lost and nothing is asked twice, whatever the order."""
        instances = ids(500)
        results = self.sweep(base.PONG, instances, concurrency=16)
        self.assertCountEqual(instances, [r.instance_id for r in results])
        self.assertEqual(500, len(self.server.requests))

    def test_no_more_pings_are_in_flight_than_asked_for(self) -> None:
        """Yet more than one is."""
        lock = threading.Lock()
        flying = most = 0

        def answer(request: base.Request) -> bytes:
            nonlocal flying, most
            with lock:
                flying += 1
                most = max(most, flying)
            time.sleep(0.002)
            with lock:
                flying -= 1
            return base.PONG

        self.sweep(answer, ids(60), concurrency=4)
        self.assertLessEqual(most, 4)
        self.assertGreater(most, 1)

    def test_connections_are_kept(self) -> None:
        """A connection serves one ping after another."""
        self.sweep(base.PONG, ids(60), concurrency=4)
        self.assertLessEqual(self.server.connections, 4)

    def test_the_instances_may_be_a_generator_that_is_read_as_needed(
        self,
    ) -> None:
        """The fleet is never held in memory as a whole."""
        taken = 0

        def instances() -> Iterator[str]:
            nonlocal taken
            for instance in ids(1000):
                taken += 1
                yield instance

        server = self.serve(base.PONG)
        pings = self.connect(server.url).mgmt_instances.rpc_ping_each(
            instances(), concurrency=2
        )
        next(pings)
        self.assertLess(taken, 10)
        pings.close()

    def test_closing_the_iterator_ends_it(self) -> None:
        """No request follows, and no connection stays open."""
        server = self.serve(base.PONG)
        pings = self.connect(server.url).mgmt_instances.rpc_ping_each(
            ids(1000), concurrency=2
        )
        next(pings)
        pings.close()
        asked = len(server.requests)
        self.assertLess(asked, 20)
        self.assertEqual([], list(pings))

    def test_malformed_replies_are_unknown(self) -> None:
        """No reply of any shape crashes the sweep."""
        for status in ('200 OK', '400 Bad Request', '302 Found', '418 Tea'):
            for body in (
                b'',
                b'{}',
                b'[1]',
                b'{"error": "x"}',
                b'<html>',
                b'\xff',
                b'[' * 200_000,
                b'x' * 1_000_000,
            ):
                self.assertEqual(
                    (Verdict.UNKNOWN, Reason.BAD_RESPONSE),
                    self.outcome(raw(status, body)),
                    f'{status} {body[:9]!r}',
                )

    def test_what_is_no_http_is_unknown(self) -> None:
        """Whether it is garbage, too long a head, or a broken length."""
        for answer in (
            b'SSH-2.0-OpenSSH_9.2\r\n',
            b'HTTP/1.1 2040 No Content\r\n\r\n',
            b'HTTP/1.1 204x\r\n\r\n',
            b'HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n'
            b'5\r\nhello\r\n0\r\n\r\n',
            b'HTTP/1.1 204 X\r\nContent-Length: 5\r\nHTTP/: x\r\n\r\nhello',
            b'HTTP/1.1 204 No Content\r\n'
            + b'X: '
            + b'y' * 400_000
            + b'\r\n\r\n',
            b'HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
            b'HTTP/1.1 400 X\r\nContent-Length: 9\r\n\r\nabc',
            b'',
        ):
            verdict, reason = self.outcome(_then_hang_up(answer))
            self.assertEqual(Verdict.UNKNOWN, verdict)
            self.assertIn(reason, (Reason.BAD_RESPONSE, Reason.CONNECTION))

    def test_half_of_a_dead_guests_reply_is_not_its_death(self) -> None:
        """What broke off proves nothing."""
        self.assertEqual(
            (Verdict.UNKNOWN, Reason.BAD_RESPONSE),
            self.outcome(_then_hang_up(base.DEAD[:-20])),
        )

    def test_a_refused_connection_is_unknown(self) -> None:
        """A dead API is no dead guest."""
        server = self.serve(base.PONG)
        trove = self.connect(server.url)
        server.stop()
        (result,) = trove.mgmt_instances.rpc_ping_each([GUEST])
        self.assertEqual(
            (Verdict.UNKNOWN, Reason.CONNECTION),
            (result.verdict, result.reason),
        )

    def test_a_silent_api_is_unknown(self) -> None:
        """The time is up after the timeout, and the guest is not blamed."""

        def silent(request: base.Request) -> None:
            self.server.done.wait()

        self.assertEqual(
            (Verdict.UNKNOWN, Reason.TIMEOUT),
            self.outcome(silent, timeout=0.2),
        )

    def test_a_reply_that_trickles_ends_with_the_timeout(self) -> None:
        """The timeout is for the ping in all: head and body."""
        head = b'HTTP/1.1 400 X\r\nContent-Length: 99999\r\n\r\n'
        for beginning in (b'HTTP/1.1 400 X\r\nX: ', head):

            def trickle(
                request: base.Request, beginning: bytes = beginning
            ) -> Iterator[bytes]:
                yield beginning
                while not self.server.done.wait(0.05):
                    yield b'x'

            started = time.monotonic()
            self.assertEqual(
                (Verdict.UNKNOWN, Reason.TIMEOUT),
                self.outcome(trickle, timeout=0.5),
            )
            # The body would take well over an hour.
            self.assertLess(time.monotonic() - started, 60)

    def test_an_endless_body_is_cut(self) -> None:
        """What is kept of a reply is bounded."""

        def endless(request: base.Request) -> Iterator[bytes]:
            yield b'HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\n'
            while not self.server.done.is_set():
                yield b'1000\r\n' + b'x' * 4096 + b'\r\n'

        self.assertEqual(
            (Verdict.UNKNOWN, Reason.BAD_RESPONSE), self.outcome(endless)
        )

    def test_a_1xx_before_the_answer_is_passed_over(self) -> None:
        """The last head counts, and its header fields alone."""
        early = b'HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\n\r\n'
        self.assertEqual(
            (Verdict.REACHABLE, None), self.outcome(early + base.PONG)
        )

    def test_a_redirect_is_not_followed(self) -> None:
        """The token goes to no other host."""
        other = self.serve(base.PONG)
        answer = raw('302 Found', b'', {'Location': other.url})
        self.assertEqual(
            (Verdict.UNKNOWN, Reason.BAD_RESPONSE), self.outcome(answer)
        )
        self.assertEqual([], other.requests)

    def test_an_impossible_id_is_a_result_and_is_not_sent(self) -> None:
        """The others are still pinged."""
        results = self.sweep(base.PONG, ['..', GUEST, 'a/b', ''])
        self.assertEqual(
            {
                '..': Reason.NOT_FOUND,
                'a/b': Reason.NOT_FOUND,
                '': Reason.NOT_FOUND,
                GUEST: None,
            },
            {result.instance_id: result.reason for result in results},
        )
        self.assertEqual(1, len(self.server.requests))

    def test_limits_must_be_positive(self) -> None:
        """A mistake in the call shows at once, not at the first result."""
        manager = management.Management(None)
        for kwargs in ({'concurrency': 0}, {'timeout': 0}, {'timeout': -1}):
            self.assertRaises(
                ValueError, manager.rpc_ping_each, [GUEST], **kwargs
            )

    def test_a_client_without_a_session_is_told_that_it_needs_one(
        self,
    ) -> None:
        """At once, and not at the first result."""
        trove = trove_client.Client('user', 'secret', 'project', 'http://x')
        self.assertRaises(
            exceptions.SessionRequired,
            management.Management(trove).rpc_ping_each,
            [GUEST],
        )

    def test_after_the_deadline_nothing_is_asked(self) -> None:
        """What was asked had no answer in time; what had answered stays."""

        def answer(request: base.Request) -> bytes:
            if GUEST not in request[0]:
                self.server.done.wait()
            return base.PONG

        instances = [GUEST, *ids(20)]
        results = self.sweep(answer, instances, concurrency=2, deadline=0.5)
        self.assertCountEqual(instances, [r.instance_id for r in results])
        reasons = {r.instance_id: r.reason for r in results}
        self.assertIsNone(reasons.pop(GUEST))
        found = collections.Counter(reasons.values())
        self.assertEqual(20, found[Reason.NOT_ASKED] + found[Reason.TIMEOUT])
        self.assertEqual(len(self.server.requests) - 1, found[Reason.TIMEOUT])
        self.assertLess(len(self.server.requests), 10)


class TokenTest(base.TestCase):
    def test_an_expired_token_is_renewed_once_for_all(self) -> None:
        """Every guest refused for it is asked again, and none is lost."""

        def answer(request: base.Request) -> bytes:
            if request[1]['x-auth-token'] == 'token-1':
                return BAD_TOKEN
            return base.PONG

        server = self.serve(answer)
        trove = self.connect(server.url)
        results = list(trove.mgmt_instances.rpc_ping_each(ids(50)))
        self.assertEqual(50, len(results))
        self.assertEqual({Verdict.REACHABLE}, {r.verdict for r in results})
        self.assertEqual(2, trove.client.session.auth.logins)

    def test_a_user_who_is_no_admin_ends_the_sweep_at_once(self) -> None:
        """One round of refusals is enough, and no new login is tried."""
        server = self.serve(NOT_ADMIN)
        trove = self.connect(server.url)
        instances = ids(500)
        results = list(
            trove.mgmt_instances.rpc_ping_each(instances, concurrency=4)
        )
        self.assertCountEqual(instances, [r.instance_id for r in results])
        self.assertEqual(
            {Reason.DENIED, Reason.NOT_ASKED}, {r.reason for r in results}
        )
        self.assertLess(len(server.requests), 10)
        self.assertEqual(1, trove.client.session.auth.logins)

    def test_a_fresh_token_that_is_refused_ends_the_sweep(self) -> None:
        """Logging in again and again would not help."""
        server = self.serve(BAD_TOKEN)
        trove = self.connect(server.url)
        results = list(
            trove.mgmt_instances.rpc_ping_each(ids(500), concurrency=4)
        )
        self.assertEqual(500, len(results))
        self.assertIn(Reason.DENIED, {r.reason for r in results})
        self.assertEqual(2, trove.client.session.auth.logins)
        self.assertLess(len(server.requests), 60)

    def test_one_stray_refusal_does_not_end_the_sweep(self) -> None:
        """An API node that takes no token denies its pings, and no more."""
        server = self.serve(
            lambda request: BAD_TOKEN if GUEST in request[0] else base.PONG
        )
        trove = self.connect(server.url)
        results = {
            r.instance_id: r.reason
            for r in trove.mgmt_instances.rpc_ping_each([GUEST, *ids(300)])
        }
        self.assertEqual(Reason.DENIED, results.pop(GUEST))
        self.assertEqual({None}, set(results.values()))
        self.assertLess(trove.client.session.auth.logins, 6)

    def test_a_keystone_that_is_gone_midway_ends_the_sweep(self) -> None:
        """What had answered stays, and the rest says why it was not asked."""
        server = self.serve(
            lambda request: base.PONG if GUEST in request[0] else BAD_TOKEN
        )
        trove = self.connect(server.url)
        login = trove.client.session.auth
        get_token = login.get_token

        def gone(session: Any) -> Any:
            if login.logins:
                raise ksa_exceptions.ConnectFailure('Keystone is gone')
            return get_token(session)

        login.get_token = gone
        results = {
            r.instance_id: r
            for r in trove.mgmt_instances.rpc_ping_each(
                [GUEST, *ids(20)], concurrency=1
            )
        }
        self.assertEqual(21, len(results))
        self.assertEqual(Verdict.REACHABLE, results.pop(GUEST).verdict)
        self.assertEqual(
            {Reason.NOT_ASKED}, {r.reason for r in results.values()}
        )
        self.assertIn('Keystone is gone', results[ids(1)[0]].detail)

    def test_no_login_at_the_start_raises(self) -> None:
        """There is nothing yet that could get lost."""
        server = self.serve(base.PONG)
        trove = self.connect(server.url)

        def gone(session: Any) -> Any:
            raise ksa_exceptions.ConnectFailure('Keystone is gone')

        trove.client.session.auth.get_token = gone
        pings = trove.mgmt_instances.rpc_ping_each([GUEST])
        self.assertRaises(ksa_exceptions.ConnectFailure, next, pings)


class RateLimitTest(base.TestCase):
    def test_a_throttled_guest_is_asked_again_and_never_judged_for_it(
        self,
    ) -> None:
        """Nothing is lost, and nobody is called anything for a 413."""
        refused: set[str] = set()

        def answer(request: base.Request) -> bytes:
            if request[0] in refused:
                return base.PONG
            refused.add(request[0])
            body = b'Only 9000 GET request(s) can be made to * every second.'
            return raw('413 Too Large', body, {'Retry-After': '0'})

        server = self.serve(answer)
        told: list[Throttle] = []
        results = list(
            self.connect(server.url).mgmt_instances.rpc_ping_each(
                ids(5), on_throttle=told.append
            )
        )
        self.assertEqual([Verdict.REACHABLE] * 5, [r.verdict for r in results])
        self.assertEqual(10, len(server.requests))
        self.assertEqual(5, len(told))

    def test_a_guest_that_is_throttled_to_the_end_is_not_asked(self) -> None:
        """The deadline ends the wait, and the guest is not blamed."""
        server = self.serve(raw('429 Slow', b'', {'Retry-After': '99999'}))
        (result,) = self.connect(server.url).mgmt_instances.rpc_ping_each(
            [GUEST], deadline=0.3
        )
        self.assertEqual(
            (Verdict.UNKNOWN, Reason.NOT_ASKED),
            (result.verdict, result.reason),
        )

    def test_a_rate_of_the_user_spaces_the_pings(self) -> None:
        """Twenty-one at a hundred a second take a fifth of one, or more."""
        server = self.serve(base.PONG)
        started = time.monotonic()
        list(
            self.connect(server.url).mgmt_instances.rpc_ping_each(
                ids(21), rate=100
            )
        )
        self.assertGreaterEqual(time.monotonic() - started, 0.19)


class AllIsLostTest(base.TestCase):
    def test_a_dead_api_is_not_asked_ten_thousand_times(self) -> None:
        """It ends early, and says so of those that were not asked."""
        server = self.serve(base.PONG)
        trove = self.connect(server.url)
        server.stop()
        results = list(trove.mgmt_instances.rpc_ping_each(ids(10_000)))
        self.assertEqual(10_000, len(results))
        reasons = [r.reason for r in results]
        self.assertLess(reasons.count(Reason.CONNECTION), 200)
        self.assertEqual(
            10_000 - reasons.count(Reason.CONNECTION),
            reasons.count(Reason.NOT_ASKED),
        )
        self.assertIn('all failed: Failed to connect', results[-1].detail)


class ProofTest(base.TestCase):
    """A dead guest is told from one whose pings got lost.

    Trove takes 15 s to call a guest dead, and this server no time. What only
    time can show is shown by the model, and on a real broker.
    """

    def sweep(
        self, answer: Any, instances: list[str], **kwargs: Any
    ) -> dict[str, PingResult]:
        self.server = self.serve(answer)
        results = list(
            self.connect(self.server.url).mgmt_instances.rpc_ping_each(
                instances, **kwargs
            )
        )
        by_id = {result.instance_id: result for result in results}
        self.assertEqual(len(by_id), len(results), 'one result for each')
        return by_id

    def pings(self, guest: str) -> int:
        """Return how often a guest was pinged."""
        return [guest in each[0] for each in self.server.requests].count(True)

    def test_a_dead_guest_beside_a_living_one_is_dead(self) -> None:
        """After two timeouts or more, while controls were answered.

        An agent that is too old to know the ping is a living one.
        """
        too_old = fixture.encode(fixture.no_such_method())
        for living in (base.PONG, too_old):
            results = self.sweep(
                lambda request, living=living: (
                    living if GUEST in request[0] else base.DEAD
                ),
                [GUEST, OTHER],
            )
            self.assertEqual(
                (Verdict.UNREACHABLE, Reason.AGENT_TIMEOUT),
                (results[OTHER].verdict, results[OTHER].reason),
            )
            self.assertNotIn('confirms', results[OTHER].detail)
            self.assertIs(Verdict.REACHABLE, results[GUEST].verdict)
            # A control that a busy machine delays may be a lost one.
            self.assertGreaterEqual(self.pings(OTHER), 2)
            self.assertGreaterEqual(self.pings(GUEST), 50)
            self.assertEqual(self.pings(OTHER) - 1, results[OTHER].lost)

    def test_a_guest_that_answers_another_ping_is_alive(self) -> None:
        """The first one was lost, and that is told."""
        answers = iter([base.DEAD])
        results = self.sweep(
            lambda request: (
                next(answers, base.PONG) if OTHER in request[0] else base.PONG
            ),
            [OTHER, GUEST],
        )
        self.assertEqual(
            (Verdict.REACHABLE, 1),
            (results[OTHER].verdict, results[OTHER].lost),
        )
        self.assertEqual(
            (Verdict.REACHABLE, 0),
            (results[GUEST].verdict, results[GUEST].lost),
        )

    def test_silent_guests_and_controls_have_new_connections(self) -> None:
        """A kept one leads to the same worker of trove-api again."""
        self.sweep(
            lambda request: base.PONG if GUEST in request[0] else base.DEAD,
            [GUEST, OTHER],
            concurrency=1,
        )
        # The first pings of both guests and the listing may share one.
        asked = len(self.server.requests)
        self.assertGreaterEqual(self.server.connections, asked - 2)

    def test_an_api_without_a_listing_is_taken_at_its_word(self) -> None:
        """All timed out twice, and there is nobody else to ask.

        Each sentence says that nobody confirms it.
        """
        results = self.sweep(base.DEAD, ids(3))
        for result in results.values():
            self.assertIs(Verdict.UNREACHABLE, result.verdict)
            self.assertIn('no other guest confirms it', result.detail)
        self.assertEqual([2] * 3, [self.pings(each) for each in ids(3)])
        self.assertEqual(7, len(self.server.requests), 'and the listing once')

    def test_a_witness_confirms_a_death(self) -> None:
        """It is a guest of the listing that nobody asked for: no result."""
        trove = self.enterContext(fixture.Trove())
        trove.add(OTHER, fixture.agent_timeout())
        trove.add(GUEST)
        (only,) = trove.client().mgmt_instances.rpc_ping_each([OTHER])
        self.assertIs(Verdict.UNREACHABLE, only.verdict)
        self.assertNotIn('confirms', only.detail)
        self.assertIn(GUEST, trove.pinged)

    def test_if_no_agent_answers_nobody_is_dead(self) -> None:
        """Neither the guests nor the witnesses: it is the message bus."""
        trove = self.enterContext(fixture.Trove())
        for guest in (OTHER, GUEST, *ids(3)):
            trove.add(guest, fixture.agent_timeout())
        results = list(
            trove.client().mgmt_instances.rpc_ping_each([OTHER, GUEST])
        )
        self.assertEqual(
            [(Verdict.UNKNOWN, Reason.MESSAGE_BUS)] * 2,
            [(each.verdict, each.reason) for each in results],
        )
        self.assertTrue({*ids(3)} <= {*trove.pinged}, 'the witnesses')

    def test_a_whole_fleet_is_not_dead(self) -> None:
        """The rest of it is not even asked."""
        instances = ids(100)
        results = self.sweep(base.DEAD, instances)
        self.assertCountEqual(instances, results)
        reasons = {result.reason for result in results.values()}
        self.assertEqual({Reason.MESSAGE_BUS, Reason.NOT_ASKED}, reasons)
        self.assertLess(len(self.server.requests), 50)

    def test_many_guests_with_one_error_point_at_the_bus(self) -> None:
        """What Trove calls an error of the guest may be one of the bus."""
        for broken, texts, expected in (
            (5, 1, {(Verdict.UNKNOWN, Reason.MESSAGE_BUS)}),
            (4, 1, {(Verdict.ERROR, Reason.AGENT_ERROR)}),
            (5, 5, {(Verdict.ERROR, Reason.AGENT_ERROR)}),
        ):
            trove = self.enterContext(fixture.Trove())
            trove.add(GUEST)
            for number, guest in enumerate(ids(broken)):
                text = f'disk {number % texts} is full'
                trove.add(guest, fixture.agent_error(text))
            results = {
                each.instance_id: (each.verdict, each.reason)
                for each in trove.client().mgmt_instances.rpc_ping_each(
                    [GUEST, *ids(broken)]
                )
            }
            self.assertEqual((Verdict.REACHABLE, None), results.pop(GUEST))
            self.assertEqual(expected, set(results.values()))

    def test_a_silent_guest_that_trove_would_not_ask_is_not_ready(
        self,
    ) -> None:
        """Its status in the listing says so, and it is not called dead."""
        trove = self.enterContext(fixture.Trove())
        trove.add(GUEST)
        trove.add(Instance(OTHER, status='REBOOT'), fixture.agent_timeout())
        manager = trove.client().mgmt_instances
        for instances in ([GUEST, OTHER], manager.list_all()):
            results = {
                each.instance_id: each
                for each in manager.rpc_ping_each(instances)
            }
            self.assertEqual(
                (Verdict.UNKNOWN, Reason.NOT_READY),
                (results[OTHER].verdict, results[OTHER].reason),
            )
            self.assertIn('REBOOT', results[OTHER].detail)

    def test_a_silent_guest_whose_server_is_off_is_not_dead(self) -> None:
        """Nova's status explains the timeout; an answer outweighs it."""
        off = Server('s', 'compute-1', 'PAUSED')
        trove = self.enterContext(fixture.Trove())
        trove.add(Instance(GUEST, status='ACTIVE', server=off))
        trove.add(
            Instance(OTHER, status='ACTIVE', heartbeat_age=3600.0, server=off),
            fixture.agent_timeout(),
        )
        manager = trove.client().mgmt_instances
        for instances in ([GUEST, OTHER], manager.list_all()):
            results = {
                each.instance_id: each
                for each in manager.rpc_ping_each(instances)
            }
            self.assertIs(Verdict.REACHABLE, results[GUEST].verdict)
            self.assertEqual(
                (Verdict.UNKNOWN, Reason.SERVER_OFF),
                (results[OTHER].verdict, results[OTHER].reason),
            )
            self.assertIn('is PAUSED in Nova', results[OTHER].detail)

    def test_a_timeout_of_our_own_is_no_death(self) -> None:
        """It says what to look at: it depends on whether others answer."""

        def answer(request: base.Request) -> bytes | None:
            if GUEST in request[0]:
                return base.PONG
            self.server.done.wait()
            return None

        for instances, words in (
            ([OTHER, GUEST], 'raise it'),
            ([OTHER], 'Check trove-api and the message bus'),
        ):
            results = self.sweep(answer, instances, timeout=0.5)
            self.assertEqual(
                (Verdict.UNKNOWN, Reason.TIMEOUT),
                (results[OTHER].verdict, results[OTHER].reason),
            )
            self.assertIn(words, results[OTHER].detail)

    def test_a_control_plane_that_is_lost_leaves_no_proof(self) -> None:
        """Who timed out just before is unknown like the rest."""

        def answer(request: base.Request) -> bytes | None:
            return base.DEAD if GUEST in request[0] else None

        results = self.sweep(answer, [GUEST, *ids(100)])
        self.assertEqual(
            {Verdict.UNKNOWN}, {each.verdict for each in results.values()}
        )

    def test_an_interrupt_does_not_lose_what_is_not_proven(self) -> None:
        """It is told, as unknown, before the interrupt goes on."""
        server = self.serve(base.DEAD)
        trove = self.connect(server.url)

        def instances() -> Iterator[str]:
            yield from ids(3)
            raise KeyboardInterrupt

        results = []
        pings = trove.mgmt_instances.rpc_ping_each(instances(), concurrency=1)
        try:
            for result in pings:
                results.append(result)  # noqa: PERF402 -- it is interrupted
        except KeyboardInterrupt:
            self.assertEqual(
                {Reason.TIMEOUT}, {result.reason for result in results}
            )
        else:
            self.fail('the interrupt is lost')

    def test_while_the_last_ones_are_awaited_the_bus_is_watched(self) -> None:
        """Controls are pings of a guest that answered, and are no results."""
        controlled = threading.Event()

        def answer(request: base.Request) -> bytes:
            if OTHER in request[0]:
                # Until somebody else was asked a third time.
                controlled.wait(60)
                return base.DEAD
            asked = [r for r in self.server.requests if GUEST in r[0]]
            if len(asked) == 3:
                controlled.set()
            return base.PONG

        self.server = self.serve(answer)
        results = list(
            self.connect(self.server.url).mgmt_instances.rpc_ping_each(
                [GUEST, OTHER]
            )
        )
        self.assertEqual(
            [(GUEST, Verdict.REACHABLE), (OTHER, Verdict.UNREACHABLE)],
            [(r.instance_id, r.verdict) for r in results],
        )

    def test_a_control_that_hangs_does_not_hold_the_sweep(self) -> None:
        """Nobody waits for it once the last guest has answered."""
        controlled = threading.Event()

        def answer(request: base.Request) -> bytes | None:
            if OTHER in request[0]:
                controlled.wait(60)
            elif self.pings(GUEST) > 1:
                controlled.set()
                self.server.done.wait()
                return None
            return base.PONG

        started = time.monotonic()
        results = self.sweep(answer, [GUEST, OTHER], timeout=300)
        self.assertTrue(controlled.is_set())
        self.assertEqual(
            [Verdict.REACHABLE] * 2, [r.verdict for r in results.values()]
        )
        self.assertLess(time.monotonic() - started, 120)


class SessionSettingsTest(base.TestCase):
    """What a user configures about the connection has its effect."""

    def test_a_proxy_of_the_environment_is_used(self) -> None:
        """As requests would, for a host that no_proxy does not name."""
        proxy = self.serve(base.PONG)
        with_scheme = proxy.url.split('/v1.0')[0]
        for setting in (with_scheme, with_scheme.removeprefix('http://')):
            self.useFixture(
                fixtures.EnvironmentVariable('http_proxy', setting)
            )
            trove = self.connect('http://trove.invalid/v1.0/x')
            (result,) = trove.mgmt_instances.rpc_ping_each([GUEST])
            self.assertEqual(Verdict.REACHABLE, result.verdict)
            self.assertEqual(
                f'http://trove.invalid/v1.0/x/mgmt/instances/{GUEST}/rpc_ping',
                proxy.requests[-1][0],
            )
        self.assertEqual(2, len(proxy.requests))

    def test_a_proxy_without_a_port_has_the_one_of_requests(self) -> None:
        """Versions of libcurl differ in what they take."""
        for setting, used in (
            ('http://proxy.example', 'http://proxy.example:80'),
            ('proxy.example', 'http://proxy.example:80'),
            ('http://u:p@[::1]/', 'http://u:p@[::1]:80/'),
            ('http://proxy.example:', 'http://proxy.example:80'),
            ('proxy.example:3128', 'proxy.example:3128'),
            ('http://u:1@[::1]:3128', 'http://u:1@[::1]:3128'),
            ('socks5h://proxy.example', 'socks5h://proxy.example'),
            ('https://proxy.example', 'https://proxy.example'),
            ('http://proxy.example:x', 'http://proxy.example:x'),
        ):
            self.useFixture(
                fixtures.EnvironmentVariable('http_proxy', setting)
            )
            handle = mock.Mock()
            trove = self.connect('http://trove.invalid/v1.0/x')
            access.Access(trove).configure(handle)
            self.assertIn(
                mock.call(pycurl.PROXY, used), handle.setopt.mock_calls
            )

    def test_no_proxy_is_heeded(self) -> None:
        """A host that it names is asked directly."""
        server = self.serve(base.PONG)
        self.useFixture(
            fixtures.EnvironmentVariable('http_proxy', 'http://127.0.0.1:9')
        )
        self.useFixture(fixtures.EnvironmentVariable('no_proxy', '127.0.0.1'))
        (result,) = self.connect(server.url).mgmt_instances.rpc_ping_each(
            [GUEST]
        )
        self.assertEqual(Verdict.REACHABLE, result.verdict)

    def test_timings_are_kept_if_the_session_keeps_them(self) -> None:
        """``openstack --timing`` shows the pings too."""
        server = self.serve(base.PONG)
        for collect in (True, False):
            trove = self.connect(server.url, collect_timing=collect)
            list(trove.mgmt_instances.rpc_ping_each([GUEST]))
            urls = [t.url for t in trove.client.session.get_timings()]
            expected = f'{server.url}/mgmt/instances/{GUEST}/rpc_ping'
            self.assertEqual([expected] if collect else [], urls)

    def test_the_header_lines_cannot_be_broken(self) -> None:
        """A line break in a token would be another header."""
        server = self.serve(base.PONG)
        trove = self.connect(server.url)
        trove.client.session.auth.get_token = lambda s: 'a\r\nX-Evil: 1'
        list(trove.mgmt_instances.rpc_ping_each([GUEST]))
        self.assertNotIn('x-evil', server.requests[0][1])


def _then_hang_up(answer: bytes) -> Any:
    def pieces(request: base.Request) -> Iterator[bytes]:
        yield answer
        raise OSError

    return pieces
