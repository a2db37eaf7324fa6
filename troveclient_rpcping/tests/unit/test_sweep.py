# SPDX-License-Identifier: Apache-2.0

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

from troveclient_rpcping import fixture
from troveclient_rpcping import inventory
from troveclient_rpcping import limits
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.engine import access as engine_access
from troveclient_rpcping.tests import base

# keystonemiddleware's answer to a token that it refuses.
BAD_TOKEN = base.raw(
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


class TestCase(base.TestCase):
    def sweep(
        self, answer: Any, instances: Any = (base.GUEST,), **kwargs: Any
    ) -> list[verdicts.PingResult]:
        """Sweep instances of a server that answers by *answer*."""
        self.server = self.serve(answer)
        self.trove = self.connect(self.server.url)
        self.login = self.trove.client.session.auth
        return list(
            self.trove.mgmt_instances.rpc_ping_each(instances, **kwargs)
        )


class SweepTest(TestCase):
    def test_each_of_many_guests_is_pinged_once(self) -> None:
        """No guest is lost, and no guest is pinged twice."""
        instances = ids(500)
        results = self.sweep(base.PONG, instances, concurrency=16)
        self.assertCountEqual(instances, [r.instance_id for r in results])
        self.assertEqual(500, len(self.server.requests))

    def test_no_more_pings_are_in_flight_than_asked_for(self) -> None:
        """The caller sets the greatest number of pings in flight."""
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

    def test_a_generator_is_read_as_the_pings_go_out(self) -> None:
        """A caller who closes the iterator ends the sweep at once."""
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
        pings.close()
        self.assertLess(taken, 10)
        self.assertEqual([], list(pings))
        self.assertLessEqual(len(server.requests), taken)

    def test_an_impossible_id_has_a_result_and_is_not_sent(self) -> None:
        """The other guests are still pinged."""
        results = self.sweep(base.PONG, ['..', base.GUEST, 'a/b', ''])
        self.assertEqual(
            {
                '..': verdicts.Reason.NOT_FOUND,
                'a/b': verdicts.Reason.NOT_FOUND,
                '': verdicts.Reason.NOT_FOUND,
                base.GUEST: None,
            },
            {result.instance_id: result.reason for result in results},
        )
        self.assertEqual(1, len(self.server.requests))

    def test_after_the_deadline_no_ping_is_sent(self) -> None:
        """Pings under way are timeouts; earlier results stay."""

        def answer(request: base.Request) -> bytes:
            if base.GUEST not in request[0]:
                self.server.done.wait()
            return base.PONG

        instances = [base.GUEST, *ids(20)]
        results = self.sweep(answer, instances, concurrency=2, deadline=0.5)
        self.assertCountEqual(instances, [r.instance_id for r in results])
        reasons = {r.instance_id: r.reason for r in results}
        self.assertIsNone(reasons.pop(base.GUEST))
        found = collections.Counter(reasons.values())
        self.assertEqual(
            20,
            found[verdicts.Reason.NOT_ASKED] + found[verdicts.Reason.TIMEOUT],
        )
        self.assertEqual(
            len(self.server.requests) - 1, found[verdicts.Reason.TIMEOUT]
        )
        self.assertLess(len(self.server.requests), 10)


class TokenTest(TestCase):
    def test_an_api_that_refuses_every_ping_ends_the_sweep(self) -> None:
        """A new login cannot help a user without admin rights."""
        for answer, logins, most in (
            (base.NOT_ADMIN, 1, 10),
            (BAD_TOKEN, 2, 60),
        ):
            results = self.sweep(answer, ids(500), concurrency=4)
            self.assertCountEqual(ids(500), [r.instance_id for r in results])
            self.assertEqual(
                {verdicts.Reason.DENIED, verdicts.Reason.NOT_ASKED},
                {r.reason for r in results},
            )
            self.assertLess(len(self.server.requests), most)
            self.assertEqual(logins, self.login.logins)

    def test_one_stray_refusal_does_not_end_the_sweep(self) -> None:
        """An API node that refuses the token denies only its own pings."""
        found = self.sweep(
            lambda request: (
                BAD_TOKEN if base.GUEST in request[0] else base.PONG
            ),
            [base.GUEST, *ids(300)],
        )
        results = {r.instance_id: r.reason for r in found}
        self.assertEqual(verdicts.Reason.DENIED, results.pop(base.GUEST))
        self.assertEqual({None}, set(results.values()))
        self.assertLess(self.login.logins, 6)

    def test_no_login_at_the_start_raises(self) -> None:
        """There are no results yet that could be lost."""
        server = self.serve(base.PONG)
        trove = self.connect(server.url)

        def gone(session: Any) -> Any:
            raise ksa_exceptions.ConnectFailure('Keystone is gone')

        trove.client.session.auth.get_token = gone
        pings = trove.mgmt_instances.rpc_ping_each([base.GUEST])
        self.assertRaises(ksa_exceptions.ConnectFailure, next, pings)


class RateLimitTest(TestCase):
    def test_a_throttled_guest_is_pinged_again(self) -> None:
        """No guest is lost, and a 413 is not a verdict."""
        refused: set[str] = set()

        def answer(request: base.Request) -> bytes:
            if request[0] in refused:
                return base.PONG
            refused.add(request[0])
            body = b'Only 9000 GET request(s) can be made to * every second.'
            return base.raw('413 Too Large', body, {'Retry-After': '0'})

        told: list[limits.Throttle] = []
        results = self.sweep(answer, ids(5), on_throttle=told.append)
        self.assertEqual(
            [verdicts.Verdict.REACHABLE] * 5, [r.verdict for r in results]
        )
        self.assertEqual(10, len(self.server.requests))
        self.assertEqual(5, len(told))

    def test_a_guest_that_is_throttled_to_the_end_is_not_asked(self) -> None:
        """The deadline ends the wait, and the guest is not blamed."""
        slow = base.raw('429 Slow', b'', {'Retry-After': '99999'})
        (result,) = self.sweep(slow, deadline=0.3)
        self.assertEqual(
            (verdicts.Verdict.UNKNOWN, verdicts.Reason.NOT_ASKED),
            (result.verdict, result.reason),
        )

    def test_a_rate_of_the_user_spaces_the_pings(self) -> None:
        """21 pings at 100 a second take 0.2 s or more."""
        started = time.monotonic()
        self.sweep(base.PONG, ids(21), rate=100)
        self.assertGreaterEqual(time.monotonic() - started, 0.19)


class AllIsLostTest(base.TestCase):
    def test_a_dead_api_does_not_get_ten_thousand_pings(self) -> None:
        """The sweep ends early, and the other guests are not-asked."""
        server = self.serve(base.PONG)
        trove = self.connect(server.url)
        server.stop()
        results = list(trove.mgmt_instances.rpc_ping_each(ids(10_000)))
        self.assertEqual(10_000, len(results))
        reasons = [r.reason for r in results]
        self.assertLess(reasons.count(verdicts.Reason.CONNECTION), 200)
        self.assertEqual(
            10_000 - reasons.count(verdicts.Reason.CONNECTION),
            reasons.count(verdicts.Reason.NOT_ASKED),
        )
        self.assertIn('all failed: Failed to connect', results[-1].detail)


class ProofTest(TestCase):
    """A dead guest differs from a guest whose pings were lost.

    Trove takes 15 s to call a guest dead, but this server takes no time. The
    model, and the tests with a real broker, show the effects of time.
    """

    def by_id(
        self, answer: Any, instances: list[str], **kwargs: Any
    ) -> dict[str, verdicts.PingResult]:
        """Sweep instances; return the only result of each."""
        results = self.sweep(answer, instances, **kwargs)
        by_id = {result.instance_id: result for result in results}
        self.assertEqual(len(by_id), len(results), 'one result for each')
        return by_id

    def pings(self, guest: str) -> int:
        """Return how often a guest was pinged."""
        return [guest in each[0] for each in self.server.requests].count(True)

    def test_a_dead_guest_beside_a_living_one_is_dead(self) -> None:
        """It timed out twice or more, while controls were answered.

        An agent that is too old to know the ping counts as a living one.
        """
        too_old = fixture.encode(fixture.no_such_method())
        for living in (base.PONG, too_old):
            results = self.by_id(
                lambda request, living=living: (
                    living if base.GUEST in request[0] else base.DEAD
                ),
                [base.GUEST, base.OTHER],
            )
            self.assertEqual(
                (verdicts.Verdict.UNREACHABLE, verdicts.Reason.AGENT_TIMEOUT),
                (results[base.OTHER].verdict, results[base.OTHER].reason),
            )
            self.assertNotIn('confirms', results[base.OTHER].detail)
            self.assertIs(
                verdicts.Verdict.REACHABLE, results[base.GUEST].verdict
            )
            # A busy machine may delay a control, which then counts as lost.
            self.assertGreaterEqual(self.pings(base.OTHER), 2)
            self.assertGreaterEqual(self.pings(base.GUEST), 50)
            self.assertEqual(
                self.pings(base.OTHER) - 1, results[base.OTHER].lost
            )

    def test_a_guest_that_answers_another_ping_is_alive(self) -> None:
        """The lost first ping is reported."""
        answers = iter([base.DEAD])
        results = self.by_id(
            lambda request: (
                next(answers, base.PONG)
                if base.OTHER in request[0]
                else base.PONG
            ),
            [base.OTHER, base.GUEST],
        )
        self.assertEqual(
            (verdicts.Verdict.REACHABLE, 1),
            (results[base.OTHER].verdict, results[base.OTHER].lost),
        )
        self.assertEqual(
            (verdicts.Verdict.REACHABLE, 0),
            (results[base.GUEST].verdict, results[base.GUEST].lost),
        )

    def test_the_word_of_an_api_without_a_listing_counts(self) -> None:
        """All guests timed out twice, and there are no other guests.

        Each sentence says that no other guest confirms the death.
        """
        results = self.by_id(base.DEAD, ids(3))
        for result in results.values():
            self.assertIs(verdicts.Verdict.UNREACHABLE, result.verdict)
            self.assertIn('no other guest confirms it', result.detail)
        self.assertEqual([2] * 3, [self.pings(each) for each in ids(3)])
        self.assertEqual(7, len(self.server.requests), 'and the listing once')

    def test_a_witness_confirms_a_death(self) -> None:
        """A witness is another guest of the listing, and has no result."""
        trove = self.enterContext(fixture.Trove())
        trove.add(base.OTHER, fixture.agent_timeout())
        trove.add(base.GUEST)
        (only,) = trove.client().mgmt_instances.rpc_ping_each([base.OTHER])
        self.assertIs(verdicts.Verdict.UNREACHABLE, only.verdict)
        self.assertNotIn('confirms', only.detail)
        self.assertIn(base.GUEST, trove.pinged)

    def test_a_whole_fleet_is_not_dead(self) -> None:
        """The other guests are not even pinged."""
        instances = ids(100)
        results = self.by_id(base.DEAD, instances)
        self.assertCountEqual(instances, results)
        reasons = {result.reason for result in results.values()}
        self.assertEqual(
            {verdicts.Reason.MESSAGE_BUS, verdicts.Reason.NOT_ASKED}, reasons
        )
        self.assertLess(len(self.server.requests), 50)

    def test_a_listing_explains_why_a_guest_is_silent(self) -> None:
        """Trove would not ask the agent, or the server is off in Nova.

        An answer outweighs the listing, which the caller or the sweep reads.
        """
        off = inventory.Server('s', 'compute-1', 'PAUSED')
        rows: tuple[tuple[dict[str, Any], verdicts.Reason, str], ...] = (
            ({'status': 'REBOOT'}, verdicts.Reason.NOT_READY, 'REBOOT'),
            (
                {'status': 'ACTIVE', 'heartbeat_age': 3600.0, 'server': off},
                verdicts.Reason.SERVER_OFF,
                'is PAUSED in Nova',
            ),
        )
        for row, reason, words in rows:
            trove = self.enterContext(fixture.Trove())
            trove.add(inventory.Instance(base.GUEST, **row))
            trove.add(
                inventory.Instance(base.OTHER, **row), fixture.agent_timeout()
            )
            manager = trove.client().mgmt_instances
            for instances in ([base.GUEST, base.OTHER], manager.list_all()):
                results = {
                    each.instance_id: each
                    for each in manager.rpc_ping_each(instances)
                }
                self.assertIs(
                    verdicts.Verdict.REACHABLE, results[base.GUEST].verdict
                )
                self.assertEqual(
                    (verdicts.Verdict.UNKNOWN, reason),
                    (results[base.OTHER].verdict, results[base.OTHER].reason),
                )
                self.assertIn(words, results[base.OTHER].detail)

    def test_a_control_plane_that_is_lost_leaves_no_proof(self) -> None:
        """A guest that timed out just before is unknown, too."""

        def answer(request: base.Request) -> bytes | None:
            return base.DEAD if base.GUEST in request[0] else None

        results = self.by_id(answer, [base.GUEST, *ids(100)])
        self.assertEqual(
            {verdicts.Verdict.UNKNOWN},
            {each.verdict for each in results.values()},
        )

    def test_an_interrupt_does_not_lose_an_unproven_result(self) -> None:
        """It is reported as unknown before the interrupt goes on."""
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
                {verdicts.Reason.TIMEOUT},
                {result.reason for result in results},
            )
        else:
            self.fail('the interrupt is lost')


class SessionSettingsTest(TestCase):
    """A sweep obeys the settings of the session and the environment."""

    def test_a_proxy_of_the_environment_is_used(self) -> None:
        """requests does the same for a host that no_proxy does not name."""
        proxy = self.serve(base.PONG)
        with_scheme = proxy.url.split('/v1.0')[0]
        for setting in (with_scheme, with_scheme.removeprefix('http://')):
            self.useFixture(
                fixtures.EnvironmentVariable('http_proxy', setting)
            )
            trove = self.connect('http://trove.invalid/v1.0/x')
            (result,) = trove.mgmt_instances.rpc_ping_each([base.GUEST])
            self.assertEqual(verdicts.Verdict.REACHABLE, result.verdict)
            self.assertEqual(
                f'http://trove.invalid/v1.0/x/mgmt/instances/{base.GUEST}/rpc_ping',
                proxy.requests[-1][0],
            )
        self.assertEqual(2, len(proxy.requests))

    def test_a_proxy_without_a_port_has_the_one_of_requests(self) -> None:
        """libcurl alone would use port 1080 for HTTP."""
        for setting, is_http in (
            ('http://proxy.example', True),
            ('proxy.example:3128', True),
            ('socks5h://proxy.example', False),
            ('https://proxy.example', False),
        ):
            self.useFixture(
                fixtures.EnvironmentVariable('http_proxy', setting)
            )
            handle = mock.Mock()
            trove = self.connect('http://trove.invalid/v1.0/x')
            engine_access.Access(trove).configure(handle)
            calls = handle.setopt.mock_calls
            self.assertIn(mock.call(pycurl.PROXY, setting), calls)
            # libcurl ignores it if the proxy has a port.
            port = mock.call(pycurl.PROXYPORT, 80)
            self.assertIs(is_http, port in calls)

    def test_no_proxy_is_heeded(self) -> None:
        """A host in no_proxy gets its requests directly."""
        self.useFixture(
            fixtures.EnvironmentVariable('http_proxy', 'http://127.0.0.1:9')
        )
        self.useFixture(fixtures.EnvironmentVariable('no_proxy', '127.0.0.1'))
        (result,) = self.sweep(base.PONG)
        self.assertEqual(verdicts.Verdict.REACHABLE, result.verdict)

    def test_timings_are_kept_if_the_session_keeps_them(self) -> None:
        """``openstack --timing`` shows the pings, too."""
        server = self.serve(base.PONG)
        for collect in (True, False):
            trove = self.connect(server.url, collect_timing=collect)
            list(trove.mgmt_instances.rpc_ping_each([base.GUEST]))
            urls = [t.url for t in trove.client.session.get_timings()]
            expected = f'{server.url}/mgmt/instances/{base.GUEST}/rpc_ping'
            self.assertEqual([expected] if collect else [], urls)

    def test_the_header_lines_cannot_be_broken(self) -> None:
        """A line break in a token does not become another header."""
        server = self.serve(base.PONG)
        trove = self.connect(server.url)
        trove.client.session.auth.get_token = lambda s: 'a\r\nX-Evil: 1'
        list(trove.mgmt_instances.rpc_ping_each([base.GUEST]))
        self.assertNotIn('x-evil', server.requests[0][1])
