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

"""Which guest is pinged next."""

from collections.abc import Iterable
from collections.abc import Iterator
import math

import testtools

from troveclient_rpcping.inventory import Instance
from troveclient_rpcping.sweep.queue import Guest
from troveclient_rpcping.sweep.queue import Queue
from troveclient_rpcping.sweep.queue import Task


def guest(name: str, age: float | None = None) -> Guest:
    return Guest(name, Instance(name, heartbeat_age=age))


class QueueTest(testtools.TestCase):
    #: The guests that are likely to keep Trove waiting.
    suspects: str = ''
    #: Whether there is room for a suspect, and for another guest.
    room = True, True

    def queue(self, guests: Iterable[Guest]) -> Queue:
        return Queue(guests, lambda each: each.instance_id in self.suspects)

    def has_room(self, risky: bool) -> bool:
        return self.room[not risky]

    def next(self, queue: Queue, now: float = 0.0) -> Task | None:
        return queue.next(now, self.has_room)

    def drain(self, queue: Queue, now: float = 0.0) -> str:
        """Return who is pinged by that time, in their order."""
        found = ''
        while (task := self.next(queue, now)) is not None:
            found += task.guest.instance_id
        return found

    def test_guests_without_a_heartbeat_keep_their_order(self) -> None:
        """It is the order of the caller."""
        self.assertEqual(
            'cab', self.drain(self.queue(list(map(Guest, 'cab'))))
        )

    def test_the_freshest_heartbeat_comes_first(self) -> None:
        """Its guest is the likeliest to answer at once."""
        guests = [guest('a', 80), guest('b', 3600), guest('c', 5)]
        self.assertEqual('cab', self.drain(self.queue(guests)))

    def test_a_heartbeat_in_the_future_is_as_fresh_as_one_of_now(self) -> None:
        """Clocks differ, and the order of the caller stays."""
        guests = [guest('a', 0.0), guest('b', -99), guest('c', 0.0)]
        self.assertEqual('abc', self.drain(self.queue(guests)))

    def test_a_generator_is_read_as_the_pings_go_out(self) -> None:
        """One guest ahead at the most, and in its own order."""
        taken = ''

        def guests() -> Iterator[Guest]:
            nonlocal taken
            for name, age in zip('abcd', (90, 1, 2, 3), strict=True):
                taken += name
                yield guest(name, age)

        queue = self.queue(guests())
        self.assertEqual('', taken)
        self.assertTrue(queue)
        self.assertEqual('a', taken)
        self.next(queue)
        self.assertEqual('a', taken)
        self.assertEqual('bcd', self.drain(queue))
        self.assertFalse(queue)

    def test_the_first_ping_of_a_guest_is_told_from_further_ones(self) -> None:
        """Also if the guest is a suspect."""
        self.suspects = 'b'
        queue = self.queue([Guest('a'), Guest('b')])
        queue.put(Task(Guest('c'), extra=True))
        tasks = [self.next(queue) for _ in range(3)]
        self.assertEqual(
            [
                Task(Guest('a'), first=True),
                Task(Guest('c'), extra=True),
                Task(Guest('b'), first=True),
            ],
            tasks,
        )

    def test_suspects_come_last(self) -> None:
        """A dead guest must not hold a worker while others wait."""
        self.suspects = 'ac'
        self.assertEqual(
            'bdac', self.drain(self.queue(list(map(Guest, 'abcd'))))
        )

    def test_a_guest_may_become_a_suspect_while_it_waits(self) -> None:
        """It is judged when its turn comes."""
        queue = self.queue(list(map(Guest, 'abc')))
        self.next(queue)
        self.suspects = 'b'
        self.assertEqual('cb', self.drain(queue))

    def test_without_room_nobody_is_taken(self) -> None:
        """Neither a new guest nor one that is due; and none gets lost."""
        self.room = False, False
        self.suspects = 'b'
        queue = self.queue(list(map(Guest, 'ab')))
        queue.put(Task(Guest('c')), 0.0)
        self.assertEqual('', self.drain(queue))
        self.assertTrue(queue)
        self.room = True, True
        self.assertEqual('cab', self.drain(queue))

    def test_a_suspect_needs_a_place_of_its_own_kind(self) -> None:
        """Others go on while there is none for suspects."""
        self.suspects = 'b'
        self.room = False, True
        queue = self.queue(list(map(Guest, 'abc')))
        self.assertEqual('ac', self.drain(queue))
        self.assertTrue(queue)
        self.room = True, False
        self.assertEqual('b', self.drain(queue))

    def test_what_is_due_comes_before_new_guests_the_earliest_first(
        self,
    ) -> None:
        """Whichever was put in first."""
        queue = self.queue([Guest('a'), Guest('b')])
        queue.put(Task(Guest('later')), 2.0)
        queue.put(Task(Guest('sooner')), 1.0)
        queue.put(Task(Guest('same')), 1.0)
        self.assertEqual('soonersamelaterab', self.drain(queue, 2.0))

    def test_what_is_not_due_is_not_sent_and_holds_up_nobody(self) -> None:
        """It says when it is due."""
        queue = self.queue([Guest('a')])
        self.assertEqual(math.inf, queue.wakes())
        queue.put(Task(Guest('b')), 5.0)
        self.assertEqual('a', self.drain(queue, 4.9))
        self.assertTrue(queue)
        self.assertEqual(5.0, queue.wakes())
        self.assertEqual('b', self.drain(queue, 5.0))
        self.assertFalse(queue)

    def test_what_is_due_at_no_time_comes_last_of_all(self) -> None:
        """A further ping for a silent guest must not hide a worker."""
        queue = self.queue([Guest('a'), Guest('b')])
        queue.put(Task(Guest('x'), extra=True))
        self.assertEqual('abx', self.drain(queue))

    def test_those_who_wait_for_a_guest_ask_the_others_first(self) -> None:
        """Those that never answer would take all the places."""
        queue = self.queue(list(map(Guest, 'abc')))
        found = ''
        for now in range(6):
            task = self.next(queue, float(now))
            assert task is not None
            found += task.guest.instance_id
            self.suspects += task.guest.instance_id
            queue.put(Task(task.guest), float(now))
        self.assertEqual('abcabc', found)

    def test_mixing_breaks_up_what_stands_together(self) -> None:
        """Those with a fresh heartbeat still come first: nothing is lost."""
        fresh = [guest(chr(97 + n), 1.0) for n in range(26)]
        others = [guest(chr(65 + n), 3600.0) for n in range(26)]
        queue = self.queue(fresh + others)
        queue.mix()
        order = self.drain(queue)
        straight = ''.join(each.instance_id for each in fresh + others)
        self.assertNotEqual(straight, order)
        self.assertEqual(sorted(straight), sorted(order))
        self.assertTrue(order[:26].islower())

    def test_the_rest_is_everything_once(self) -> None:
        """What is due, what is not, suspects, new ones, and those unread."""
        self.suspects = 'a'
        queue = self.queue(iter(map(Guest, 'abcd')))
        self.next(queue)
        queue.put(Task(Guest('x')), 100.0)
        queue.put(Task(Guest('y'), extra=True))
        rest = [task.guest.instance_id for task in queue.rest()]
        self.assertCountEqual('acdxy', rest)
        self.assertFalse(queue)
        self.assertEqual([], list(queue.rest()))
