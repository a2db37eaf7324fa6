# SPDX-License-Identifier: Apache-2.0

"""The sweep as an agenda, with simulated answers and times."""

from collections.abc import Iterable
import json
from typing import Any

import testtools

from troveclient_rpcping import fixture
from troveclient_rpcping import inventory
from troveclient_rpcping import reply as replies
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.sweep import capacity as capacities
from troveclient_rpcping.sweep import evidence as sweep_evidence
from troveclient_rpcping.sweep import queue as queues
from troveclient_rpcping.sweep import repeat as repeats
from troveclient_rpcping.sweep import sweep as sweeps

PONG = fixture.reachable()
DEAD = fixture.agent_timeout()


class Play:
    """A sweep whose questions a test answers.

    :param guests: IDs of one letter each, or guests.
    """

    def __init__(
        self,
        guests: Iterable[str | queues.Guest],
        repeat: repeats.Repeat | None = None,
        most: int = 64,
        listing: Any = (),
        capacity: capacities.Capacity | None = None,
        spacing: float = 0.0,
    ):
        self.now = 100.0
        self.sweep = sweeps.Sweep(
            [
                queues.Guest(each) if isinstance(each, str) else each
                for each in guests
            ],
            repeat or repeats.Times(1, 1.0),
            capacity or capacities.Capacity(most),
            timeout=30.0,
            now=self.now,
            spacing=lambda: spacing,
            listing=listing,
        )
        self.flight: list[replies.Question] = []
        self.results: list[verdicts.PingResult] = []

    def ask(self) -> list[replies.Question]:
        """Send the requests that are due."""
        sent = []
        while (question := self.sweep.next(self.now)) is not None:
            sent.append(question)
        self.flight += sent
        self.take()
        return sent

    def answer(
        self,
        question: replies.Question,
        reply: replies.Reply | replies.NoReply,
        after: float = 0.03,
    ) -> None:
        """Let a request end after a number of seconds."""
        self.flight.remove(question)
        self.now += after
        rtt = None if isinstance(reply, replies.NoReply) else after
        self.sweep.answered(question, reply, self.now, rtt)
        self.take()

    def refuse(self, question: replies.Question, pause: float) -> None:
        """Let the rate limit refuse a request."""
        self.flight.remove(question)
        self.sweep.unsent(question, self.now, pause)

    def take(self) -> None:
        self.results += self.sweep.take()

    def end(self, why: str) -> None:
        self.sweep.end(why, self.now)
        self.take()

    def reasons(self) -> dict[str, verdicts.Reason | None]:
        return {each.instance_id: each.reason for each in self.results}


def names(questions: Iterable[replies.Question]) -> str:
    return ''.join(each.instance_id for each in questions)


class EndTest(testtools.TestCase):
    def test_at_the_end_each_guest_has_one_result(self) -> None:
        """A guest that answered one of its pings is not also not-asked."""
        play = Play('abcdef', repeats.Times(2, 60.0), most=2)
        first, second = play.ask()
        play.answer(first, PONG)
        play.refuse(second, 60.0)
        play.ask()
        self.assertTrue(play.flight)
        play.end('first')
        play.end('second')
        self.assertTrue(play.sweep.done)
        self.assertEqual([], play.ask())
        self.assertCountEqual(
            'abcdef', [each.instance_id for each in play.results]
        )
        reasons = play.reasons()
        self.assertIsNone(reasons.pop('a'))
        self.assertEqual({verdicts.Reason.NOT_ASKED}, set(reasons.values()))
        self.assertEqual(
            {'', 'first'}, {each.message for each in play.results}
        )

    def test_an_end_calls_no_guest_dead(self) -> None:
        """The evidence for the death of a silent guest is not complete."""
        play = Play('ab')
        first, second = play.ask()
        play.answer(first, PONG)
        play.answer(second, DEAD, 15.0)
        play.end('The deadline passed')
        self.assertEqual(
            {'a': None, 'b': verdicts.Reason.TIMEOUT}, play.reasons()
        )
        self.assertEqual(verdicts.Verdict.UNKNOWN, play.results[-1].verdict)

    def test_a_pause_between_pings_does_not_end_the_sweep(self) -> None:
        """No agent answers for a minute, because the sweep asks none."""
        for interval, spacing in ((90.0, 0.0), (1.0, 90.0)):
            play = Play('a', repeats.Times(3, interval), spacing=spacing)
            for _ in range(3):
                (question,) = play.ask()
                play.now += 0.2
                self.assertEqual([], play.ask())
                play.answer(question, PONG)
                play.now += 90.0
            self.assertTrue(play.sweep.done)
            self.assertEqual([None] * 3, [r.reason for r in play.results])

    def test_a_caller_that_was_absent_does_not_end_the_sweep(self) -> None:
        """The replies came meanwhile, and nobody read them."""
        play = Play('abc')
        first, second = play.ask()
        play.answer(first, PONG)
        (third,) = play.ask()
        play.answer(second, DEAD, 90.0)
        play.ask()
        self.assertFalse(play.sweep.done)
        play.answer(third, PONG)
        self.assertEqual({'a': None, 'c': None}, play.reasons())

    def test_a_witness_has_no_result(self) -> None:
        """A witness may answer, or the sweep may end before."""
        for answers in (True, False):
            play = Play(
                'a', listing=[inventory.Instance('x'), inventory.Instance('a')]
            )
            play.ask()
            for _ in range(3):
                play.now += 1.0
                play.ask()
            _, witness = play.flight
            self.assertIs(replies.Purpose.WITNESS, witness.purpose)
            if answers:
                play.answer(witness, PONG)
            play.end('why')
            self.assertEqual({'a': verdicts.Reason.NOT_ASKED}, play.reasons())

    def test_a_timeout_of_our_own_is_not_a_death(self) -> None:
        """The advice depends on whether a witness answers within 10 s."""
        for after, words in (
            (0.03, 'raise it'),
            (9.9, 'raise it'),
            (10.2, 'Check trove-api and the message bus'),
        ):
            play = Play('a', listing=[inventory.Instance('w')])
            (ping,) = play.ask()
            play.answer(ping, replies.NoReply(replies.Failure.TIMEOUT), 1.0)
            (witness,) = play.ask()
            self.assertIs(replies.Purpose.WITNESS, witness.purpose)
            play.now += after
            play.ask()
            play.answer(witness, PONG, 0.0)
            self.assertTrue(play.sweep.done)
            self.assertEqual({'a': verdicts.Reason.TIMEOUT}, play.reasons())
            self.assertIn(words, play.results[0].message)

    def test_a_timeout_of_our_own_needs_answers_beside_it(self) -> None:
        """The last answer may be 2.5 s older than the end of the ping."""
        for after, words in ((2.4, 'raise it'), (2.6, 'Check trove-api')):
            play = Play('ab')
            first, second = play.ask()
            play.answer(first, PONG)
            no_reply = replies.NoReply(replies.Failure.TIMEOUT)
            play.answer(second, no_reply, after)
            self.assertIn(words, play.results[-1].message)

    def test_many_guests_with_one_error_point_at_the_bus(self) -> None:
        """Trove may report an error of the bus as one of the guest.

        Many are five guests, and half of all that answered.
        """
        agent = verdicts.Reason.AGENT_ERROR
        for texts, live, reason in (
            ('xxxxx', 1, verdicts.Reason.MESSAGE_BUS),
            ('xxxxx', 5, verdicts.Reason.MESSAGE_BUS),
            ('xxxxx', 6, agent),
            ('xxxx', 1, agent),
            ('abcde', 1, agent),
        ):
            answers = [*map(fixture.agent_error, texts), *[PONG] * live]
            play = Play(map(str, range(len(answers))))
            while play.ask() or play.flight:
                ping = play.flight[0]
                play.answer(ping, answers[int(ping.instance_id)])
            play.sweep.finish()
            play.take()
            self.assertEqual(
                [*[reason] * len(texts), *[None] * live],
                [play.reasons()[str(n)] for n in range(len(answers))],
            )
            said = {each.detail for each in play.results}
            self.assertEqual(
                reason is not agent,
                '5 guests fail with this same text: x' in said,
            )

    def test_an_end_does_not_lose_a_guest_in_error(self) -> None:
        """The sweep held it back until others had answered."""
        play = Play('ab')
        first, _ = play.ask()
        play.answer(first, fixture.agent_error())
        self.assertEqual([], play.results)
        play.end('why')
        self.assertEqual(
            {'a': verdicts.Reason.AGENT_ERROR, 'b': verdicts.Reason.NOT_ASKED},
            play.reasons(),
        )

    def test_the_errors_of_one_guest_are_not_those_of_many(self) -> None:
        """A guest in error that is pinged often stays in error."""
        play = Play('a', repeats.Times(9, 1.0))
        while not play.sweep.done:
            play.now += 0.5
            for question in play.ask():
                play.answer(question, fixture.agent_error())
        play.sweep.finish()
        play.take()
        self.assertEqual({'a': verdicts.Reason.AGENT_ERROR}, play.reasons())

    def test_a_sweep_without_guests_is_done(self) -> None:
        """It sends nothing."""
        play = Play('')
        self.assertTrue(play.sweep.done)
        self.assertEqual([], play.ask())


class FailedTest(testtools.TestCase):
    """Trove answers 500 to a ping."""

    def test_the_guest_is_pinged_once_more_at_the_end(self) -> None:
        """The second answer counts; it may be another failure."""
        for reply, reason in (
            (PONG, None),
            (fixture.agent_error(), verdicts.Reason.AGENT_ERROR),
            (fixture.api_error(), verdicts.Reason.API_ERROR),
        ):
            play = Play('abc', most=1)
            (first,) = play.ask()
            play.answer(first, fixture.api_error())
            for expected in 'bca':
                (question,) = play.ask()
                self.assertEqual(expected, question.instance_id)
                play.answer(question, reply if expected == 'a' else PONG)
            self.assertEqual([], play.ask())
            play.sweep.finish()
            play.take()
            self.assertEqual(
                {'a': reason, 'b': None, 'c': None}, play.reasons()
            )
            self.assertEqual(3, len(play.results))

    def test_the_first_answers_count_if_the_sweep_ends_before(self) -> None:
        """A guest that is named twice has two results."""
        for under_way in (False, True):
            play = Play('aa')
            for ping in play.ask():
                play.answer(ping, fixture.api_error())
            if under_way:
                self.assertEqual('aa', names(play.ask()))
            play.end('The deadline passed')
            self.assertEqual(
                [verdicts.Reason.API_ERROR] * 2,
                [each.reason for each in play.results],
            )

    def test_one_of_several_pings_is_not_repeated(self) -> None:
        """With ``--count``, each ping has a result of its own."""
        play = Play('a', repeats.Times(2, 1.0))
        for _ in range(2):
            (ping,) = play.ask()
            play.answer(ping, fixture.api_error())
            play.now += 1.0
        self.assertTrue(play.sweep.done)
        self.assertEqual(2, len(play.results))


class RefusedTest(testtools.TestCase):
    def test_a_refused_ping_is_sent_again_after_its_pause(self) -> None:
        """The refusal delays no other guest, and has no result."""
        play = Play('abc', most=1)
        (first,) = play.ask()
        play.refuse(first, 5.0)
        (second,) = play.ask()
        self.assertEqual('b', second.instance_id)
        play.answer(second, PONG)
        (third,) = play.ask()
        play.answer(third, PONG)
        self.assertEqual([], play.ask())
        self.assertFalse(play.sweep.done)
        self.assertLessEqual(play.sweep.wakes(play.now), 105.0)
        play.now = 105.0
        (again,) = play.ask()
        self.assertEqual('a', again.instance_id)
        play.answer(again, PONG)
        self.assertEqual({'a': None, 'b': None, 'c': None}, play.reasons())
        self.assertEqual({0}, {each.lost for each in play.results})
        self.assertTrue(play.sweep.done)

    def test_a_refused_control_is_neither_lost_nor_an_answer(self) -> None:
        """Trove did not process it, so it says nothing about the bus."""
        play = Play('ab')
        first, _ = play.ask()
        play.answer(first, PONG)
        play.now += 1.5
        (control,) = play.ask()
        self.assertIs(replies.Purpose.CONTROL, control.purpose)
        play.refuse(control, 1.0)
        evidence = play.sweep.evidence
        self.assertEqual((1, 0), (evidence.answered, evidence.lost))
        play.now += 1.5
        (control,) = play.ask()
        self.assertEqual(
            (replies.Purpose.CONTROL, 'a'),
            (control.purpose, control.instance_id),
        )

    def test_a_refused_witness_is_pinged_again(self) -> None:
        """It is not silent, and the sweep still needs its answer."""
        play = Play('a', listing=[inventory.Instance('x')])
        (ping,) = play.ask()
        play.answer(ping, DEAD, 15.0)
        (witness,) = play.ask()
        play.refuse(witness, 5.0)
        play.now += 4.9
        self.assertEqual('', names(play.ask()))
        play.now += 0.1
        self.assertEqual('x', names(play.ask()))

    def test_a_refused_page_of_the_listing_is_requested_again(self) -> None:
        """The sweep still needs the listing."""
        play = Play('a', listing=None)
        (ping,) = play.ask()
        play.answer(ping, DEAD, 15.0)
        (page,) = play.ask()
        self.assertIs(replies.Purpose.LISTING, page.purpose)
        play.refuse(page, 0.0)
        (again,) = play.ask()
        self.assertEqual(page.path, again.path)


class QuestionTest(testtools.TestCase):
    def test_only_first_pings_and_the_listing_share_connections(self) -> None:
        """A witness needs a new connection, to reach any worker.

        Pages of the listing have a timeout of their own.
        """
        rows = json.dumps({'instances': [{'id': 'x'}, {'id': 'a'}]}).encode()
        play = Play('a', listing=None)
        (ping,) = play.ask()
        self.assertFalse(ping.fresh)
        play.now += 2
        (page,) = play.ask()
        self.assertFalse(page.fresh)
        self.assertEqual((30.0, 120.0), (ping.timeout, page.timeout))
        play.answer(page, replies.Reply(200, {}, rows))
        (witness,) = play.ask()
        self.assertEqual(
            (replies.Purpose.WITNESS, 'x', True),
            (witness.purpose, witness.instance_id, witness.fresh),
        )

    def test_kept_connections_are_avoided_while_no_agent_answers(
        self,
    ) -> None:
        """All kept connections may lead to a worker without the bus."""
        play = Play(map(str, range(20)), most=2)
        first, second = play.ask()
        play.answer(first, PONG)
        (third,) = play.ask()
        self.assertFalse(third.fresh)
        play.answer(third, PONG)
        play.answer(second, DEAD, 3.0)
        self.assertEqual(
            {(replies.Purpose.GUEST, True)},
            {(each.purpose, each.fresh) for each in play.ask()},
        )

    def test_a_guest_that_answers_slowly_is_a_control_if_there_are_few(
        self,
    ) -> None:
        """The API may be slower than in the sweep before."""
        capacity = capacities.Capacity(64)
        before = Play('abcd', capacity=capacity)
        while before.ask() or before.flight:
            before.answer(before.flight[0], PONG, 0.001)
        capacity.suspects.add('e')
        play = Play('ae', capacity=capacity)
        play.ask()
        (first,) = [each for each in play.flight if each.instance_id == 'a']
        play.answer(first, PONG, 0.2)
        play.now += 1.5
        (control,) = [
            each
            for each in play.ask()
            if each.purpose is replies.Purpose.CONTROL
        ][:1]
        self.assertEqual('a', control.instance_id)

    def test_a_timeout_of_a_guest_that_answers_is_a_lost_ping(self) -> None:
        """Lost pings weaken the evidence against silent guests."""
        play = Play('ab')
        first, second = play.ask()
        play.answer(first, PONG)
        play.answer(second, DEAD, 0.0)
        _, again = self.answer_controls(play)
        self.assertEqual(
            ('b', 0), (again.instance_id, play.sweep.evidence.lost)
        )
        play.answer(again, PONG)
        self.assertEqual(1, play.sweep.evidence.lost)
        self.assertEqual([0, 1], [each.lost for each in play.results])

    def test_a_guest_is_pinged_five_times_at_the_most(self) -> None:
        """If too many other pings were lost, two timeouts are enough.

        More would not prove a death. The result names the lost pings.
        """
        for lost, most in ((6, 5), (20, 2)):
            play = Play(map(str, range(60)))
            play.sweep.evidence.lose(lost)
            pings = 0
            while not play.sweep.done:
                play.now += 0.1
                for question in play.ask():
                    is_dead = question.instance_id == '0'
                    pings += is_dead
                    play.answer(question, DEAD if is_dead else PONG, 0.0)
            self.assertEqual(most, pings)
            self.assertIs(verdicts.Reason.MESSAGE_BUS, play.reasons()['0'])
            self.assertIn(f'so did {lost} of ', play.results[-1].message)

    def test_without_controls_further_guests_are_pinged(self) -> None:
        """Only they can show that guest agents answer again."""
        play = Play('abc', most=1)
        (first,) = play.ask()
        play.answer(first, PONG)
        (second,) = play.ask()
        play.now += 1.5
        (control,) = play.ask()
        self.assertEqual(
            (replies.Purpose.CONTROL, True), (control.purpose, control.fresh)
        )
        play.answer(control, DEAD, 15.0)
        play.answer(second, DEAD, 0.1)
        (third,) = play.ask()
        self.assertEqual('c', third.instance_id)
        self.assertIs(replies.Purpose.GUEST, third.purpose)

    def test_a_witness_takes_the_place_of_a_control_that_is_gone(
        self,
    ) -> None:
        """While a guest is a control, no witness is pinged."""
        for gone in (
            fixture.not_found('a'),
            fixture.not_ready('a'),
            fixture.agent_error(),
        ):
            play = Play('ab', listing=[inventory.Instance('x')])
            first, second = play.ask()
            play.answer(first, PONG)
            play.answer(second, DEAD, 15.0)
            # The sweep reads the given listing.
            self.assertEqual([], play.ask())
            play.now += 0.2
            for _ in range(2):
                self.assertNotIn('x', names(play.flight))
                (control,) = play.ask()
                self.assertIs(replies.Purpose.CONTROL, control.purpose)
                play.answer(control, gone)
                play.now += 0.6
            asked = {each.instance_id: each.purpose for each in play.ask()}
            self.assertIs(replies.Purpose.WITNESS, asked['x'])

    def test_a_wait_does_not_hold_a_guest_back_for_slow_controls(
        self,
    ) -> None:
        """It would see minutes too late that the guest is back."""
        for spacing, guest in ((0.0, 'a'), (1.0, 'b')):
            play = Play('ab', repeats.UntilReachable(1, 1.0), spacing=spacing)
            first, second = play.ask()
            play.answer(first, PONG)
            play.answer(second, DEAD, 15.0)
            play.now += 1.0
            self.assertEqual(guest, names(play.ask())[:1])

    def test_in_a_wait_a_ping_without_a_reply_starves_no_other_guest(
        self,
    ) -> None:
        """Beside it controls prove nothing, so it waits for them, too."""
        silence = replies.NoReply(replies.Failure.TIMEOUT, 'No answer')
        play = Play('abc', repeats.UntilReachable(1, 1.0), most=3)
        first, second = play.ask()
        play.answer(first, PONG)
        (third,) = play.ask()
        play.answer(second, DEAD, 15.0)
        play.answer(third, silence, 15.0)
        for _ in range(200):
            play.now += 0.1
            asked = [
                question
                for question in play.ask()
                if question.instance_id == 'b'
            ]
            if asked:
                break
            for question in list(play.flight):
                if question.purpose is replies.Purpose.CONTROL:
                    play.answer(question, PONG)
        self.assertEqual('b', names(asked))

    def test_a_wait_goes_on_without_a_control(self) -> None:
        """The guest that answered was deleted; the other one comes up."""
        play = Play('ab', repeats.UntilReachable(1, 1.0))
        first, second = play.ask()
        play.answer(first, PONG)
        play.answer(second, DEAD, 15.0)
        for _ in range(2):
            play.ask()
            (control,) = (
                each
                for each in play.flight
                if each.purpose is replies.Purpose.CONTROL
            )
            play.answer(control, fixture.not_found('a'))
            play.now += 1.0
        play.ask()
        (again,) = play.flight
        self.assertEqual('b', again.instance_id)
        play.answer(again, PONG)
        self.assertTrue(play.sweep.done)

    def test_answers_beside_a_ping_without_a_reply_do_not_count(
        self,
    ) -> None:
        """The worker that did not reply was out of reach meanwhile."""
        silence = replies.NoReply(replies.Failure.TIMEOUT, 'No answer')
        needs = []
        for reply in (PONG, silence, DEAD):
            play = Play('abc')
            first, second = play.ask()
            play.answer(first, PONG)
            (third,) = play.ask()
            play.answer(third, PONG)
            play.answer(second, reply, 30.0)
            needs.append(play.sweep.evidence.missing(2, stale=True))
        self.assertEqual([47, 50, 50], needs)

    def test_in_a_wait_controls_delay_no_guest_that_was_not_silent(
        self,
    ) -> None:
        """Under a low rate, controls alone would use it up."""
        play = Play(
            'ba',
            repeats.UntilReachable(1, 1.0),
            most=1,
            listing=[inventory.Instance('x')],
        )
        (silent,) = play.ask()
        play.answer(silent, DEAD, 0.3)
        (witness,) = play.ask()
        play.answer(witness, PONG)
        play.now += 0.2
        self.assertIn('a', names(play.ask()))

    def test_many_silent_guests_delay_no_control(self) -> None:
        """Without an answer for 2 s the sweep would see a block."""
        play = Play(map(str, range(700)), repeats.UntilReachable(1, 1e6))
        for _ in range(700):
            play.ask()
            play.answer(play.flight[0], DEAD, 0.01)
        play.ask()
        self.assertLessEqual(play.sweep.wakes(play.now), play.now + 0.5)

    def test_an_overdue_look_is_not_waited_for(self) -> None:
        """Where nothing is under way, no answer would end the wait."""
        play = Play('ab')
        play.answer(play.ask()[0], PONG)
        play.now += 7.0
        self.assertLessEqual(play.sweep.wakes(play.now), play.now)
        play.ask()
        self.assertGreater(play.sweep.wakes(play.now), play.now)

    def test_the_sweep_does_not_wait_for_a_control(self) -> None:
        """The sweep is done when every guest has its result."""
        play = Play('ab')
        first, second = play.ask()
        play.answer(first, PONG)
        play.now += 1.5
        (control,) = play.ask()
        self.assertIs(replies.Purpose.CONTROL, control.purpose)
        play.answer(second, PONG)
        self.assertTrue(play.sweep.done)
        self.assertEqual([control], play.flight)
        self.assertEqual('ab', ''.join(play.reasons()))

    def test_in_a_wait_each_ping_has_a_result(self) -> None:
        """A timeout alone proves no death."""
        play = Play('ab', repeats.UntilReachable(1, 1.0))
        first, second = play.ask()
        play.answer(first, PONG)
        play.answer(second, DEAD, 15.0)
        self.answer_controls(play)
        self.assertEqual(2, len(play.results))
        self.assertIs(verdicts.Verdict.UNKNOWN, play.results[-1].verdict)
        self.assertFalse(play.sweep.done)

    def test_in_a_wait_controls_come_before_the_next_ping(self) -> None:
        """Else no ping would ever be answered while no request waits."""
        play = Play('ab', repeats.UntilReachable(1, 1.0))
        first, second = play.ask()
        play.answer(first, PONG)
        # One control a second shows that the message bus works.
        self.tick(play, 15)
        play.answer(second, DEAD, 0.0)
        controls, asked = self.answer_controls(play)
        self.assertGreaterEqual(controls, sweep_evidence.ENOUGH)
        self.assertTrue(asked.fresh)
        self.tick(play, 15)
        play.answer(asked, DEAD, 0.0)
        self.answer_controls(play)
        self.assertIs(verdicts.Verdict.UNREACHABLE, play.results[-1].verdict)

    def test_a_wait_that_ends_early_keeps_the_proof_of_a_death(self) -> None:
        """The controls after the last ping complete the proof."""
        guests = [
            queues.Guest('a'),
            queues.Guest('b', inventory.Instance('b', heartbeat_age=300.0)),
        ]
        play = Play(guests, repeats.UntilReachable(1, 1.0))
        first, second = play.ask()
        play.answer(first, PONG)
        self.tick(play, 15)
        play.answer(second, DEAD, 0.0)
        self.answer_controls(play)
        play.end('The deadline passed')
        self.assertEqual(
            [verdicts.Verdict.REACHABLE, verdicts.Verdict.UNREACHABLE],
            [each.verdict for each in play.results],
        )

    def test_controls_that_fail_end_the_sweep(self) -> None:
        """The control plane is broken: more evidence will not come."""
        play = Play('ab')
        first, second = play.ask()
        play.answer(first, PONG)
        self.tick(play, 15)
        play.answer(second, DEAD, 0.0)
        controls = 0
        while not play.sweep.done:
            play.now += 0.1
            for question in play.ask():
                controls += 1
                play.answer(question, fixture.compute_error())
        play.take()
        self.assertLess(controls, 30)
        self.assertLess(play.now, 140.0)
        self.assertEqual(
            {'a': None, 'b': verdicts.Reason.TIMEOUT}, play.reasons()
        )

    def tick(self, play: Play, seconds: int) -> None:
        """Answer one control a second."""
        for _ in range(seconds):
            play.now += 1.0
            (control,) = play.ask()
            self.assertEqual('a', control.instance_id)
            play.answer(control, PONG)

    def answer_controls(self, play: Play) -> tuple[int, replies.Question]:
        """Answer controls until a guest is pinged; return it, and a count."""
        for controls in range(1000):
            play.now += 0.1
            for question in play.ask():
                if question.purpose is replies.Purpose.GUEST:
                    return controls, question
                play.answer(question, PONG)
        raise AssertionError('no guest was pinged')
