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

"""Further pings of guests that answered."""

import math

import testtools

from troveclient_rpcping.sweep.controls import Controls
from troveclient_rpcping.sweep.evidence import CONTROL


def controls(*guests: str) -> Controls:
    found = Controls()
    for each in guests:
        found.add(each)
    return found


class TurnsTest(testtools.TestCase):
    def test_guests_take_turns(self) -> None:
        """Each guest has one turn a round, even if it was added twice."""
        found = controls('a', 'b', 'c', 'a')
        turns = [found.turn() for _ in range(6)]
        self.assertCountEqual('abc', turns[:3])
        self.assertEqual(turns[:3], turns[3:])

    def test_a_guest_that_misses_two_turns_in_a_row_takes_no_more(
        self,
    ) -> None:
        """One ping may be lost; a guest that misses two may be dead."""
        found = controls('a', 'b')
        found.heard('a', answered=False)
        found.heard('a', answered=True)
        found.heard('a', answered=False)
        self.assertCountEqual('ab', [found.turn(), found.turn()])
        found.heard('a', answered=False)
        self.assertEqual(['b', 'b'], [found.turn(), found.turn()])

    def test_the_last_guest_goes_on(self) -> None:
        """The last guest shows when the message bus works again."""
        found = controls('a')
        for _ in range(3):
            found.heard('a', answered=False)
        self.assertEqual('a', found.turn())

    def test_only_the_latest_of_many_guests_take_turns(self) -> None:
        """Memory does not grow with the fleet."""
        found = controls(*map(str, range(1000)))
        turns = {found.turn() for _ in range(1000)}
        self.assertEqual(set(map(str, range(968, 1000))), turns)


class DueTest(testtools.TestCase):
    def test_a_control_is_due_a_second_after_the_last_answer(self) -> None:
        """The answer of any guest agent counts."""
        found = controls('a')
        self.assertFalse(found.is_due(10.0 + CONTROL - 0.01, 10.0, 0.0))
        self.assertTrue(found.is_due(10.0 + CONTROL, 10.0, 0.0))

    def test_a_rate_limit_makes_controls_rarer(self) -> None:
        """Every other request is a ping of a guest."""
        found = controls('a')
        for spacing, pause in ((0.3, CONTROL), (0.5, CONTROL), (2.0, 4.0)):
            self.assertFalse(found.is_due(10.0 + pause - 0.01, 10.0, spacing))
            self.assertTrue(found.is_due(10.0 + pause, 10.0, spacing))

    def test_without_a_reachable_guest_no_control_is_due(self) -> None:
        """There is no free control either."""
        found = controls()
        self.assertFalse(found.is_due(99.0, 1.0, 0.0))
        self.assertFalse(found.is_free(99.0))

    def test_the_next_is_due_a_second_after_the_one_before(self) -> None:
        """The one before may be lost, so its answer is not needed."""
        found = controls('a')
        found.sent('first', 11.0)
        self.assertFalse(found.is_due(11.9, 10.0, 0.0))
        self.assertTrue(found.is_due(12.0, 10.0, 0.0))

    def test_three_are_under_way_at_the_most(self) -> None:
        """A worker without the bus would hold all controls."""
        found = controls('a')
        for number in range(3):
            now = 11.0 + number
            self.assertTrue(found.is_due(now, 10.0, 0.0))
            found.sent(number, now)
        self.assertFalse(found.is_due(60.0, 10.0, 0.0))
        found.ended(1, 60.0, None, 0.0)
        self.assertTrue(found.is_due(60.0, 10.0, 0.0))

    def test_free_controls_go_one_by_one_with_pauses(self) -> None:
        """They take half of the time of one worker."""
        found = controls('a')
        self.assertTrue(found.is_free(1.0))
        found.sent('first', 1.0)
        self.assertFalse(found.is_free(5.0))
        self.assertEqual(math.inf, found.wakes())
        found.ended('first', 5.0, 4.0, 2.0)
        self.assertEqual(7.0, found.wakes())
        self.assertFalse(found.is_free(6.9))
        self.assertTrue(found.is_free(7.0))

    def test_a_slow_control_may_be_lost(self) -> None:
        """Slow is longer than a second or a few usual round trips."""
        found = controls('a')
        found.sent('first', 1.0)
        found.sent('second', 3.0)
        self.assertEqual(0, found.overdue(2.0, 0.03))
        self.assertEqual(1, found.overdue(2.1, 0.03))
        self.assertEqual(2, found.overdue(4.1, 0.03))
        self.assertEqual(1, found.overdue(4.1, 0.5))
        self.assertEqual(0, found.overdue(4.1, 2.0))
        found.ended('first', 4.1, 3.1, 0.0)
        self.assertEqual(1, found.overdue(4.1, 0.03))


class PairTest(testtools.TestCase):
    def test_a_pair_is_two_controls_side_by_side(self) -> None:
        """Both are sent at once; the second answer brings both times."""
        found = controls('a')
        self.assertFalse(found.has_pair)
        found.begin_pair()
        for number in range(2):
            self.assertTrue(found.is_unpaired)
            found.sent(number, 1.0)
        self.assertFalse(found.is_unpaired)
        self.assertTrue(found.has_pair)
        self.assertIsNone(found.ended(0, 1.1, 0.1, 0.0))
        self.assertEqual((0.1, 0.2), found.ended(1, 1.2, 0.2, 0.0))
        self.assertFalse(found.has_pair)

    def test_a_lost_one_of_a_pair_has_no_time(self) -> None:
        """The number of times shows the loss."""
        found = controls('a')
        found.begin_pair()
        found.sent(0, 1.0)
        found.sent(1, 1.0)
        self.assertIsNone(found.ended(0, 16.0, None, 0.0))
        self.assertEqual((0.2,), found.ended(1, 16.1, 0.2, 0.0))

    def test_other_controls_do_not_complete_a_pair(self) -> None:
        """They may have been sent before or after the pair."""
        found = controls('a')
        found.sent('before', 0.5)
        found.begin_pair()
        found.sent(0, 1.0)
        found.sent(1, 1.0)
        self.assertIsNone(found.ended('before', 1.1, 0.6, 0.0))
        found.ended(0, 1.1, 0.1, 0.0)
        found.ended(1, 1.1, 0.1, 0.0)
        found.sent('after', 2.0)
        self.assertIsNone(found.ended('after', 2.1, 0.1, 0.0))
