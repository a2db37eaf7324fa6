# SPDX-License-Identifier: Apache-2.0

"""The choice of the next guest."""

from collections.abc import Iterable
from collections.abc import Iterator
import math

import testtools

from troveclient_rpcping import inventory
from troveclient_rpcping.sweep import queue as queues


def guest(name: str, age: float | None = None) -> queues.Guest:
    return queues.Guest(name, inventory.Instance(name, heartbeat_age=age))


class QueueTest(testtools.TestCase):
    #: The guests that are likely to make Trove wait.
    suspects: str = ''
    #: Whether there is room for a suspect, and for another guest.
    room = True, True

    def queue(self, guests: Iterable[queues.Guest]) -> queues.Queue:
        return queues.Queue(
            guests, lambda each: each.instance_id in self.suspects
        )

    def has_room(self, risky: bool) -> bool:
        return self.room[not risky]

    def next(
        self, queue: queues.Queue, now: float = 0.0
    ) -> queues.Task | None:
        return queue.next(now, self.has_room)

    def drain(self, queue: queues.Queue, now: float = 0.0) -> str:
        """Return the guests that are pinged by that time, in their order."""
        found = ''
        while (task := self.next(queue, now)) is not None:
            found += task.guest.instance_id
        return found

    def test_the_freshest_heartbeat_comes_first(self) -> None:
        """Its guest is the most likely to answer at once.

        For equal ages, the order is that of the caller.
        """
        for case, ages, order in (
            ('fresh before stale', (80, 3600, 5), 'cab'),
            ('no heartbeats', (None, None, None), 'abc'),
            ('clocks that differ', (0.0, -99, 0.0), 'abc'),
        ):
            guests = list(map(guest, 'abc', ages))
            self.assertEqual(order, self.drain(self.queue(guests)), case)

    def test_a_generator_is_read_as_the_pings_go_out(self) -> None:
        """At most one guest is read ahead."""
        taken = ''

        def guests() -> Iterator[queues.Guest]:
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

    def test_the_queue_marks_the_first_ping_of_a_guest(self) -> None:
        """A suspect has a first ping, too."""
        self.suspects = 'b'
        queue = self.queue([queues.Guest('a'), queues.Guest('b')])
        queue.put(queues.Task(queues.Guest('c'), extra=True))
        tasks = [self.next(queue) for _ in range(3)]
        self.assertEqual(
            [
                queues.Task(queues.Guest('a'), first=True),
                queues.Task(queues.Guest('c'), extra=True),
                queues.Task(queues.Guest('b'), first=True),
            ],
            tasks,
        )

    def test_suspects_come_last(self) -> None:
        """A guest may become a suspect while it waits for its turn."""
        self.suspects = 'a'
        queue = self.queue(list(map(queues.Guest, 'abcde')))
        self.next(queue)
        self.suspects = 'ac'
        self.assertEqual('deac', self.drain(queue))

    def test_without_room_no_guest_is_taken(self) -> None:
        """New guests and guests that are due stay in the queue."""
        self.room = False, False
        self.suspects = 'b'
        queue = self.queue(list(map(queues.Guest, 'ab')))
        queue.put(queues.Task(queues.Guest('c')), 0.0)
        self.assertEqual('', self.drain(queue))
        self.assertTrue(queue)
        self.room = True, True
        self.assertEqual('cab', self.drain(queue))

    def test_repeated_pings_starve_no_guest(self) -> None:
        """Under a rate limit, there is always a guest that is due again."""
        self.suspects = 's'
        queue = self.queue([queues.Guest('a')])
        queue.put(queues.Task(queues.Guest('s')), 0.0)
        found = ''
        for _ in range(5):
            queue.put(queues.Task(queues.Guest('r')), 0.0)
            task = self.next(queue)
            assert task is not None
            found += task.guest.instance_id
        self.assertEqual('rarsr', found)

    def test_a_suspect_needs_a_place_of_its_own_kind(self) -> None:
        """Other guests go on while suspects have no place."""
        self.suspects = 'b'
        self.room = False, True
        queue = self.queue(list(map(queues.Guest, 'abc')))
        self.assertEqual('ac', self.drain(queue))
        self.assertTrue(queue)
        self.room = True, False
        self.assertEqual('b', self.drain(queue))

    def test_due_pings_and_new_guests_take_turns_and_extra_pings_come_last(
        self,
    ) -> None:
        """A further ping for a silent guest must not hide a worker."""
        queue = self.queue([queues.Guest('a'), queues.Guest('b')])
        queue.put(queues.Task(queues.Guest('extra'), extra=True))
        queue.put(queues.Task(queues.Guest('later')), 2.0)
        queue.put(queues.Task(queues.Guest('sooner')), 1.0)
        queue.put(queues.Task(queues.Guest('same')), 1.0)
        self.assertEqual('soonerasameblaterextra', self.drain(queue, 2.0))

    def test_a_ping_that_is_not_due_delays_no_other(self) -> None:
        """The queue says when the ping is due."""
        queue = self.queue([queues.Guest('a')])
        self.assertEqual(math.inf, queue.wakes())
        queue.put(queues.Task(queues.Guest('b')), 5.0)
        self.assertEqual('a', self.drain(queue, 4.9))
        self.assertTrue(queue)
        self.assertEqual(5.0, queue.wakes())
        self.assertEqual('b', self.drain(queue, 5.0))
        self.assertFalse(queue)

    def test_a_wait_pings_suspects_last(self) -> None:
        """Guests that never answer would take all the places."""
        queue = self.queue(list(map(queues.Guest, 'abc')))
        found = ''
        for now in range(6):
            task = self.next(queue, float(now))
            assert task is not None
            found += task.guest.instance_id
            self.suspects += task.guest.instance_id
            queue.put(queues.Task(task.guest), float(now))
        self.assertEqual('abcabc', found)

    def test_mixing_separates_neighbours(self) -> None:
        """Guests with a fresh heartbeat still come first; none is lost."""
        fresh = [guest(chr(97 + n), 1.0) for n in range(26)]
        others = [guest(chr(65 + n), 3600.0) for n in range(26)]
        queue = self.queue(fresh + others)
        queue.mix()
        order = self.drain(queue)
        straight = ''.join(each.instance_id for each in fresh + others)
        self.assertNotEqual(straight, order)
        self.assertEqual(sorted(straight), sorted(order))
        self.assertTrue(order[:26].islower())

    def test_the_rest_has_each_guest_once(self) -> None:
        """Guests of every kind are in it, even unread ones."""
        self.suspects = 'a'
        queue = self.queue(iter(map(queues.Guest, 'abcd')))
        self.next(queue)
        queue.put(queues.Task(queues.Guest('x')), 100.0)
        queue.put(queues.Task(queues.Guest('y'), extra=True))
        rest = [task.guest.instance_id for task in queue.rest()]
        self.assertCountEqual('acdxy', rest)
        self.assertFalse(queue)
        self.assertEqual([], list(queue.rest()))
