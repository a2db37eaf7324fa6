# SPDX-License-Identifier: Apache-2.0

"""The gate, against the limiter of Trove, on a clock of our own."""

from collections.abc import Sequence
import heapq
import json
import random

import testtools

from troveclient_rpcping import limits
from troveclient_rpcping import reply as replies
from troveclient_rpcping.engine import pacing


def refusal(
    retry_after: str = '1', limit: int = 200, period: str = 'minute'
) -> replies.Reply:
    """Return Trove's refusal (trove/common/wsgi.py, OverLimitFault)."""
    body = {
        'overLimit': {
            'code': 413,
            'message': 'This request was rate-limited.',
            'details': (
                f'Only {limit} GET request(s) can be made to * every {period}.'
            ),
            'retryAfter': retry_after,
        }
    }
    headers = {'retry-after': retry_after}
    return replies.Reply(413, headers, json.dumps(body).encode())


def throttled(
    now: float = 0.0, reply: replies.Reply | None = None
) -> pacing.Gate:
    """Return a gate whose first request was refused."""
    gate = pacing.Gate()
    gate.refused(now, gate.sent(now), reply or refusal())
    return gate


class Limiter:
    """The leaky bucket of one API process (trove/common/limits.py)."""

    def __init__(self, limit: int, period: float = 60.0):
        self._cost = period / limit
        self._capacity = period
        self._water = 0.0
        self._last = 0.0

    def admits(self, now: float) -> bool:
        self._water = max(0.0, self._water - (now - self._last))
        self._last = now
        if self._water + self._cost > self._capacity:
            return False
        self._water += self._cost
        return True


class Sweep:
    """A sweep in simulated time: a gate before API processes with limiters.

    A ping takes 30 ms, a refusal 5; each process does one thing at a time.

    :param weights: how the connections spread over the processes; None for
        evenly.
    """

    def __init__(
        self,
        pings: int,
        processes: int,
        limit: int = 200,
        weights: Sequence[float] | None = None,
    ):
        self._weights = weights
        self.pings = pings
        self.sent = self.refused = 0
        self.seconds = 0.0
        self._limiters = [Limiter(limit) for _ in range(processes)]
        self._free = [0.0] * processes
        self._limit = limit

    @property
    def minimum(self) -> float:
        """Return the seconds that the limiters need for any client."""
        budget = self._limit * len(self._limiters)
        return (self.pings - budget) / (budget / 60)

    def run(self, concurrency: int = 64) -> None:
        chance = random.Random(1)
        gate = pacing.Gate()
        now, left, done = 0.0, self.pings, 0
        again: list[float] = []
        landing: list[tuple[float, int, bool, int]] = []
        while done < self.pings:
            while len(landing) < concurrency and not gate.pause(now):
                if again and again[0] <= now:
                    heapq.heappop(again)
                elif left:
                    left -= 1
                else:
                    break
                process = chance.choices(
                    range(len(self._limiters)), self._weights
                )[0]
                begins = max(now, self._free[process])
                admitted = self._limiters[process].admits(begins)
                self._free[process] = begins + (0.012 if admitted else 0.004)
                lands = self._free[process] + (0.018 if admitted else 0.001)
                self.sent += 1
                era = gate.sent(now)
                heapq.heappush(landing, (lands, self.sent, admitted, era))
            times = [landing[0][0]] if landing else []
            if len(landing) < concurrency and (left or again):
                opens = now + gate.pause(now)
                times.append(opens if left else max(opens, again[0]))
            now = max(now, min(times))
            while landing and landing[0][0] <= now:
                _, _, admitted, era = heapq.heappop(landing)
                if admitted:
                    done += 1
                    gate.admitted(era)
                else:
                    self.refused += 1
                    reply = refusal(limit=self._limit)
                    pause = gate.refused(now, era, reply)
                    heapq.heappush(again, now + pause)
        self.seconds = now


class GateTest(testtools.TestCase):
    def test_slow_requests_do_not_raise_the_rate(self) -> None:
        """Only requests that wait for the gate raise the rate."""
        gate = throttled(100.0)
        learned = gate.rate or 0.0
        now = 110.0
        for together in (1, 2, 3):
            for _ in range(1000):
                for _ in range(together):
                    self.assertEqual(0.0, gate.pause(now))
                    gate.admitted(gate.sent(now))
                now += 2.0
        self.assertEqual(learned, gate.rate)

    def test_requests_that_wait_for_the_gate_raise_the_rate(self) -> None:
        """A delay of the event loop does not matter."""
        for late in (0.0, 0.5):
            gate = throttled(100.0)
            learned = gate.rate or 0.0
            now = 110.0
            gate.sent(now)
            for _ in range(5):
                now += gate.pause(now) + late / (gate.rate or 1.0)
                gate.admitted(gate.sent(now))
            self.assertGreater(gate.rate or 0.0, learned, late)

    def test_the_budget_of_all_processes_is_used_up(self) -> None:
        """Each refusal names the budget of one process alone."""
        for sweep, factor in (
            (Sweep(2000, processes=1), 1.05),
            (Sweep(3000, processes=4), 1.25),
            # The kernel gives some processes more connections than others.
            (Sweep(3000, processes=4, weights=[32, 27, 22, 19]), 1.25),
            # Operators may set http_get_rate to any value.
            (Sweep(150, processes=1, limit=30), 1.1),
            (Sweep(5000, processes=1, limit=1000), 1.1),
        ):
            sweep.run()
            self.assertLess(sweep.seconds, factor * sweep.minimum)
            if sweep.pings > 150:
                self.assertLess(sweep.refused, 0.1 * sweep.pings)

    def test_without_a_refusal_nothing_is_held_back(self) -> None:
        """A server without a limit gets requests at full speed."""
        gate = pacing.Gate()
        for number in range(1000):
            self.assertEqual(0, gate.pause(0.0))
            gate.admitted(gate.sent(0.0))
            self.assertFalse(gate.throttled, str(number))
        self.assertIsNone(gate.rate)

    def test_a_refusal_names_the_rate(self) -> None:
        """The unit is the second, the minute, the hour or the day."""
        for period, seconds in zip(
            ('second', 'minute', 'hour', 'day'),
            (1, 60, 3600, 86400),
            strict=True,
        ):
            limit = 200 * seconds
            gate = throttled(reply=refusal(limit=limit, period=period))
            self.assertAlmostEqual(200, gate.rate or 0)

    def test_a_refusal_that_names_no_rate_halves_what_got_through(
        self,
    ) -> None:
        """The refusal of a proxy lacks Trove's words, or has odd ones."""
        for body in (
            b'',
            b'<html>',
            b'Only 0 GET request(s) can be made to * every minute.',
            b'Only 99999999999 GET request(s) can be made to * every minute.',
            b'Only 5 GET request(s) can be made to * every eon.',
        ):
            gate = pacing.Gate()
            for _ in range(100):
                gate.admitted(gate.sent(10.0))
            gate.refused(12.0, gate.sent(11.0), replies.Reply(429, {}, body))
            self.assertAlmostEqual(25.0, gate.rate or 0)

    def test_a_server_that_refuses_everything_is_starved(self) -> None:
        """The pause that the server asks for does not matter."""
        for pause in ('0', '1', '5', '30', '100'):
            gate, now = pacing.Gate(), 0.0
            while not gate.starved:
                gate.refused(now, gate.sent(now), refusal(pause))
                now += max(gate.pause(now), 0.1)
                self.assertLess(now, 2 * pacing.STARVED, pause)
            self.assertGreater(now, pacing.STARVED, pause)

    def test_one_request_that_gets_through_is_enough(self) -> None:
        """The seconds are counted from the next refusal to the last one."""
        gate = throttled()
        gate.admitted(gate.sent(140.0))
        for seconds, starved in ((0.0, False), (150.0, False), (150.1, True)):
            now = 200.0 + seconds
            gate.refused(now, gate.sent(now), refusal())
            self.assertEqual(starved, gate.starved)

    def test_a_rate_of_the_user_is_kept(self) -> None:
        """Pings are spaced evenly, and no refusal changes the rate."""
        gate = pacing.Gate(rate=10)
        now, sent = 0.0, 0
        while now < 10:
            now += gate.pause(now)
            gate.admitted(gate.sent(now))
            sent += 1
        self.assertLessEqual(sent, 10 * 10 + 2)
        gate.refused(now, gate.sent(now), refusal(period='second'))
        for _ in range(10_000):
            gate.admitted(gate.sent(now))
        self.assertLessEqual(gate.rate or 0, 10)

    def test_lost_time_is_made_up_for_within_bounds(self) -> None:
        """A busy machine neither wastes the budget nor sends a burst."""
        gate = throttled(reply=refusal(limit=10, period='second'))
        burst = 0
        while not gate.pause(100.0):
            gate.sent(100.0)
            burst += 1
        self.assertGreater(burst, 5)
        self.assertLess(burst, 15)
        gate = pacing.Gate(rate=10)
        gate.sent(0.0)
        gate.sent(100.0)
        self.assertGreater(gate.pause(100.0), 0)

    def test_each_refusal_calls_the_listener(self) -> None:
        """The listener gets the present rate."""
        told: list[limits.Throttle] = []
        gate = pacing.Gate(on_throttle=told.append)
        gate.refused(0.0, gate.sent(0.0), refusal('31'))
        (throttle,) = told
        self.assertAlmostEqual(200 / 60, throttle.rate)
        self.assertAlmostEqual(30, throttle.pause)


class RateTest(testtools.TestCase):
    """The first rate, and its later changes.

    A share is a part of the whole budget: the budget that a refusal names,
    times the number of API processes.
    """

    # The share of refusals at which the rate stays the same.
    REFUSED = 0.024

    def throttled(self, admitted: int = 0, at: float = 0.0) -> pacing.Gate:
        """Return a gate whose first refusal came after these requests."""
        gate = pacing.Gate()
        for _ in range(admitted):
            gate.admitted(gate.sent(at))
        gate.refused(at, gate.sent(at), refusal())
        return gate

    def again(self, gate: pacing.Gate, now: float = 0.0) -> None:
        gate.refused(now, gate.sent(now), refusal())

    def grow(self, gate: pacing.Gate, times: int = 1) -> None:
        for _ in range(times):
            gate.admitted(gate.sent(0.0))

    def assert_share(
        self, share: float, gate: pacing.Gate, processes: int = 1
    ) -> None:
        budget = processes * 200 / 60
        self.assertAlmostEqual(share, (gate.rate or 0) / budget, 9)

    def test_the_first_refusal_shows_the_number_of_processes(
        self,
    ) -> None:
        """The requests beyond the burst count, within a tenth."""
        for admitted, at, processes in (
            (0, 0.0, 1),
            (215, 0.0, 1),
            (230, 0.0, 2),
            (500, 0.0, 3),
            (500, 60.0, 3),
        ):
            gate = self.throttled(admitted, at)
            self.assert_share(1.0, gate, processes)
        gate = pacing.Gate()
        for number in range(500):
            gate.admitted(gate.sent(number * 0.12))
        self.again(gate, 60.0)
        self.assert_share(1.0, gate, 2)

    def test_after_the_first_refusal_more_processes_are_searched_fast(
        self,
    ) -> None:
        """The rate grows by 5 % for each request that gets through."""
        gate = self.throttled()
        self.grow(gate, 3)
        self.assert_share(1.05**3, gate)

    def test_after_that_it_grows_slowly_and_faster_after_a_run(self) -> None:
        """The run has more than fifty requests, and a refusal ends it."""
        gate = self.throttled()
        for _ in range(2):
            self.again(gate)
            before = gate.rate or 0
            self.grow(gate, 50)
            self.assertAlmostEqual(before * 1.006**50, gate.rate or 0)
            self.grow(gate)
            self.assertAlmostEqual(before * 1.006**50 * 1.015, gate.rate or 0)

    def test_requests_sent_before_a_refusal_change_nothing(
        self,
    ) -> None:
        """Those requests were sent at another rate."""
        gate = pacing.Gate()
        era = gate.sent(0.0)
        self.again(gate)
        # From now on requests wait.
        gate.sent(0.0)
        gate.admitted(era)
        self.assert_share(1.0, gate)
        gate.refused(0.0, era, refusal())
        self.assert_share(1.0, gate)

    def test_a_refusal_takes_a_quarter_but_not_below_half(self) -> None:
        """With one process, the rate falls at once."""
        gate = self.throttled()
        self.again(gate)
        self.assert_share(0.75, gate)
        self.again(gate)
        self.assert_share(0.75**2, gate)
        self.again(gate)
        self.assert_share((1 - self.REFUSED) * 0.5, gate)

    def test_a_refusal_by_one_of_several_processes_costs_little(
        self,
    ) -> None:
        """While few requests are refused, the rate falls to 95 % or more."""
        for admitted, processes in ((500, 3), (300, 2)):
            gate = self.throttled(admitted)
            self.again(gate)
            self.assert_share(0.93, gate, processes)
            self.again(gate)
            self.assert_share((1 - self.REFUSED) * 0.95, gate, processes)

    def test_far_beyond_the_budget_of_several_it_takes_a_quarter(self) -> None:
        """Far beyond is one and a half times the budget."""
        # 1.05 ** 7 / 0.976 is below 1.5, and 1.05 ** 8 / 0.976 is not.
        for steps, left in ((7, 0.93), (8, 0.75)):
            gate = self.throttled(500)
            self.grow(gate, steps)
            self.again(gate, 60.0)
            self.assert_share(1.05**steps * left, gate, 3)

    def test_the_rate_of_several_grows_by_how_few_were_refused(self) -> None:
        """Less than 8 % of the requests that got through are few."""
        for refused, growth in ((39, 1.015), (40, 1.004)):
            gate = pacing.Gate()
            old = gate.sent(0.0)
            for _ in range(499):
                gate.admitted(gate.sent(0.0))
            self.again(gate)
            self.again(gate)
            for _ in range(refused - 2):
                gate.refused(0.0, old, refusal())
            before = gate.rate or 0
            # The share is checked at the 500th request.
            self.grow(gate)
            self.assertAlmostEqual(before * growth, gate.rate or 0)

    def test_many_refusals_let_the_rate_of_several_fall_to_half(self) -> None:
        """The estimate of the budget was too high."""
        gate = pacing.Gate()
        old = gate.sent(0.0)
        self.grow(gate, 500)
        self.again(gate)
        for _ in range(40):
            gate.refused(0.0, old, refusal())
        self.again(gate)
        self.again(gate)
        self.assert_share(0.93**2, gate, 3)


class PauseTest(testtools.TestCase):
    """How long the gate stays closed."""

    def test_a_refused_request_waits_as_long_as_the_refusal_says(self) -> None:
        """The pause is one second by default, and two minutes at most.

        Trove rounds it up, so the gate is closed for a second less.
        """
        for header, pause, closed in (
            ('7', 7.0, 6.0),
            ('0.5', 0.5, 0.0),
            ('0', 1.0, 0.0),
            ('soon', 1.0, 0.0),
            ('1.5', 1.5, 0.5),
            ('119', 119.0, 118.0),
            ('1e9', 120.0, 119.0),
        ):
            gate = pacing.Gate()
            reply = refusal(header, limit=10**8, period='second')
            self.assertEqual(pause, gate.refused(0.0, gate.sent(0.0), reply))
            self.assertAlmostEqual(closed, gate.pause(0.0))

    def test_a_tiny_budget_does_not_stop_all_requests(self) -> None:
        """A budget of one a day must not stop the sweep for a day."""
        gate = throttled(reply=refusal(limit=1, period='day'))
        self.assertAlmostEqual(1 / 120, gate.rate or 0)
        self.assertLessEqual(gate.pause(0.0), 120)
