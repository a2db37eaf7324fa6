# SPDX-License-Identifier: Apache-2.0

"""The number of pings in flight: the rules, and a model of servers.

Model times are simulated: no busy machine can miss them.
"""

import random

import testtools

from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.sweep import capacity as capacities
from troveclient_rpcping.tests import model

SERVICE = 0.03


def fleet(
    live: int, dead: int = 0, *, deaf: int = 0, seed: int = 1
) -> tuple[model.Guest, ...]:
    return model.fleet(random.Random(seed), live, dead, deaf=deaf)


class RulesTest(testtools.TestCase):
    def flying(
        self, count: int, *, answered: bool = True
    ) -> capacities.Capacity:
        """Return a capacity with pings that were sent at 0."""
        capacity = capacities.Capacity(64)
        if answered:
            for number in range(4):
                capacity.sent(f'calm {number}', 0.0)
                capacity.ended(f'calm {number}', 0.03, 0.03)
        for number in range(count):
            capacity.sent(number, 0.0)
        return capacity

    def test_a_sweep_begins_with_two_or_with_what_the_user_allows(
        self,
    ) -> None:
        """It does not yet know the time of an answer."""
        for most, begin in ((64, 2), (2, 2), (1, 1)):
            capacity = capacities.Capacity(most)
            for number in range(begin):
                self.assertTrue(capacity.has_room(0.0, risky=False))
                capacity.sent(number, 0.0)
            self.assertFalse(capacity.has_room(0.0, risky=False))

    def test_one_guest_is_held_before_there_is_proof(self) -> None:
        """A second one may take the last worker."""
        capacity = self.flying(0)
        self.assertTrue(capacity.has_room(1.0, risky=True))
        capacity.sent('stale', 1.0, risky=True)
        self.assertFalse(capacity.has_room(1.0, risky=True))

    def test_two_quick_pairs_in_a_row_make_room_for_one_more(self) -> None:
        """One pair may be lucky; a slow or a lost control shows no room."""
        for case, rtts, quick in (
            ('quick', (0.03, 0.035), True),
            ('workers that share a processor', (0.09, 0.1), True),
            ('a control that waits for the other', (0.03, 0.06), False),
            ('two that wait for others', (0.11, 0.13), False),
            ('a lost control', (0.03,), False),
            ('two lost controls', (), False),
        ):
            capacity = self.flying(0)
            capacity.sent('stale', 1.0, risky=True)
            self.assertTrue(capacity.wants_pair(1.0))
            for expected in (False, quick):
                capacity.pair_sent(1.0)
                capacity.pair_ended(1.1, rtts)
                room = capacity.has_room(1.1, risky=True)
                self.assertIs(expected, room, case)

    def test_a_pair_goes_when_nothing_else_is_in_flight(self) -> None:
        """Otherwise it would measure the wait for other pings."""
        capacity = self.flying(1)
        capacity.sent('stale', 0.1, risky=True)
        self.assertFalse(capacity.wants_pair(0.1))
        capacity.ended(0, 0.2, 0.03)
        self.assertTrue(capacity.wants_pair(0.2))

    def test_single_pings_do_not_show_free_workers(self) -> None:
        """A single control does not meet a queue."""
        capacity = self.flying(0)
        for rtt in (0.02, 0.06):
            for number in range(20):
                capacity.sent(number, 1.0)
                capacity.ended(number, 1.0 + rtt, rtt)
        for number in range(4):
            self.assertTrue(capacity.has_room(2.0, risky=False))
            capacity.sent(number, 2.0)

    def test_slow_pairs_come_less_and_less_often(self) -> None:
        """Pairs need workers, too."""
        capacity = self.flying(0)
        capacity.sent('stale', 0.0, risky=True)
        now, pauses = 1.0, []
        for _ in range(6):
            capacity.pair_sent(now)
            capacity.pair_ended(now, ())
            begun = now
            while not capacity.wants_pair(now):
                now += 0.01
            pauses.append(now - begun)
        self.assertEqual(sorted(pauses), pauses)
        self.assertGreater(pauses[-1], 1.0)

    def test_a_ping_that_keeps_trove_waiting_makes_the_sweep_careful(
        self,
    ) -> None:
        """Each further guest may turn out to be dead, too."""
        capacity = self.flying(1)
        self.assertTrue(capacity.has_room(0.1, risky=False))
        self.assertFalse(capacity.has_room(0.9, risky=False))

    def test_a_ping_that_was_given_up_still_holds_a_worker(self) -> None:
        """Trove still waits for the guest agent, for 15 s or as observed."""
        capacity = self.flying(1)
        capacity.ended(0, 2.0, None)
        capacity.gave_up(0.0, 2.0)
        self.assertFalse(capacity.has_room(14.9, risky=True))
        self.assertTrue(capacity.has_room(15.1, risky=True))

    def test_a_silent_cloud_gets_a_few_pings_at_a_time(self) -> None:
        """If the message bus is dead, each ping holds a worker."""
        capacity = self.flying(2, answered=False)
        self.assertFalse(capacity.has_room(0.9, risky=False))
        self.assertTrue(capacity.has_room(1.1, risky=False))
        capacity = self.flying(4, answered=False)
        self.assertFalse(capacity.has_room(1000.0, risky=False))

    def test_controls_take_no_place_of_guests(self) -> None:
        """Otherwise a control would delay the last guest."""
        capacity = self.flying(0)
        capacity.sent('stale', 1.0, risky=True)
        capacity.sent('control', 1.0, control=True)
        capacity.ended('stale', 1.1, None)
        self.assertTrue(capacity.has_room(1.2, risky=False))

    def test_a_halt_after_which_all_answer_is_no_block(self) -> None:
        """Few guests may be slow, one may be dead, and a halt comes once."""
        for halts, number, last, room in (
            (1, 9, 3.1, True),
            (1, 8, 3.1, False),
            (1, 9, None, False),
            (2, 9, 3.1, False),
        ):
            capacity = self.flying(0)
            for _ in range(halts):
                for ping in range(number):
                    capacity.sent(ping, 0.0)
                capacity.watch(3.0)
                for ping in range(number - 1):
                    capacity.ended(ping, 3.1, 3.1)
                capacity.ended(number - 1, 3.1, last)
            capacity.sent('a', 4.0)
            self.assertEqual(room, capacity.has_room(4.0, risky=False))

    def test_a_guest_that_answers_slowly_is_a_suspect(self) -> None:
        """It holds a worker until it answers."""
        capacity = self.flying(0)
        for rtt, suspects in ((3.0, {'a'}), (0.03, set())):
            capacity.answered('a', rtt)
            self.assertEqual(suspects, capacity.suspects)

    def test_a_block_is_forgotten_after_many_sweeps_without_one(self) -> None:
        """One block does not slow a monitor down for ever."""
        capacity = self.flying(3)
        capacity.watch(10.0)
        for number in range(3):
            capacity.ended(number, 11.0, None)
        rooms = []
        for sweep in range(30):
            capacity.begin(100.0 * sweep)
            for number in range(4):
                capacity.sent(f'calm {number}', 100.0 * sweep)
                capacity.ended(f'calm {number}', 100.0 * sweep, 0.03)
            capacity.sent('a', 100.0 * sweep)
            rooms.append(capacity.has_room(100.0 * sweep, risky=False))
            capacity.ended('a', 100.0 * sweep, 0.03)
        self.assertFalse(rooms[0])
        self.assertTrue(rooms[-1])

    def test_the_next_sweep_keeps_the_capacity(self) -> None:
        """It measures the usual round-trip time again."""
        capacity = self.flying(0)
        capacity.sent('stale', 1.0, risky=True)
        for _ in range(2):
            capacity.pair_sent(1.0)
            capacity.pair_ended(1.1, (0.03, 0.03))
        capacity.begin(100.0)
        capacity.sent('a', 100.0)
        capacity.ended('a', 100.3, 0.3)
        self.assertEqual(0.3, capacity.usual)
        capacity.sent('stale', 101.0, risky=True)
        self.assertTrue(capacity.has_room(101.0, risky=True))


class ServersTest(testtools.TestCase):
    """Simulated sweeps of 200 guests on every kind of server."""

    servers = (
        (model.Server.SYNC, 2, 15.0),
        (model.Server.SYNC, 5, 15.0),
        (model.Server.SYNC, 16, 5.0),
        (model.Server.EVENT, 2, 15.0),
    )

    def sweep(
        self,
        guests: tuple[model.Guest, ...],
        server: model.Server,
        workers: int,
        low: float,
        capacity: capacities.Capacity | None = None,
    ) -> model.Outcome:
        cloud = model.Cloud(
            guests, server=server, workers=workers, low=low, service=SERVICE
        )
        outcome = model.sweep(cloud, 1, capacity=capacity, tenant=True)
        for number, guest in enumerate(guests):
            self.assertEqual(
                verdicts.Verdict.UNREACHABLE
                if guest.kind is model.Kind.DEAD
                else verdicts.Verdict.REACHABLE,
                outcome.results[number][-1].verdict,
            )
        return outcome

    def test_no_tenant_notices_dead_guests_with_a_stale_heartbeat(
        self,
    ) -> None:
        """No request of a tenant waits longer than a fraction of a second."""
        for server, workers, low in self.servers:
            for dead in (0, 10, 30):
                guests = fleet(200 - dead, dead)
                outcome = self.sweep(guests, server, workers, low)
                self.assertLess(max(outcome.waits), 0.25, f'{server} {dead}')

    def test_workers_are_used_but_for_one(self) -> None:
        """All other workers wait for dead guests at the same time."""
        for server, workers, low in self.servers[:3]:
            outcome = self.sweep(fleet(170, 30), server, workers, low)
            bound = 30 * low / (workers - 1) + 200 * SERVICE / workers
            self.assertLess(outcome.seconds, 1.25 * bound, str(workers))

    def test_greenthreads_wait_for_dead_guests_together(self) -> None:
        """Each further dead guest costs two or three pairs of controls."""
        for dead in (10, 30):
            guests = fleet(200 - dead, dead)
            outcome = self.sweep(guests, model.Server.EVENT, 2, 15.0)
            at_once = 15 + 200 * SERVICE / 4
            self.assertLess(outcome.seconds, at_once + 1 + dead * 6 * SERVICE)

    def test_a_healthy_cloud_is_swept_as_fast_as_it_answers(self) -> None:
        """It takes at most 15 % longer than the workers need."""
        for server, workers, low in self.servers:
            outcome = self.sweep(fleet(1000), server, workers, low)
            # A greenthread uses the processor for half of the time.
            at_once = workers * (2 if server is model.Server.EVENT else 1)
            best = 1000 * 1.1 * SERVICE / at_once
            self.assertLess(outcome.seconds, 1.15 * best, f'{server}')

    def test_dead_guests_with_a_pulse_block_it_once_at_the_most(self) -> None:
        """They do not block the next sweep of a monitor."""
        for workers in (5, 16):
            for seed in range(4):
                guests = fleet(170, deaf=30, seed=seed)
                capacity = capacities.Capacity(64)
                outcome = self.sweep(
                    guests, model.Server.SYNC, workers, 5.0, capacity
                )
                long = [wait for wait in outcome.waits if wait > 1.0]
                # One tenant's request every 0.25 s, for 5 s.
                self.assertLessEqual(len(long), 20)
                outcome = self.sweep(
                    guests, model.Server.SYNC, workers, 5.0, capacity
                )
                self.assertLess(max(outcome.waits), 0.5)
