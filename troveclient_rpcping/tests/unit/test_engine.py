# SPDX-License-Identifier: Apache-2.0

"""The engine and its login, without a sweep."""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Iterator
import itertools
import math
import threading
import time
from typing import Any
from typing import NamedTuple

from keystoneauth1 import exceptions as ksa_exceptions

from troveclient_rpcping import reply as replies
from troveclient_rpcping.engine import access as engine_access
from troveclient_rpcping.engine import engine as engines
from troveclient_rpcping.engine import pacing
from troveclient_rpcping.tests import base

# Seconds. No request here takes this long.
LONG = 120.0

BAD_TOKEN = base.raw('401 Unauthorized', b'{"error": "token"}')
LOGIN_FAILED = 'The token expired, and a new login failed'
BUSY = base.raw('413 Too Large', headers={'Retry-After': '0.01'})


class Answer(NamedTuple):
    question: replies.Question
    reply: replies.Reply | replies.NoReply
    arrived: float
    rtt: float | None


class Script:
    """An agenda: one request for each key, in the order of the keys.

    :param keys: the keys to request.
    :param most: the greatest number of requests under way.
    :param due: the time of the first request, on the clock of the engine.
    :param fresh: the keys that need a new connection.
    :param bounds: further parameters of each question.
    """

    def __init__(
        self,
        keys: Any,
        *,
        most: int = 1,
        due: float = 0.0,
        fresh: str = '',
        **bounds: Any,
    ):
        self.todo = collections.deque(keys)
        self.most = most
        self.due = due
        self.fresh = fresh
        self.bounds = {'timeout': LONG, **bounds}
        self.flight: dict[replies.Question, float] = {}
        self.answers: list[Answer] = []
        self.pauses: list[float] = []
        self.ends: list[str] = []

    @property
    def done(self) -> bool:
        return bool(self.ends) or not (self.todo or self.flight)

    def next(self, now: float) -> replies.Question | None:
        full = len(self.flight) >= self.most
        if self.done or not self.todo or now < self.due or full:
            return None
        key = self.todo.popleft()
        question = replies.Question(
            replies.Purpose.GUEST,
            f'/{key}',
            key,
            fresh=key in self.fresh,
            **self.bounds,
        )
        self.flight[question] = now
        return question

    def wakes(self, now: float) -> float:
        return self.due if self.todo and self.due > now else math.inf

    def unsent(
        self, question: replies.Question, now: float, pause: float
    ) -> None:
        del self.flight[question]
        self.pauses.append(pause)
        self.todo.appendleft(question.instance_id)
        self.due = now + pause

    def answered(self, question: replies.Question, *answer: Any) -> None:
        del self.flight[question]
        self.answers.append(Answer(question, *answer))

    def end(self, why: str, now: float, *, late: bool = False) -> None:
        self.ends.append(why)

    def keys(self) -> list[str]:
        """Return the keys of the answers, in their order."""
        return [each.question.instance_id for each in self.answers]

    def outcomes(self) -> list[Any]:
        """Return the status of each answer, or the kind of its failure."""
        return [
            each.reply.status
            if isinstance(each.reply, replies.Reply)
            else each.reply.kind
            for each in self.answers
        ]


class EngineTest(base.TestCase):
    def start(
        self, answer: Any, agenda: Script, **kwargs: Any
    ) -> Generator[None]:
        """Return an engine under way; nothing is sent yet."""
        self.server = self.serve(answer)
        self.trove = self.connect(self.server.url)
        turns = engines.Engine(
            engine_access.Access(self.trove), agenda, **kwargs
        ).run()
        self.addCleanup(turns.close)
        return turns

    def run_all(self, answer: Any, agenda: Script, **kwargs: Any) -> Script:
        """Let an engine run to its end."""
        for _ in self.start(answer, agenda, **kwargs):
            continue
        return agenda

    def asked(self) -> list[str]:
        """Return the keys of the server's requests, in their order."""
        return [
            request[0].rpartition('/')[2] for request in self.server.requests
        ]

    def silent(self, request: base.Request) -> None:
        self.server.done.wait()

    def test_questions_are_sent_in_the_order_of_the_agenda(self) -> None:
        """An agenda may allow one question at a time."""
        agenda = self.run_all(base.PONG, Script('abcd'))
        self.assertEqual(['a', 'b', 'c', 'd'], self.asked())
        self.assertEqual(['a', 'b', 'c', 'd'], agenda.keys())
        self.assertEqual([204] * 4, agenda.outcomes())
        self.assertEqual([], agenda.ends)
        self.assertEqual(1, self.server.connections)

    def test_an_answer_says_when_it_arrived_and_how_long_it_took(self) -> None:
        """A request without a reply has no round-trip time."""

        def slow(request: base.Request) -> bytes | None:
            time.sleep(0.2)
            return base.PONG if request[0].endswith('a') else None

        before = time.monotonic()
        agenda = self.run_all(slow, Script('ab'))
        good, lost = agenda.answers
        assert good.rtt is not None
        self.assertLessEqual(before + good.rtt, good.arrived)
        self.assertLessEqual(good.arrived, lost.arrived)
        # libcurl's clock for it may start after the request has gone.
        self.assertGreaterEqual(good.rtt, 0.05)
        self.assertIsNone(lost.rtt)

    def three_together(self) -> tuple[Any, type[Script]]:
        """Return how a server answers, and a kind of agenda.

        The answers to "b", "c" and "d" are all there when the agenda has
        taken that to "a".
        """
        asked = threading.Barrier(4)
        first_taken = threading.Event()
        sent = threading.Semaphore(0)

        def answer(request: base.Request) -> Iterator[bytes]:
            asked.wait(LONG)
            if request[0].endswith('a'):
                yield base.PONG
                return
            first_taken.wait(LONG)
            yield base.PONG
            sent.release()

        class Slow(Script):
            def answered(self, *answer: Any) -> None:
                super().answered(*answer)
                if not first_taken.is_set():
                    first_taken.set()
                    for _ in range(3):
                        sent.acquire(timeout=LONG)
                now = time.monotonic()
                while time.monotonic() <= now:
                    time.sleep(0.001)

        return answer, Slow

    def test_answers_that_came_together_arrived_at_the_same_time(
        self,
    ) -> None:
        """The agenda's own time does not count."""
        answer, slow = self.three_together()
        agenda = self.run_all(answer, slow('abcd', most=4))
        self.assertEqual('a', agenda.keys()[0])
        self.assertEqual(1, len({each.arrived for each in agenda.answers[1:]}))

    def test_the_agenda_is_asked_again_when_it_wakes(self) -> None:
        """The engine sleeps until then."""
        due = time.monotonic() + 0.3
        agenda = self.run_all(base.PONG, Script('a', due=due))
        self.assertGreaterEqual(agenda.answers[0].arrived, due)

    def test_each_question_has_its_own_bounds(self) -> None:
        """The bounds are the timeout and the size of the kept body."""
        agenda = self.run_all(
            base.raw('200 OK', b'x' * 50), Script('a', limit=10)
        )
        reply = agenda.answers[0].reply
        assert isinstance(reply, replies.Reply)
        self.assertEqual((False, 10), (reply.complete, len(reply.body)))
        agenda = self.run_all(self.silent, Script('a', timeout=0.1))
        self.assertEqual([replies.Failure.TIMEOUT], agenda.outcomes())

    def test_a_slow_caller_loses_no_reply(self) -> None:
        """The time between two turns is not a part of any timeout.

        When the caller comes back, "b" has its reply, "c" has none, and "d"
        has a connection that nobody has used.
        """
        timeout = 1.0
        back, sent = threading.Event(), threading.Event()

        def answer(request: base.Request) -> Iterator[bytes]:
            if request[0].endswith('c'):
                self.server.done.wait()
            if request[0].endswith('b'):
                back.wait(LONG)
            yield base.PONG
            if request[0].endswith('b'):
                sent.set()

        agenda = Script('abcd', most=3, fresh='d', timeout=timeout)
        for _ in self.start(answer, agenda):
            if agenda.answers and not sent.is_set():
                back.set()
                sent.wait(LONG)
                time.sleep(timeout)
        outcomes = dict(zip(agenda.keys(), agenda.outcomes(), strict=True))
        self.assertEqual(
            {'a': 204, 'b': 204, 'c': replies.Failure.TIMEOUT, 'd': 204},
            outcomes,
        )
        self.assertEqual('c', agenda.keys()[-1])

    def test_a_deadline_ends_all_questions(self) -> None:
        """Requests under way end with it; no further one is sent."""
        for deadline, sent in ((-1.0, 0), (0.2, 1)):
            agenda = self.run_all(
                self.silent,
                Script('ab'),
                deadline=deadline,
                # The time passes when the request has come.
                clock=lambda: 0.2 * len(self.server.requests),
            )
            self.assertEqual(sent, len(self.asked()))
            self.assertEqual(sent, len(agenda.flight))
            self.assertEqual([], agenda.answers)
            self.assertEqual(
                ['The deadline passed before an answer came'], agenda.ends
            )

    def test_another_thread_can_end_all_questions(self) -> None:
        """The end does not wait for a reply, nor for a closed gate."""
        slow = base.raw('413 Too Large', headers={'Retry-After': '120'})
        for answer in (self.silent, slow):
            cancel = threading.Event()
            agenda = Script('a')
            began = time.monotonic()
            turns = self.start(answer, agenda, cancel=cancel)
            threading.Timer(0.3, cancel.set).start()
            for _ in turns:
                continue
            self.assertEqual(['a'], self.asked())
            self.assertEqual(
                ['The sweep was cancelled before an answer came'], agenda.ends
            )
            self.assertLess(time.monotonic() - began, LONG / 2)

    def test_an_agenda_that_is_done_ends_the_engine(self) -> None:
        """The agenda does not get the answers under way."""
        started = threading.Event()

        def answer(request: base.Request) -> bytes | None:
            if request[0].endswith('b'):
                started.set()
                self.server.done.wait()
                return None
            started.wait(LONG)
            return base.PONG

        class Hasty(Script):
            @property
            def done(self) -> bool:
                return bool(self.answers)

        agenda = self.run_all(answer, Hasty('ab', most=2))
        self.assertEqual(['a'], agenda.keys())
        self.assertEqual(1, len(agenda.flight))

    def test_answers_that_came_with_the_end_are_dropped(self) -> None:
        """The agenda has made its results by then."""
        answer, slow = self.three_together()

        class Ending(slow):  # type: ignore[valid-type, misc]
            def answered(self, *answer: Any) -> None:
                super().answered(*answer)
                if len(self.answers) == 2:
                    self.end('It is enough', 0.0)

        agenda = self.run_all(answer, Ending('abcd', most=4))
        self.assertEqual(2, len(agenda.answers))

    def test_a_throttled_request_goes_back_to_the_agenda(self) -> None:
        """The agenda gets the pause, and the retry takes a new connection.

        A new connection may reach another process.
        """
        busy = iter([BUSY, BUSY.replace(b'413', b'429')])
        body = b'Only 900 GET request(s) can be made to * every second.'
        gate = pacing.Gate()
        # The gate knows the rate of the server.
        now = time.monotonic()
        gate.refused(now, gate.sent(now), replies.Reply(413, {}, body))
        agenda = self.run_all(
            lambda request: next(busy, base.PONG), Script('a'), gate=gate
        )
        self.assertEqual([204], agenda.outcomes())
        self.assertEqual([0.01, 0.01], agenda.pauses)
        self.assertEqual(['a', 'a', 'a'], self.asked())
        self.assertEqual(3, self.server.connections)

    def test_a_server_that_refuses_everything_ends_the_sweep(self) -> None:
        """The end comes after minutes on the clock of the engine."""
        now = 1000.0
        refused = base.raw('429 Slow', headers={'Retry-After': '5'})

        class Patient(Script):
            def unsent(
                self, question: replies.Question, then: float, pause: float
            ) -> None:
                nonlocal now
                super().unsent(question, then, pause)
                now += pause

        agenda = self.run_all(
            refused, Patient('a', due=now), clock=lambda: now
        )
        self.assertEqual(
            ['The rate limit of the API lets nothing through'], agenda.ends
        )
        self.assertGreater(now - 1000, pacing.STARVED)
        self.assertLess(now - 1000, pacing.STARVED + 20)
        self.assertEqual([], agenda.answers)

    def test_an_old_token_is_renewed_and_its_request_sent_again(self) -> None:
        """The request is repeated once, without a pause."""
        answers = iter([base.PONG, BAD_TOKEN])
        agenda = self.run_all(
            lambda request: next(answers, base.PONG), Script('abc')
        )
        self.assertEqual([204] * 3, agenda.outcomes())
        self.assertEqual([0.0], agenda.pauses)
        self.assertEqual(['a', 'b', 'b', 'c'], self.asked())
        self.assertEqual(2, self.trove.client.session.auth.logins)

    def test_a_token_may_expire_again_and_again(self) -> None:
        """Each ping of a long run is answered."""
        taken: collections.Counter[str] = collections.Counter()

        def answer(request: base.Request) -> bytes:
            token = request.headers['x-auth-token']
            taken[token] += 1
            return base.PONG if taken[token] <= 2 else BAD_TOKEN

        # A minute passes each time that the clock is read.
        clock = itertools.count(0.0, 60.0)
        agenda = self.run_all(
            answer, Script('a' * 14), clock=lambda: next(clock)
        )
        self.assertEqual([204] * 14, agenda.outcomes())
        self.assertEqual(7, len(taken))

    def test_a_failed_login_ends_the_engine(self) -> None:
        """An engine whose login may fail goes on with the old token."""
        for may_fail, outcomes, ends in (
            (False, [], [f'{LOGIN_FAILED}: Keystone is gone']),
            (True, [401] * 3, []),
        ):
            agenda = Script('abc')
            turns = self.start(BAD_TOKEN, agenda, login_may_fail=may_fail)
            base.lose_keystone(self.trove)
            for _ in turns:
                continue
            self.assertEqual(outcomes, agenda.outcomes())
            self.assertEqual(ends, agenda.ends)

    def test_a_slow_source_of_guests_costs_no_ping_its_time(self) -> None:
        """A ping does not time out while the agenda takes its time."""

        class Slow(Script):
            def next(self, now: float) -> replies.Question | None:
                if self.flight and self.todo:
                    time.sleep(0.2)
                return super().next(now)

        agenda = Slow('ab', most=2, timeout=0.1, fresh='ab')
        for _ in self.start(base.PONG, agenda):
            continue
        self.assertEqual([204, 204], agenda.outcomes())


def at(now: float) -> Callable[[], float]:
    return lambda: now


class TokenTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.trove = self.connect('http://127.0.0.1:9')
        self.login = self.trove.client.session.auth
        self.access = engine_access.Access(self.trove)
        self.access.log_in()

    def test_all_requests_with_one_token_cost_one_login(self) -> None:
        """A late refusal leads to the present token."""
        old = self.access.headers
        for _ in range(6):
            self.assertTrue(self.access.renewed(old, lambda: 0.0))
        self.assertNotEqual(old, self.access.headers)
        self.assertEqual(2, self.login.logins)

    def test_a_new_token_that_is_refused_is_not_renewed_at_once(self) -> None:
        """An API that refuses every token must not flood Keystone."""
        for now, renewed in ((0.0, True), (4.9, False), (5.0, True)):
            self.assertEqual(
                renewed,
                self.access.renewed(self.access.headers, at(now)),
            )
        self.assertEqual(3, self.login.logins)

    def test_the_pause_begins_after_the_login(self) -> None:
        """A slow login does not lead to the next one."""
        times = iter((0.0, 6.0, 6.1))
        for renewed in (True, False):
            self.assertEqual(
                renewed,
                self.access.renewed(self.access.headers, times.__next__),
            )

    def test_a_pause_follows_a_failed_login(self) -> None:
        """Not every ping causes a login."""
        base.lose_keystone(self.trove)
        headers = self.access.headers
        for now in (0.0, 5.0):
            self.assertRaises(
                ksa_exceptions.ConnectFailure,
                self.access.renewed,
                headers,
                at(now),
            )
            self.assertFalse(self.access.renewed(headers, at(now + 4.9)))
