# SPDX-License-Identifier: Apache-2.0

"""Repeated pings, and their results."""

import dataclasses
import threading
from typing import Any

import testtools

from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.sweep import repeat as repeats
from troveclient_rpcping.tests import base

NOVA = base.bad_request('nova is broken (HTTP 500)')


def result(
    verdict: verdicts.Verdict = verdicts.Verdict.REACHABLE,
    reason: verdicts.Reason | None = None,
    *,
    rtt: float | None = 0.5,
    instance: str = base.GUEST,
    status: int | None = 204,
) -> verdicts.PingResult:
    return verdicts.PingResult(
        instance_id=instance,
        verdict=verdict,
        reason=reason,
        rtt=rtt,
        http_status=status,
    )


DEAD = result(
    verdicts.Verdict.UNREACHABLE,
    verdicts.Reason.AGENT_TIMEOUT,
    rtt=15.0,
    status=400,
)
FAILED = result(
    verdicts.Verdict.ERROR, verdicts.Reason.AGENT_ERROR, status=400
)
CUT = result(
    verdicts.Verdict.UNKNOWN, verdicts.Reason.CONNECTION, rtt=None, status=None
)


class TimesTest(testtools.TestCase):
    def test_the_pace_is_fixed(self) -> None:
        """It counts from the first ping, however long an answer takes.

        A ping after its time follows at once, and the next is in time again.
        """
        times = repeats.Times(5, 10.0)
        for sent, answered, due in (
            (100.0, 100.5, 110.0),
            (110.3, 114.0, 120.0),
            (120.0, 135.0, 135.0),
            (135.0, 135.1, 140.0),
            (140.0, 140.1, None),
        ):
            self.assertEqual(due, times.due(result(), sent, answered))
        once = repeats.Times(1, 1.0)
        self.assertIsNone(once.due(result(), 0.0, 0.1), 'once is once')

    def test_each_guest_has_a_pace_of_its_own(self) -> None:
        """One guest does not use up the pings of another."""
        times = repeats.Times(2, 1.0)
        other = result(instance=base.OTHER)
        self.assertEqual(1.0, times.due(result(), 0.0, 0.1))
        self.assertEqual(6.0, times.due(other, 5.0, 5.1))
        self.assertIsNone(times.due(result(), 1.0, 1.1))
        self.assertIsNone(times.due(other, 6.0, 6.1))


class UntilReachableTest(testtools.TestCase):
    def test_a_reachable_guest_is_not_pinged_again(self) -> None:
        """Any other guest is pinged again."""
        until = repeats.UntilReachable(1, 2.0)
        for each in (DEAD, FAILED, CUT):
            self.assertEqual(2.0, until.due(each, 0.0, 0.5))
        self.assertIsNone(until.due(result(), 2.0, 2.1))

    def test_stable_is_a_number_of_times_in_a_row(self) -> None:
        """A lost ping begins the row anew."""
        until = repeats.UntilReachable(2, 1.0)
        for number, each in enumerate((result(), DEAD, result())):
            now = float(number)
            self.assertEqual(now + 1, until.due(each, now, now))
        self.assertIsNone(until.due(result(), 3.0, 3.0))

    def test_a_guest_that_does_not_exist_is_not_waited_for(self) -> None:
        """It will never be reachable."""
        gone = result(
            verdicts.Verdict.UNKNOWN, verdicts.Reason.NOT_FOUND, status=404
        )
        self.assertIsNone(repeats.UntilReachable(1, 1.0).due(gone, 0.0, 0.1))


class SeriesTest(testtools.TestCase):
    def series(self, *results: verdicts.PingResult) -> outcomes.Series:
        series = outcomes.Series()
        for each in results:
            series.add(each)
        return series

    def test_each_ping_sent_is_received_lost_or_failed(self) -> None:
        """A ping that was not sent counts nowhere."""
        skipped = result(
            verdicts.Verdict.UNKNOWN, verdicts.Reason.NOT_ASKED, status=None
        )
        invalid = result(
            verdicts.Verdict.UNKNOWN, verdicts.Reason.NOT_FOUND, status=None
        )
        late = dataclasses.replace(result(), lost=2)
        dead = dataclasses.replace(DEAD, lost=4)
        bus = result(
            verdicts.Verdict.UNKNOWN, verdicts.Reason.MESSAGE_BUS, status=400
        )
        for case, results, counts in (
            ('a loss', [result(), DEAD, FAILED, result()], (4, 2, 1, 1)),
            ('pings that were not sent', [skipped, invalid], (0, 0, 0, 0)),
            ('lost pings of a guest that answered', [late], (3, 1, 2, 0)),
            ('further pings for evidence', [dead], (1, 0, 1, 0)),
            ('a lost ping before an answer', [bus, result()], (2, 1, 1, 0)),
        ):
            series = self.series(*results)
            self.assertEqual(
                counts,
                (series.sent, series.received, series.lost, series.failed),
                case,
            )

    def test_the_times_are_those_of_pings_received(self) -> None:
        """A lost ping has a time too, but no answer.

        Without an answer the times are None; one too short to measure is 0.
        """
        for results, times in (
            ([result(rtt=0.25), DEAD, result(rtt=0.75)], (0.25, 0.5, 0.75)),
            ([], (None, None, None)),
            ([DEAD, CUT], (None, None, None)),
            ([result(rtt=0.0), result(rtt=None)], (0.0, 0.0, 0.0)),
        ):
            series = self.series(*results)
            self.assertEqual(
                times, (series.shortest, series.average, series.longest)
            )

    def test_the_worst_outweighs_the_rest(self) -> None:
        """Bad outweighs unknown, and unknown outweighs reachable.

        Of equal verdicts the latest counts. A lost ping says nothing of a
        guest that answered later.
        """
        later = result(
            verdicts.Verdict.UNREACHABLE,
            verdicts.Reason.AGENT_TIMEOUT,
            rtt=16.0,
        )
        bus = result(
            verdicts.Verdict.UNKNOWN, verdicts.Reason.MESSAGE_BUS, status=400
        )
        well = result()
        for results, worst in (
            ([well, CUT], CUT),
            ([CUT, FAILED, well], FAILED),
            ([DEAD, FAILED, CUT], DEAD),
            ([DEAD, later, FAILED], later),
            ([well, bus], bus),
            ([CUT, bus], bus),
            ([bus, well], well),
            ([FAILED, bus, well], FAILED),
        ):
            series = self.series(*results)
            self.assertIs(worst, series.worst)
            self.assertIs(results[-1], series.last)

    def test_the_outcome_of_a_wait_is_the_last_result(self) -> None:
        """Reachable too few times in a row is not yet reachable."""
        well = result()
        for stable, results, expected in (
            (1, [DEAD, well], well),
            (2, [well, well], well),
            (2, [well, well, DEAD], DEAD),
            (1, [], None),
        ):
            series = outcomes.Series(stable=stable)
            for each in results:
                series.add(each)
            self.assertIs(expected, series.outcome)
        series = outcomes.Series(stable=2)
        series.add(well)
        early = series.outcome
        assert early is not None
        self.assertEqual(
            (verdicts.Verdict.UNKNOWN, verdicts.Reason.TIMEOUT),
            (early.verdict, early.reason),
        )

    def test_the_outcome_of_several_pings_has_their_mean_time(self) -> None:
        """The outcome of one ping is its result."""
        for results, rtt in (
            ([result(rtt=0.25), result(rtt=0.75)], 0.5),
            ([result(rtt=0.25), DEAD], 0.25),
            ([DEAD], 15.0),
        ):
            outcome = self.series(*results).outcome
            assert outcome is not None
            self.assertEqual(rtt, outcome.rtt)

    def test_a_lost_ping_breaks_a_row(self) -> None:
        """The row counts from the last loss."""
        self.assertEqual(2, self.series(DEAD, result(), result()).in_a_row)
        self.assertEqual(0, self.series(result(), CUT).in_a_row)


class RepeatedSweepTest(base.TestCase):
    """Against a server."""

    def manager(self, answer: Any) -> Any:
        self.server = self.serve(answer)
        return self.connect(self.server.url).mgmt_instances

    def pings(self, guest: str) -> int:
        """Return how often a guest was pinged."""
        return [guest in each[0] for each in self.server.requests].count(True)

    def test_each_guest_is_pinged_the_given_number_of_times(self) -> None:
        """Each ping has a result."""
        manager = self.manager(base.PONG)
        results = list(
            manager.rpc_ping_each(
                [base.GUEST, base.OTHER], count=3, interval=0.01
            )
        )
        self.assertCountEqual(
            [base.GUEST, base.OTHER] * 3, [r.instance_id for r in results]
        )
        self.assertEqual(6, len(self.server.requests))

    def test_a_slow_guest_does_not_delay_the_others(self) -> None:
        """The others are pinged while its first answer is outstanding."""
        slow = threading.Event()

        def answer(request: base.Request) -> bytes:
            if base.OTHER in request[0]:
                slow.wait(base.LONG)
            return base.PONG

        seen = []
        for each in self.manager(answer).rpc_ping_each(
            [base.OTHER, base.GUEST], count=5, interval=0.01
        ):
            seen.append(each.instance_id)
            if seen == [base.GUEST] * 5:
                slow.set()
        self.assertEqual([base.GUEST] * 5 + [base.OTHER] * 5, seen)

    def test_a_wait_ends_for_each_guest_when_it_is_reachable(self) -> None:
        """Only the guest that is awaited has further results."""
        late = iter([base.DEAD, NOVA, NOVA, base.PONG])

        def answer(request: base.Request) -> bytes:
            return base.PONG if base.GUEST in request[0] else next(late)

        manager = self.manager(answer)
        results = list(
            manager.rpc_ping_until_reachable(
                [base.GUEST, base.OTHER], interval=0.01, deadline=base.LONG
            )
        )
        self.assertEqual(
            [verdicts.Verdict.REACHABLE],
            [
                each.verdict
                for each in results
                if each.instance_id == base.GUEST
            ],
        )
        self.assertIs(verdicts.Verdict.REACHABLE, results[-1].verdict)

    def test_waiting_outlives_an_api_that_is_gone(self) -> None:
        """Failed pings do not end the wait."""
        failures = 300
        lock = threading.Lock()

        def answer(request: base.Request) -> bytes | None:
            nonlocal failures
            with lock:
                failures -= 1
            return None if failures > 0 else base.PONG

        last = {}
        instances = [f'{base.GUEST[:-2]}{n:02}' for n in range(40)]
        for each in self.manager(answer).rpc_ping_until_reachable(
            instances, interval=0.01, deadline=base.LONG, concurrency=4
        ):
            last[each.instance_id] = each.verdict
        self.assertEqual(
            [verdicts.Verdict.REACHABLE] * 40, list(last.values())
        )

    def test_a_guest_that_stays_dead_is_unreachable_at_the_deadline(
        self,
    ) -> None:
        """Trove's last word counts, and not the end of the time."""
        results = list(
            self.manager(base.DEAD).rpc_ping_until_reachable(
                [base.GUEST], interval=0.01, deadline=0.5
            )
        )
        self.assertEqual(verdicts.Verdict.UNREACHABLE, results[-1].verdict)
        self.assertNotIn(
            verdicts.Reason.NOT_ASKED, [r.reason for r in results]
        )

    def test_a_user_without_admin_rights_does_not_wait(self) -> None:
        """The rights would not change during the wait."""
        results = list(
            self.manager(base.NOT_ADMIN).rpc_ping_until_reachable(
                [base.GUEST], interval=0.01, deadline=base.LONG
            )
        )
        self.assertEqual([verdicts.Reason.DENIED], [r.reason for r in results])
