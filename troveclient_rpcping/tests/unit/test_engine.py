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

"""The engine and its login, by themselves: what is asked, when, and again."""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Iterator
import threading
import time
import types
from typing import Any

from keystoneauth1 import exceptions as ksa_exceptions
import testtools

from troveclient_rpcping.fleet import engine
from troveclient_rpcping.fleet import login as login_module
from troveclient_rpcping.fleet.access import Access
from troveclient_rpcping.fleet.engine import Answer
from troveclient_rpcping.fleet.engine import Engine
from troveclient_rpcping.fleet.engine import Run
from troveclient_rpcping.fleet.login import Login
from troveclient_rpcping.fleet.login import refuses_user
from troveclient_rpcping.fleet.loop import Loop
from troveclient_rpcping.fleet.pacing import Gate
from troveclient_rpcping.reply import NoReply
from troveclient_rpcping.reply import Reply
from troveclient_rpcping.tests import base

# Seconds that no request here takes.
LONG = 120.0

BAD_TOKEN = base.raw('401 Unauthorized', b'{"error": "token"}')
NOT_ADMIN = base.fault(
    '401 Unauthorized', 'unauthorized', 'User does not have admin privileges.'
)
BUSY = base.raw('413 Too Large', headers={'Retry-After': '0.01'})


class TestCase(base.TestCase):
    def engine(
        self,
        answer: Any,
        *,
        concurrency: int = 1,
        timeout: float = LONG,
        gate: Gate | None = None,
    ) -> Engine:
        self.server = self.serve(answer)
        self.trove = self.connect(self.server.url)
        access = Access(self.trove)
        return Engine(
            access, concurrency=concurrency, timeout=timeout, gate=gate
        )

    def ask(
        self, engine: Engine, keys: Any, **kwargs: Any
    ) -> tuple[Run, Iterator[Answer]]:
        run = engine.run(keys, '/{}'.format, **kwargs)
        answers = run.answers()
        self.addCleanup(answers.close)
        return run, answers

    def asked(self) -> list[str]:
        """Return the keys that the server was asked for, in their order."""
        return [
            request[0].rpartition('/')[2] for request in self.server.requests
        ]

    def outcome(self, answer: Answer) -> Any:
        reply = answer.reply
        return reply.status if isinstance(reply, Reply) else reply.kind


class EngineTest(TestCase):
    def test_keys_are_asked_in_their_order(self) -> None:
        """One by one, if one at a time is all that may be under way."""
        _, answers = self.ask(self.engine(base.PONG), 'abcd')
        found = list(answers)
        self.assertEqual(['a', 'b', 'c', 'd'], [each.key for each in found])
        self.assertEqual(['a', 'b', 'c', 'd'], self.asked())
        self.assertEqual([204] * 4, [self.outcome(each) for each in found])
        self.assertEqual(1, self.server.connections)

    def test_an_answer_says_when_it_was_sent_and_how_long_it_took(
        self,
    ) -> None:
        """On the clock of the caller; a lost one took no time."""

        def slow(request: base.Request) -> bytes | None:
            time.sleep(0.05)
            return base.PONG if request[0].endswith('a') else None

        before = time.monotonic()
        _, answers = self.ask(self.engine(slow), 'ab')
        good, lost = answers
        assert good.sent is not None
        assert good.rtt is not None
        self.assertGreaterEqual(good.sent, before)
        self.assertLessEqual(good.sent + good.rtt, time.monotonic())
        self.assertGreaterEqual(good.rtt, 0.05)
        self.assertIsNone(lost.rtt)
        self.assertFalse(good.check or lost.check)
        self.assertFalse(hasattr(good, '__dict__'), 'there are many')

    def test_a_slow_reader_does_not_make_answers_late(self) -> None:
        """Those that ended together arrived at the same time."""

        class Gathering(Loop):
            def wait(self, timeout: float | None) -> Any:
                ended: list[Any] = []
                while len(ended) < 3:
                    ended += super().wait(timeout)
                return ended

        self.patch(engine, 'Loop', Gathering)
        _, answers = self.ask(self.engine(base.PONG, concurrency=3), 'abc')
        first = next(answers)
        now = time.monotonic()
        while time.monotonic() <= now:
            time.sleep(0.001)
        self.assertEqual(
            [first.arrived] * 2, [each.arrived for each in answers]
        )

    def test_as_many_as_may_be_are_under_way(self) -> None:
        """All of them answer only once the last has been asked."""
        together = threading.Barrier(3)

        def answer(request: base.Request) -> bytes:
            together.wait(LONG)
            return base.PONG

        _, answers = self.ask(self.engine(answer, concurrency=3), 'abcdef')
        self.assertEqual(6, len(list(answers)))

    def test_nothing_is_asked_after_the_deadline(self) -> None:
        """Every key has its answer all the same, and says why."""
        _, answers = self.ask(
            self.engine(base.PONG, concurrency=2),
            'abcd',
            deadline=time.monotonic() - 1,
        )
        found = list(answers)
        self.assertEqual(['a', 'b', 'c', 'd'], [each.key for each in found])
        self.assertEqual(
            {NoReply.NOT_ASKED}, {self.outcome(each) for each in found}
        )
        self.assertEqual([], self.server.requests)
        reply = found[0].reply
        assert isinstance(reply, NoReply)
        self.assertIn('deadline', reply.message)

    def test_a_deadline_ends_what_is_under_way(self) -> None:
        """And not before its time."""

        def silent(request: base.Request) -> None:
            self.server.done.wait()

        end = time.monotonic() + 0.2
        _, answers = self.ask(self.engine(silent), 'ab', deadline=end)
        found = list(answers)
        self.assertGreaterEqual(time.monotonic(), end)
        self.assertEqual(
            [NoReply.NOT_ASKED] * 2, [self.outcome(each) for each in found]
        )

    def test_an_end_answers_for_each_key_once(self) -> None:
        """What is under way, to be asked again, read ahead, and not read."""

        def answer(request: base.Request) -> bytes | None:
            if not request[0].endswith('a'):
                self.server.done.wait()
            return base.PONG

        run, answers = self.ask(self.engine(answer, concurrency=2), 'abcdef')
        first = next(answers)
        run.ask_again('a', time.monotonic() + LONG)
        run.end('first')
        run.end('second')
        rest = list(answers)
        self.assertEqual('a', first.key)
        self.assertCountEqual('abcdef', [each.key for each in rest])
        self.assertFalse(any(each.check for each in rest))
        self.assertEqual(
            {NoReply(NoReply.NOT_ASKED, 'first')},
            {each.reply for each in rest},
        )

    def test_what_is_to_be_asked_again_is_not_asked_before(self) -> None:
        """Nor are the others held up by it."""
        run, answers = self.ask(self.engine(base.PONG), 'ab')
        next(answers)
        due = time.monotonic() + 0.3
        run.ask_again('a', due)
        keys = [(each.key, each.sent or 0) for each in answers]
        self.assertEqual(['b', 'a'], [key for key, _ in keys])
        self.assertGreaterEqual(keys[1][1], due)

    def test_what_is_due_first_is_asked_again_first(self) -> None:
        """However late others are due."""
        run, answers = self.ask(
            self.engine(base.PONG), 'a', deadline=time.monotonic() + LONG
        )
        next(answers)
        run.ask_again('late', time.monotonic() + 10 * LONG)
        run.ask_again('soon', time.monotonic() + 0.05)
        soon = next(answers)
        self.assertEqual(('soon', 204), (soon.key, self.outcome(soon)))

    def test_a_rate_is_kept_up(self) -> None:
        """Each one is sent when its time comes, not at the next occasion."""
        started = time.monotonic()
        engine = self.engine(base.PONG, gate=Gate(rate=40))
        _, answers = self.ask(engine, map(str, range(41)))
        self.assertEqual(41, len(list(answers)))
        self.assertGreaterEqual(time.monotonic() - started, 0.99)
        # At the next full second for each it would take 41.
        self.assertLess(time.monotonic() - started, 30)

    def test_what_is_due_again_comes_before_new_keys(self) -> None:
        """The earliest first."""
        run, answers = self.ask(self.engine(base.PONG), 'abcd')
        self.assertEqual('a', next(answers).key)
        now = time.monotonic()
        run.ask_again('later', now - 1)
        run.ask_again('sooner', now - 2)
        self.assertEqual(
            ['sooner', 'later', 'b', 'c', 'd'],
            [each.key for each in answers],
        )

    def test_the_patient_ask_everybody_before_anybody_again(self) -> None:
        """Otherwise those who never answer would take all the places."""
        run, answers = self.ask(self.engine(base.PONG), 'abc', patient=True)
        for answer in answers:
            if len(self.asked()) < 6:
                run.ask_again(answer.key, time.monotonic())
        self.assertEqual('abcabc', ''.join(self.asked())[:6])

    def test_a_throttled_key_is_asked_until_it_is_let_through(self) -> None:
        """By new connections, for they may reach another process."""
        busy = iter([BUSY, BUSY.replace(b'413', b'429')])
        body = b'Only 900 GET request(s) can be made to * every second.'
        gate = Gate()
        # It knows the rate of the server.
        now = time.monotonic()
        gate.refused(now, gate.sent(now), Reply(413, {}, body))
        engine = self.engine(lambda request: next(busy, base.PONG), gate=gate)
        _, answers = self.ask(engine, 'a')
        (found,) = answers
        self.assertEqual(204, self.outcome(found))
        self.assertEqual(3, len(self.server.requests))
        self.assertEqual(3, self.server.connections)

    def test_a_user_who_is_refused_ends_it(self) -> None:
        """The answer that says so is told, and no login follows."""
        _, answers = self.ask(self.engine(NOT_ADMIN), 'abc')
        self.assertEqual(
            [401, NoReply.NOT_ASKED, NoReply.NOT_ASKED],
            [self.outcome(each) for each in answers],
        )
        self.assertEqual(1, self.trove.client.session.auth.logins)

    def test_an_old_token_is_renewed_and_its_key_asked_again(self) -> None:
        """At once, and once."""
        replies = iter([base.PONG, BAD_TOKEN])
        _, answers = self.ask(
            self.engine(lambda request: next(replies, base.PONG)), 'abc'
        )
        self.assertEqual([204] * 3, [self.outcome(each) for each in answers])
        self.assertEqual(['a', 'b', 'b', 'c'], self.asked())
        self.assertEqual(2, self.trove.client.session.auth.logins)

    def lose_keystone(self) -> None:
        login = self.trove.client.session.auth
        get_token = login.get_token

        def gone(session: Any) -> Any:
            if login.logins:
                raise ksa_exceptions.ConnectFailure('Keystone is gone')
            return get_token(session)

        login.get_token = gone

    def test_a_token_may_expire_as_often_as_it_likes(self) -> None:
        """In a run of many pings for one key, each of them is answered."""
        taken: collections.Counter[str] = collections.Counter()

        def answer(request: base.Request) -> bytes:
            token = request.headers['x-auth-token']
            taken[token] += 1
            return base.PONG if taken[token] <= 2 else BAD_TOKEN

        run, answers = self.ask(self.engine(answer), 'a')
        outcomes = []
        for each in answers:
            outcomes.append(self.outcome(each))
            if len(outcomes) < 14:
                run.ask_again('a', 0.0)
        self.assertEqual([204] * 14, outcomes)
        self.assertEqual(7, len(taken))

    def test_a_login_that_fails_ends_it(self) -> None:
        """Unless there is patience: then it goes on without."""
        for patient, expected in (
            (False, [NoReply.NOT_ASKED] * 3),
            (True, [401] * 3),
        ):
            engine = self.engine(BAD_TOKEN)
            self.lose_keystone()
            _, answers = self.ask(engine, 'abc', patient=patient)
            self.assertEqual(
                expected, [self.outcome(each) for each in answers]
            )

    def test_no_login_at_the_start_is_raised(self) -> None:
        """There is nothing that could get lost."""
        engine = self.engine(base.PONG)
        self.trove.client.session.auth.logins = 1
        self.lose_keystone()
        _, answers = self.ask(engine, 'a')
        self.assertRaises(ksa_exceptions.ConnectFailure, next, answers)


class CheckTest(TestCase):
    """What is asked beside, while nothing is left but to wait."""

    def watch(
        self,
        answer: Callable[[str, int], Any],
        keys: str,
        due: Callable[[], tuple[str, float] | None],
        **kwargs: Any,
    ) -> list[Answer]:
        """Ask for keys; *answer* gets the key, and the checks before."""
        self.checks = 0
        lock = threading.Lock()

        def respond(request: base.Request) -> Any:
            key = request[0].rpartition('/')[2]
            with lock:
                self.checks += key == 'check'
                count = self.checks
            return answer(key, count)

        engine = self.engine(respond, **kwargs)
        _, answers = self.ask(engine, keys, check=due)
        return list(answers)

    def test_while_the_last_is_awaited_others_are_checked(self) -> None:
        """Once a second at the most, beside the concurrency."""
        checked = threading.Event()

        def answer(key: str, count: int) -> Any:
            if key == 'check':
                # Then the two before it have been answered.
                if count == 3:
                    checked.set()
                return base.PONG
            checked.wait(LONG)
            return base.PONG

        found = self.watch(answer, 'a', lambda: ('check', 0.0))
        self.assertEqual(['a'], [each.key for each in found if not each.check])
        first, second, *_ = (each.sent or 0 for each in found if each.check)
        self.assertGreaterEqual(second - first, 1.0)

    def test_nothing_is_checked_while_there_is_more_to_ask(self) -> None:
        """Nor where nothing is to be checked, or not yet."""

        def slowly(key: str, count: int) -> bytes:
            time.sleep(0.02)
            return base.PONG

        for due in (
            lambda: None,
            lambda: ('check', time.monotonic() + LONG),
        ):
            found = self.watch(
                slowly,
                'abc',
                due,
                concurrency=5,
            )
            self.assertEqual(3, len(found))
            self.assertEqual(0, self.checks)

    def test_who_is_asked_again_much_later_holds_up_no_check(self) -> None:
        """Until then there is nothing but to wait."""
        checked = threading.Event()
        due: tuple[str, float] | None = None

        def answer(request: base.Request) -> bytes:
            if request[0].endswith('check'):
                checked.set()
            if request[0].endswith('b'):
                checked.wait(20)
            return base.PONG

        run, answers = self.ask(
            self.engine(answer, concurrency=5),
            'ab',
            check=lambda: due,
        )
        for each in answers:
            if each.key == 'a':
                due = ('check', 0.0)
                run.ask_again('a', time.monotonic() + 10 * LONG)
            if each.key == 'b':
                break
        self.assertTrue(checked.is_set())

    def test_a_check_waits_until_all_were_asked(self) -> None:
        """Also while a rate holds them back."""
        asked = threading.Event()

        def answer(key: str, count: int) -> bytes:
            if key == 'b':
                asked.set()
            asked.wait(LONG)
            return base.PONG

        self.watch(
            answer,
            'ab',
            lambda: ('check', 0.0),
            concurrency=5,
            gate=Gate(rate=4),
        )
        self.assertEqual(['a', 'b'], self.asked()[:2])

    def test_a_check_that_is_refused_is_no_answer(self) -> None:
        """Neither for the rate limit nor for the token; and it is not lost."""
        for refusal, told in ((BUSY, []), (BAD_TOKEN, [401])):
            ended = threading.Event()

            def answer(
                key: str,
                count: int,
                refusal: bytes = refusal,
                ended: threading.Event = ended,
            ) -> Any:
                if key == 'check':
                    threading.Timer(0.05, ended.set).start()
                    return refusal
                ended.wait(LONG)
                return base.PONG

            found = self.watch(answer, 'a', lambda: ('check', 0.0))
            checks = [self.outcome(each) for each in found if each.check]
            self.assertEqual(told, checks)
            self.assertEqual(1, self.checks)
            self.assertEqual('a', found[-1].key)
            self.assertEqual(1, self.trove.client.session.auth.logins)

    def test_a_check_under_way_is_not_waited_for(self) -> None:
        """Nor is it among the rest when all ends."""
        started = threading.Event()

        def answer(key: str, count: int) -> Any:
            if key == 'check':
                started.set()
                self.server.done.wait()
                return None
            started.wait(LONG)
            return base.PONG

        found = self.watch(answer, 'a', lambda: ('check', 0.0))
        self.assertEqual(['a'], [each.key for each in found])


class FakeAccess:
    """Hands out tokens, as long as there are any."""

    def __init__(self, tokens: int) -> None:
        self._left = tokens
        self.renewals = 0

    def headers(self) -> list[str]:
        if not self._left:
            raise ksa_exceptions.ConnectFailure('Keystone is gone')
        self._left -= 1
        return [f'X-Auth-Token: {self._left}']

    def renew(self) -> None:
        self.renewals += 1


class LoginTest(testtools.TestCase):
    def login(self, tokens: int = 1000) -> tuple[Login, FakeAccess]:
        access: Any = FakeAccess(tokens)
        return Login(access), access

    def test_a_token_is_small(self) -> None:
        """Each request under way has one."""
        login, _ = self.login()
        self.assertFalse(hasattr(login.token, '__dict__'))

    def test_the_first_token_may_be_old(self) -> None:
        """So a refusal is worth a login."""
        login, access = self.login()
        old = login.token
        self.assertFalse(old.fresh)
        self.assertTrue(login.renewed('a', old))
        self.assertNotEqual(old.headers, login.token.headers)
        self.assertTrue(login.token.fresh)
        self.assertEqual(1, access.renewals)

    def test_all_that_was_sent_with_one_token_costs_one_login(self) -> None:
        """What comes late is asked again with the token of now."""
        login, access = self.login()
        old = login.token
        for key in 'abcdef':
            self.assertTrue(login.renewed(key, old))
        self.assertEqual(1, access.renewals)

    def test_a_fresh_token_that_is_refused_is_not_renewed(self) -> None:
        """Once it was taken by anyone it is fresh no more."""
        login, access = self.login()
        login.renewed('a', login.token)
        self.assertFalse(login.renewed('b', login.token))
        login.taken(login.token)
        self.assertTrue(login.renewed('b', login.token))
        self.assertEqual(2, access.renewals)

    def test_one_that_is_never_taken_is_renewed_after_longer_and_longer(
        self,
    ) -> None:
        """Keystone may be out of step for a while."""
        now = 100.0
        self.patch(
            login_module,
            'time',
            types.SimpleNamespace(monotonic=lambda: now),
        )
        login, access = self.login()
        login.renewed('a', login.token)
        for pause in (1, 2, 4, 8, 16, 32, 60, 60):
            login.answered('a')
            now += pause - 0.1
            self.assertFalse(login.renewed('a', login.token), pause)
            now += 0.1
            self.assertTrue(login.renewed('a', login.token), pause)
        self.assertEqual(9, access.renewals)
        login.taken(login.token)
        login.answered('a')
        login.renewed('a', login.token)
        now += 1.0
        self.assertTrue(login.renewed('a', login.token))

    def test_one_request_is_asked_again_three_times(self) -> None:
        """Then it is the request, and not the token."""
        login, _ = self.login()
        for _ in range(3):
            login.token.fresh = False
            self.assertTrue(login.renewed('a', login.token))
        login.token.fresh = False
        self.assertFalse(login.renewed('a', login.token))
        self.assertTrue(login.renewed('b', login.token))
        login.answered('a')
        login.token.fresh = False
        self.assertTrue(login.renewed('a', login.token), 'a later one')

    def test_a_run_logs_in_a_hundred_times(self) -> None:
        """An API that takes no token is no reason to flood Keystone."""
        login, access = self.login()
        for number in range(100):
            login.token.fresh = False
            self.assertTrue(login.renewed(str(number), login.token))
        login.token.fresh = False
        self.assertFalse(login.renewed('x', login.token))
        self.assertEqual(100, access.renewals)

    def test_after_a_login_that_failed_there_is_a_pause(self) -> None:
        """Keystone is not asked again for each ping; nor is that a login."""
        login, access = self.login(tokens=1)
        begun = time.monotonic()
        self.assertRaises(
            ksa_exceptions.ConnectFailure, login.renewed, 'a', login.token
        )
        while not login_is_tried(login):
            self.assertEqual(1, access.renewals)
        self.assertEqual(2, access.renewals)
        self.assertGreaterEqual(time.monotonic() - begun, 1.0)

    def test_only_troves_words_refuse_the_user(self) -> None:
        """Any other 401 is about the token."""
        body = NOT_ADMIN.partition(b'\r\n\r\n')[2]
        self.assertTrue(refuses_user(Reply(401, {}, body)))
        self.assertFalse(refuses_user(Reply(403, {}, body)))
        self.assertFalse(refuses_user(Reply(401, {}, b'{}')))


def login_is_tried(login: Login) -> bool:
    """Whether a refusal leads to another login, which fails again."""
    try:
        if login.renewed('b', login.token):
            raise AssertionError('there is no token to be had')
    except ksa_exceptions.ConnectFailure:
        return True
    time.sleep(0.02)
    return False
