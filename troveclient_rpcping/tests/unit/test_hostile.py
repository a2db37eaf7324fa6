# SPDX-License-Identifier: Apache-2.0

"""Servers that lie, break off, or never end.

The single ping over requests, the sweep over libcurl, and the listing read the
same replies, which ``tests/hostile.py`` draws.
"""

from __future__ import annotations

import collections
import contextlib
import gzip
import json
import tracemalloc
from typing import Any

import hypothesis
from hypothesis import strategies
from keystoneauth1 import exceptions as ksa_exceptions
import testtools
from troveclient.apiclient import exceptions as trove_exceptions

from troveclient_rpcping import exceptions
from troveclient_rpcping import inventory
from troveclient_rpcping import limits
from troveclient_rpcping import management
from troveclient_rpcping import reply as replies
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.engine import pacing
from troveclient_rpcping.osc import report
from troveclient_rpcping.osc import rows
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.tests import base
from troveclient_rpcping.tests import hostile

# Seconds for a reply that ends by itself. No machine needs this long.
LONG = 120.0
# Seconds for a reply that does not end. Any time gives "unknown".
SHORT = 0.2

# The kept size of a head, in bytes. libcurl reads 300 KB.
HEAD_LIMIT = 512 * 1024

DEAD_START = base.DEAD.partition(b'\r\n')[0]
DEAD_BODY = base.DEAD.partition(b'\r\n\r\n')[2]

# Bytes that may be read from an endless server. Most of them never leave
# the buffers of the kernel.
TAKEN = 24 * 1024 * 1024


# The parameters of a sweep that are seconds, or a number for each second.
LIMITS = ('timeout', 'deadline', 'rate', 'interval')


class TestCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.elsewhere = self.serve(base.PONG)
        self.server = hostile.Server(self.elsewhere.url)
        self.server.start()
        self.addCleanup(self.server.stop)

    @contextlib.contextmanager
    def manager(self) -> Any:
        """Lend a manager with its own connections."""
        trove = self.connect(self.server.url)
        try:
            yield trove.mgmt_instances
        finally:
            trove.client.session.session.close()

    def single(self, timeout: float = LONG) -> verdicts.Verdict:
        """Send a single ping; only documented exceptions may be raised."""
        with self.manager() as manager:
            try:
                manager.rpc_ping(base.GUEST, timeout=timeout)
            except exceptions.GuestUnreachable as error:
                self.assert_bounded(error.response)
                return verdicts.Verdict.UNREACHABLE
            except exceptions.GuestError as error:
                self.assert_bounded(error.response)
                return verdicts.Verdict.ERROR
            except trove_exceptions.HttpError as error:
                self.assert_bounded(error.response)
            except ksa_exceptions.ClientException as error:
                self.assertLess(len(str(error)), HEAD_LIMIT)
            else:
                return verdicts.Verdict.REACHABLE
        return verdicts.Verdict.UNKNOWN

    def swept(
        self, timeout: float = LONG, deadline: float | None = None
    ) -> verdicts.PingResult:
        """Ping in a sweep, which raises nothing."""
        with self.manager() as manager:
            result: verdicts.PingResult
            (result,) = manager.rpc_ping_each(
                [base.GUEST], timeout=timeout, deadline=deadline
            )
        self.assertEqual(base.GUEST, result.instance_id)
        self.assertEqual(
            result.verdict is verdicts.Verdict.REACHABLE,
            result.reason in (None, verdicts.Reason.NO_SUCH_METHOD),
        )
        self.assert_clean_text(result)
        return result

    def assert_bounded(self, reply: Any) -> None:
        self.assertLessEqual(len(reply.body), replies.BODY_LIMIT)
        self.assertLess(sum(map(len, reply.headers.values())), HEAD_LIMIT)

    def assert_clean_text(self, result: verdicts.PingResult) -> None:
        """Expect one short, clean line wherever people see a result."""
        self.assertLessEqual(len(result.message), HEAD_LIMIT)
        self.assertLess(len(result.request_id or ''), HEAD_LIMIT)
        target = outcomes.Target(
            base.GUEST, 'db-1', inventory.Instance(base.GUEST, 'db-1')
        )
        outcome = base.outcome(target, result)
        shown = [result.detail]
        shown += map(
            str,
            rows.row(outcome, formatter='json', columns=rows.LONG_COLUMNS),
        )
        if result.reason is not None:
            shown.append(report.sentence(outcome))
        for text in shown:
            self.assertTrue(text.isprintable(), repr(text))
            self.assertLess(len(text), 1000)


class BothWaysTest(TestCase):
    """The single ping and the sweep read the same replies."""

    def assert_judged(
        self, script: hostile.Script, deadline: float | None
    ) -> verdicts.Verdict:
        timeout = SHORT if script.stalls else LONG
        with self.server.plays(script):
            ways = {
                'single': self.single(timeout),
                'sweep': self.swept(timeout, deadline).verdict,
            }
        allowed = {script.best}
        if not script.clean:
            allowed.add(verdicts.Verdict.UNKNOWN)
        self.assertIn(ways['sweep'], allowed, str(ways))
        if script.cut_204:
            allowed.add(verdicts.Verdict.REACHABLE)
        self.assertIn(ways['single'], allowed, str(ways))
        # No other server got a token.
        self.assertEqual(0, self.elsewhere.connections)
        return ways['sweep']

    def test_no_reply_gets_a_better_verdict_than_it_deserves(self) -> None:
        """A clean reply is read right, and any other one never wrong."""
        seen: collections.Counter[verdicts.Verdict] = collections.Counter()

        @hostile.settings(250)
        @hypothesis.given(hostile.scripts())
        def judge_both_ways(script: hostile.Script) -> None:
            # A sweep waits for a rate limit, and 413 and 429 are alike.
            limited = any(
                code in script.message[:100_000] for code in (b'413', b'429')
            )
            if limited and script.best is not verdicts.Verdict.UNKNOWN:
                hypothesis.reject()
            seen[self.assert_judged(script, SHORT if limited else None)] += 1

        judge_both_ways()
        self.assertEqual(
            set(verdicts.Verdict), set(seen), 'the drawing is too poor'
        )

    def assert_both(
        self, message: bytes, best: verdicts.Verdict, *, clean: bool = True
    ) -> None:
        script = hostile.Script((message,), hostile.Ending.CLOSED, best, clean)
        self.assert_judged(script, None)

    def test_a_head_with_two_meanings_or_none_is_unknown(self) -> None:
        """Each of these heads once caused a wrong verdict."""
        start = b'HTTP/1.1 204 No Content\r\n'
        for lines in (
            b'Content-Length: 5\r\nContent-Length: 0\r\n\r\n',
            b'Content-Length: 0\r\n 5\r\n\r\n',
            b'no field\r\nContent-Length: 5\r\n\r\n',
            b'no field\r\nTransfer-Encoding: chunked\r\n\r\n',
            b'Content-Length:\r\n 5\r\n\r\nalive',
        ):
            self.assert_both(start + lines, verdicts.Verdict.UNKNOWN)
        for message in (
            b'HTTP/1.1 500 X\r\nX: a\r\n \r\nHTTP/1.1 204 a: b\r\n\r\n',
            b'HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n'
            b'0\r\nHTTP/1.1 204 a: b\r\n\r\n',
            b'HTTP/1.1 103 X\r\n\r\nHTTP/1.1 500 X\r\n\r\n',
            b'HTTP/1.1 2040 No Content\r\n\r\n',
            start + b'X: ' + b'y' * 400_000 + b'\r\n\r\n',
            b'SSH-2.0-OpenSSH_9.2\r\n',
            b'',
        ):
            self.assert_both(message, verdicts.Verdict.UNKNOWN)

    def test_a_head_that_breaks_off_is_not_an_answer(self) -> None:
        """libcurl would accept such a head."""
        for head in (b'HTTP/1.1 204 X\r\n', b'HTTP/1.1 204 X\r\nX: y\r\n'):
            script = hostile.Script(
                (head,), hostile.Ending.CLOSED, cut_204=True
            )
            self.assert_judged(script, None)

    def test_the_end_of_a_body_must_be_beyond_doubt(self) -> None:
        """The whole text of a dead guest does not suffice."""
        start, body = DEAD_START, DEAD_BODY
        count = len(body)
        for length in (
            b'Content-Length: %d' % (count + 1),
            b'Content-Length: -%d' % count,
            b'Content-Length: %d' % 10**30,
            b'Content-Length: many',
            b'Content-Length: %d\r\nContent-Length: 9' % count,
            b'Transfer-Encoding: identity\r\nContent-Length: %d' % count,
        ):
            message = b'\r\n'.join([start, length, b'', body])
            self.assert_both(message, verdicts.Verdict.UNKNOWN)
        chunk = b'%x\r\n%s\r\n' % (count, body)
        chunked = start + b'\r\nTransfer-Encoding: chunked\r\n'
        both = b'Content-Length: %d\r\n' % count
        for message in (
            chunked + b'\r\n' + chunk,
            chunked + both + b'\r\n' + chunk + b'0\r\n\r\n',
        ):
            self.assert_both(message, verdicts.Verdict.UNKNOWN)

    def test_a_whole_body_counts_in_every_form(self) -> None:
        """Proxies send chunks, trailers and empty encodings."""
        start, body = DEAD_START, DEAD_BODY
        chunk = b'%x\r\n%s\r\n0\r\n' % (len(body), body)
        chunked = start + b'\r\nTransfer-Encoding: chunked\r\n\r\n' + chunk
        for message in (
            base.DEAD,
            start + b'\r\n\r\n' + body,
            chunked + b'\r\n',
            chunked + b'X-Trailer: y\r\n\r\n',
            start + b'\r\nContent-Encoding: gzip\r\n\r\n' + body,
            b'HTTP/1.1 100 Continue\r\n\r\n' * 90 + base.DEAD,
            start + b'\r\nX-Folded: y\r\n z\r\n\r\n' + body,
        ):
            self.assert_both(message, verdicts.Verdict.UNREACHABLE)
        packed = gzip.compress(body)
        head = start + b'\r\nContent-Encoding: gzip\r\nContent-Length: %d'
        message = head % len(packed) + b'\r\n\r\n' + packed
        self.assert_both(message, verdicts.Verdict.UNKNOWN)

    def test_an_answer_from_a_cache_is_unknown(self) -> None:
        """The cached answer may be good or bad."""
        for message in (base.PONG, base.DEAD):
            head, _, body = message.partition(b'\r\n\r\n')
            for line in (b'Age: 7', b'X-Cache: HIT', b'Warning: 110 - "x"'):
                cached = b'\r\n'.join([head, line, b'', body])
                self.assert_both(cached, verdicts.Verdict.UNKNOWN)
        head = base.PONG.partition(b'\r\n\r\n')[0]
        self.assert_both(
            head + b'\r\nAge: 0\r\n\r\n', verdicts.Verdict.REACHABLE
        )

    def test_no_redirect_is_followed(self) -> None:
        """Neither is any other header with a URL."""
        for status in (300, 301, 302, 303, 305, 307, 308, 401, 407, 503):
            message = base.raw(
                f'{status} X',
                headers={
                    name: f'{hostile.ELSEWHERE.decode()}/x'
                    for name in ('Location', 'Refresh', 'Content-Location')
                },
            )
            self.assert_both(message, verdicts.Verdict.UNKNOWN)
        # requests fails on some addresses even without following them.
        for address in (b'http://[', b'\xff', b'http://x:y/', b'//', b'\x00'):
            head = b'HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: '
            self.assert_both(
                head + address + b'\r\n\r\n', verdicts.Verdict.UNKNOWN
            )

    def test_the_text_of_an_agent_is_clean(self) -> None:
        """Tenants may send any text to the terminals of operators."""
        for evil in hostile.EVIL:
            message = base.bad_request(f'{hostile.PREFIX}{evil} disk {evil}')
            self.assert_both(message, verdicts.Verdict.ERROR)

    def test_a_reply_that_stops_is_unknown(self) -> None:
        """It may stop anywhere, and be slow until then."""

        @hostile.settings(15)
        @hypothesis.given(hostile.stalling_scripts())
        def judge_both_ways(script: hostile.Script) -> None:
            # Without a deadline, the sweep waits for the listing, too.
            self.assert_judged(script, 5 * SHORT)

        judge_both_ways()

    def test_data_after_a_reply_is_not_the_next_answer(self) -> None:
        """A late answer must not become the answer of another guest."""
        for strange in (
            b'HTTP/1.1 103 Early Hints\r\n\r\n',
            b'HTTP/1.1 199 Own\r\n\r\n',
            b'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n',
            b'HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n',
        ):
            before = self.server.connections
            script = hostile.Script((strange,), hostile.Ending.KEPT)
            with self.server.plays(script), self.manager() as manager:
                for guest in (base.GUEST, base.OTHER):
                    self.assertRaises(
                        trove_exceptions.HttpError, manager.rpc_ping, guest
                    )
            connections = self.server.connections - before
            self.assertEqual(2, connections, repr(strange))


class NoEndTest(TestCase):
    """An endless reply is given up, and little of it is kept."""

    def endless(self, head: bytes, filler: bytes) -> hostile.Script:
        return hostile.Script((head,), hostile.Ending.ENDLESS, filler=filler)

    def bodies(self) -> dict[str, hostile.Script]:
        status = b'HTTP/1.1 400 Bad Request\r\n'
        chunked = status + b'Transfer-Encoding: chunked\r\n\r\n'
        last = chunked + b'%x\r\n%s\r\n0\r\n' % (len(DEAD_BODY), DEAD_BODY)
        return {
            'a body': self.endless(status + b'\r\n', b'x' * 65536),
            'chunks': self.endless(
                chunked, b'8000\r\n' + b'x' * 0x8000 + b'\r\n'
            ),
            'small chunks': self.endless(chunked, b'1\r\nx\r\n' * 8192),
            'the size of a chunk': self.endless(chunked, b'1' * 65536),
            'what goes with a chunk': self.endless(
                chunked + b'5;', b'x' * 65536
            ),
            'trailers': self.endless(last, b'X: y\r\n' * 8192),
            'one trailer': self.endless(last + b'X: ', b'y' * 65536),
            'a redirect': self.endless(
                b'HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n', b'x' * 65536
            ),
            'a header': self.endless(status + b'X: ', b'y' * 65536),
            'headers': self.endless(status, b'X: y\r\n' * 8192),
            'the status': self.endless(b'HTTP/1.1 400 ', b'y' * 65536),
        }

    def assert_given_up(
        self, what: str, ping: Any, script: hostile.Script
    ) -> None:
        self.server.taken = 0
        tracemalloc.start()
        try:
            with self.server.plays(script):
                ping()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(self.server.taken, TAKEN, what)
        self.assertLess(peak, 16 * 1024 * 1024, what)

    def test_a_single_ping_does_not_read_for_ever(self) -> None:
        """Any part of the reply may go on, at any speed."""

        def ping() -> None:
            self.assertEqual(verdicts.Verdict.UNKNOWN, self.single())

        scripts = self.bodies()
        # http.client reads on, and keeps none of this.
        del scripts['trailers']
        for what, script in scripts.items():
            self.assert_given_up(what, ping, script)

    def test_a_sweep_does_not_read_for_ever(self) -> None:
        """There may also be 1xx heads without a reply."""

        def ping() -> None:
            self.assertEqual(verdicts.Verdict.UNKNOWN, self.swept().verdict)

        early = b'HTTP/1.1 100 Continue\r\n\r\n'
        scripts = {**self.bodies(), '1xx': self.endless(early, early * 2000)}
        # libcurl keeps none of this, and reads on until the timeout.
        del scripts['what goes with a chunk']
        for what, script in scripts.items():
            self.assert_given_up(what, ping, script)

    def test_a_listing_does_not_read_for_ever(self) -> None:
        """The size of a page is bounded, too."""
        head = b'HTTP/1.1 200 OK\r\n\r\n'
        script = self.endless(head, b'[' * 65536)
        with self.server.plays(script), self.manager() as manager:
            self.assertRaises(exceptions.ListingFailed, manager.list_all)
        self.assertLess(self.server.taken, 2 * TAKEN)


class ListingTest(TestCase):
    """Listings of the same servers."""

    def test_a_listing_is_read_right_or_not_at_all(self) -> None:
        """All its instances are read, or an exception says why not."""
        page = json.dumps(
            {'instances': [{'id': base.GUEST}, {'id': base.OTHER}]}
        )
        body = page.encode()
        seen: collections.Counter[bool] = collections.Counter()

        @hostile.settings(60)
        @hypothesis.given(hostile.scripts_with(200, body))
        def read(script: hostile.Script) -> None:
            with self.server.plays(script), self.manager() as manager:
                try:
                    found = manager.list_all(LONG)
                except exceptions.ListingFailed as error:
                    self.assertTrue(str(error).isprintable(), str(error))
                    self.assertLess(len(str(error)), 1000)
                    self.assertFalse(script.clean)
                    seen[False] += 1
                    return
            self.assertEqual(
                [base.GUEST, base.OTHER], [each.id for each in found]
            )
            seen[True] += 1

        read()
        self.assertEqual({True, False}, set(seen), 'the drawing is too poor')
        self.assertEqual(0, self.elsewhere.connections)

    def test_json_of_any_shape_is_a_listing_or_is_refused(self) -> None:
        """Each field of an instance is text or missing."""

        @hostile.settings(300)
        @hypothesis.given(hostile.listings())
        def read(body: bytes) -> None:
            reply = replies.Reply(200, {}, body)
            try:
                found = inventory.list_instances(lambda path: reply)
            except exceptions.ListingFailed as error:
                self.assertTrue(str(error).isprintable(), str(error))
                return
            for instance in found:
                self.assertIsInstance(instance.id, str)
                for name in ('name', 'project_id', 'datastore', 'status'):
                    self.assertIsInstance(
                        getattr(instance, name), (str, type(None))
                    )

        read()


class GateTest(testtools.TestCase):
    def test_a_gate_always_opens_again(self) -> None:
        """A pause lasts minutes at most, and no rate is zero."""
        pick = strategies.sampled_from
        refusal = strategies.tuples(
            pick(hostile.PAUSES) | strategies.floats().map(str),
            pick(['second', 'minute', 'day', 'x']),
            strategies.integers(0, 10**12),
            strategies.floats(0, 100),
        )

        @hostile.settings(200)
        @hypothesis.given(strategies.lists(refusal, max_size=30))
        def refuse(refusals: list[tuple[str, str, int, float]]) -> None:
            told: list[limits.Throttle] = []
            gate = pacing.Gate(on_throttle=told.append)
            now = 0.0
            for pause, period, limit, seconds in refusals:
                now += gate.pause(now) + seconds
                era = gate.sent(now)
                if seconds > 90:
                    gate.admitted(era)
                    continue
                words = f'Only {limit} GET request(s) can be made to * every '
                body = f'{words}{period}.'.encode()
                reply = replies.Reply(413, {'retry-after': pause}, body)
                self.assertLessEqual(gate.refused(now, era, reply), 120)
                self.assertLessEqual(gate.pause(now), 300)
            for throttle in told:
                self.assertGreater(throttle.rate, 0)
                self.assertLess(throttle.rate, float('inf'))
                self.assertLessEqual(throttle.pause, 300)

        refuse()


class NumbersTest(base.TestCase):
    """Limits of Python callers that make little sense."""

    def test_an_absurd_limit_is_refused_at_once(self) -> None:
        """The ping, the sweep and the listing refuse it unsent."""
        server = self.serve(base.PONG)
        manager = self.connect(server.url).mgmt_instances
        for number in (0, -1, float('nan'), float('-inf')):
            self.assertRaises(
                ValueError, manager.rpc_ping, base.GUEST, timeout=number
            )
            self.assertRaises(ValueError, manager.list_all, number)
            for method, names in (
                (manager.rpc_ping_each, (*LIMITS, 'count', 'concurrency')),
                (manager.rpc_ping_until_reachable, ('interval', 'stable')),
            ):
                for name in names:
                    self.assertRaises(
                        ValueError, method, [base.GUEST], **{name: number}
                    )
        self.assertEqual([], server.requests)

    def test_a_huge_limit_is_no_limit(self) -> None:
        """A huge number does not overflow a clock."""
        server = self.serve(base.PONG)
        manager: Any = self.connect(server.url).mgmt_instances
        for number in (1e9, 1e308, float('inf')):
            self.assertIsNone(manager.rpc_ping(base.GUEST, timeout=number))
            for name in LIMITS:
                (result,) = manager.rpc_ping_each(
                    [base.GUEST], **{name: number}
                )
                self.assertEqual(
                    verdicts.Verdict.REACHABLE, result.verdict, name
                )

    def test_letters_that_http_cannot_send_are_an_error(self) -> None:
        """The error names the endpoint or the token, and the advice."""
        server = self.serve(base.PONG)
        for url, token, words in (
            (f'{server.url}/ä', 'x', '%C3%A4'),
            ('http://bücher.invalid/v1.0', 'x', 'xn--'),
            (server.url, 'tökén-€', 'check where it is set'),
        ):
            trove = self.connect(url)
            trove.client.session.auth.get_token = lambda s, token=token: token
            manager = trove.mgmt_instances
            for call in (
                lambda manager: manager.rpc_ping(base.GUEST),
                lambda manager: list(manager.rpc_ping_each([base.GUEST])),
                management.Management.list_all,
            ):
                error = self.assertRaises(
                    ksa_exceptions.ClientException, call, manager
                )
                self.assertIn(words, str(error))
                self.assertTrue(str(error).isprintable())
        self.assertEqual([], server.requests)
