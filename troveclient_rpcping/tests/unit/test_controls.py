# SPDX-License-Identifier: Apache-2.0

"""Further pings of guests that answered."""

import math

import testtools

from troveclient_rpcping import reply as replies
from troveclient_rpcping.sweep import capacity as capacities
from troveclient_rpcping.sweep import controls
from troveclient_rpcping.sweep import evidence as sweep_evidence


class Pairs(capacities.Capacity):
    """A capacity that always wants a pair, and records the pairs."""

    def __init__(self) -> None:
        super().__init__(64)
        self.ended_pairs: list[tuple[float, ...]] = []

    def wants_pair(self, now: float) -> bool:
        return True

    def pair_ended(self, now: float, rtts: tuple[float, ...]) -> None:
        self.ended_pairs.append(rtts)


def controls_of(
    *guests: str, capacity: capacities.Capacity | None = None
) -> controls.Controls:
    found = controls.Controls(capacity or capacities.Capacity(64))
    for each in guests:
        found.add(each)
    return found


def send(
    found: controls.Controls, now: float, guest: str = 'a'
) -> replies.Question:
    question = replies.Question(replies.Purpose.CONTROL, '', guest)
    found.sent(question, now)
    return question


class TurnsTest(testtools.TestCase):
    def test_guests_take_turns(self) -> None:
        """Each guest has one turn a round, even if it was added twice."""
        found = controls_of('a', 'b', 'c', 'a')
        turns = [found.turn() for _ in range(6)]
        self.assertCountEqual('abc', turns[:3])
        self.assertEqual(turns[:3], turns[3:])

    def test_a_guest_that_misses_two_turns_in_a_row_takes_no_more(
        self,
    ) -> None:
        """One ping may be lost; a guest that misses two may be dead."""
        found = controls_of('a', 'b')
        for rtt in (None, 0.03, None):
            found.answered(send(found, 1.0), 2.0, rtt)
        self.assertCountEqual('ab', [found.turn(), found.turn()])
        found.answered(send(found, 1.0), 2.0, None)
        self.assertEqual(['b', 'b'], [found.turn(), found.turn()])

    def test_the_last_guest_goes_on(self) -> None:
        """The last guest shows when the message bus works again."""
        found = controls_of('a')
        for _ in range(3):
            found.answered(send(found, 1.0), 2.0, None)
        self.assertEqual('a', found.turn())

    def test_only_the_latest_of_many_guests_take_turns(self) -> None:
        """Memory does not grow with the fleet."""
        found = controls_of(*map(str, range(1000)))
        turns = {found.turn() for _ in range(1000)}
        self.assertEqual(set(map(str, range(968, 1000))), turns)


class DueTest(testtools.TestCase):
    def test_a_control_is_due_a_second_after_the_last_answer(self) -> None:
        """Under a rate limit, every other request is a ping of a guest."""
        found = controls_of('a')
        for spacing, pause in (
            (0.0, sweep_evidence.CONTROL),
            (0.5, sweep_evidence.CONTROL),
            (2.0, 4.0),
        ):
            self.assertFalse(found.is_due(10.0 + pause - 0.01, 10.0, spacing))
            self.assertTrue(found.is_due(10.0 + pause, 10.0, spacing))

    def test_one_goes_each_second_until_three_are_under_way(self) -> None:
        """Controls may be lost, and each lost one holds a worker."""
        found = controls_of('a')
        for now in (11.0, 12.0, 13.0):
            self.assertFalse(found.is_due(now - 0.1, 10.0, 0.0))
            self.assertTrue(found.is_due(now, 10.0, 0.0))
            control = send(found, now)
        self.assertFalse(found.is_due(60.0, 10.0, 0.0))
        found.answered(control, 60.0, None)
        self.assertTrue(found.is_due(60.0, 10.0, 0.0))

    def test_free_controls_go_one_by_one_with_pauses(self) -> None:
        """They take two thirds of the time of one worker."""
        found = controls_of('a')
        self.assertTrue(found.is_free(1.0))
        control = send(found, 1.0)
        self.assertFalse(found.is_free(5.0))
        self.assertEqual(math.inf, found.wakes())
        found.answered(control, 5.0, 4.0)
        self.assertEqual(7.0, found.wakes())
        self.assertFalse(found.is_free(6.9))
        self.assertTrue(found.is_free(7.0))

    def test_a_slow_control_may_be_lost(self) -> None:
        """Slow is longer than a second or a few usual round trips."""
        capacity = capacities.Capacity(64)
        found = controls_of('a', capacity=capacity)
        first = send(found, 1.0)
        send(found, 3.0)
        for now, usual, overdue in (
            *((2.0, 0.03, 0), (2.1, 0.03, 1), (4.1, 0.03, 2)),
            *((4.1, 0.5, 1), (4.1, 2.0, 0)),
        ):
            capacity.usual = usual
            self.assertEqual(overdue, found.overdue(now), f'{now} {usual}')
        found.answered(first, 4.1, 3.1)
        capacity.usual = 0.03
        self.assertEqual(1, found.overdue(4.1))


class PairTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.capacity = Pairs()
        self.controls = controls_of('a', 'b', capacity=self.capacity)

    def pair(self, now: float = 1.0) -> list[replies.Question]:
        """Send a pair."""
        self.assertTrue(self.controls.begin_pair(now))
        pair = []
        while self.controls.unpaired:
            self.assertFalse(self.controls.begin_pair(now))
            pair.append(send(self.controls, now))
        return pair

    def test_a_pair_needs_two_guests(self) -> None:
        """Trove may fail if one guest is pinged twice at a time."""
        alone = controls_of('a', capacity=self.capacity)
        self.assertFalse(alone.begin_pair(1.0))
        alone.add('b')
        self.assertTrue(alone.begin_pair(1.0))
        self.assertFalse(controls_of('a', 'b').begin_pair(1.0), 'not wanted')

    def test_a_pair_is_two_controls_side_by_side(self) -> None:
        """Both are sent at once; the second answer brings both times."""
        first, second = self.pair()
        self.controls.answered(first, 1.1, 0.1)
        self.assertEqual([], self.capacity.ended_pairs)
        self.assertFalse(self.controls.begin_pair(1.1))
        self.controls.answered(second, 1.2, 0.2)
        self.assertEqual([(0.1, 0.2)], self.capacity.ended_pairs)
        self.assertTrue(self.controls.begin_pair(1.2))

    def test_a_lost_one_of_a_pair_has_no_time(self) -> None:
        """The number of times shows the loss."""
        first, second = self.pair()
        self.controls.answered(first, 16.0, None)
        self.controls.answered(second, 16.1, 0.2)
        self.assertEqual([(0.2,)], self.capacity.ended_pairs)

    def test_a_pair_with_a_slow_control_ends_without_times(self) -> None:
        """The answer that comes later does not count."""
        first, _ = self.pair()
        self.controls.overdue(2.1)
        self.controls.answered(first, 2.2, 1.2)
        self.assertEqual([()], self.capacity.ended_pairs)
        self.assertTrue(self.controls.begin_pair(2.2))

    def test_other_controls_do_not_complete_a_pair(self) -> None:
        """They may have been sent before or after the pair."""
        before = send(self.controls, 0.5)
        first, second = self.pair()
        self.controls.answered(before, 1.1, 0.6)
        self.assertEqual([], self.capacity.ended_pairs)
        self.controls.answered(first, 1.1, 0.1)
        self.controls.answered(second, 1.1, 0.1)
        self.controls.answered(send(self.controls, 2.0), 2.1, 0.1)
        self.assertEqual(1, len(self.capacity.ended_pairs))
