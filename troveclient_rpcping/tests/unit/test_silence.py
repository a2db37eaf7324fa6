# SPDX-License-Identifier: Apache-2.0

"""Guests whose ping timed out."""

import testtools

from troveclient_rpcping import fixture
from troveclient_rpcping import inventory
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.sweep import evidence as sweep_evidence
from troveclient_rpcping.sweep import queue as queues
from troveclient_rpcping.sweep import silence
from troveclient_rpcping.sweep import witnesses as sweep_witnesses

FRESH = inventory.Instance('a', heartbeat_age=5.0)
STALE = inventory.Instance('b', heartbeat_age=3600.0)


def evidence(answers: int, lost: int = 0) -> sweep_evidence.Evidence:
    """Return the evidence after answers of one guest, and lost pings."""
    made = sweep_evidence.Evidence()
    for number in range(answers):
        made.answer(float(number), new=not number, stale=False)
    made.lose(lost)
    return made


def silent(
    row: inventory.Instance | None, asked: int, timeouts: int
) -> silence.Silent:
    """Return a guest that timed out."""
    result = verdicts.judge(fixture.agent_timeout(), 'a')
    return silence.Silent(
        queues.Guest('a', row), result, asked=asked, timeouts=timeouts
    )


class NeedsTest(testtools.TestCase):
    def test_the_next_step_depends_on_the_evidence(self) -> None:
        """50 answers, and two timeouts, suffice if no ping got lost."""
        need = silence.Next
        for row, asked, timeouts, bus, expected in (
            (None, 1, 1, evidence(49), need.CONTROLS),
            (None, 1, 1, evidence(50), need.PING),
            (None, 2, 2, evidence(50), need.DEAD),
            # A stale heartbeat stands for one of the timeouts.
            (STALE, 1, 1, evidence(49), need.CONTROLS),
            (STALE, 1, 1, evidence(50), need.DEAD),
            (STALE, 1, 0, evidence(50), need.PING),
            # There are five pings, or two if most pings get lost.
            (None, 4, 1, evidence(50), need.PING),
            (None, 5, 1, evidence(50), need.NOT_STEADY),
            (STALE, 5, 0, evidence(50), need.NOT_STEADY),
            (None, 1, 1, evidence(50, 30), need.PING),
            (None, 2, 2, evidence(50, 30), need.LOSSES),
        ):
            self.assertIs(
                expected,
                silent(row, asked, timeouts).needs(bus),
                f'{asked} {timeouts}',
            )

    def test_without_controls_a_guest_stays_unproven(self) -> None:
        """``--wait`` sends none beside a ping that may take long."""
        for row, timeouts in ((None, 2), (STALE, 1)):
            needs = silent(row, 5, timeouts).needs(
                evidence(49), may_control=False
            )
            self.assertIs(silence.Next.UNPROVEN, needs)

    def test_the_only_guest_of_a_cloud_is_dead_after_two_timeouts(
        self,
    ) -> None:
        """No other guest can confirm it."""
        self.assertIs(silence.Next.PING, silent(None, 1, 0).needs_alone())
        self.assertIs(
            silence.Next.DEAD_UNCONFIRMED, silent(None, 2, 0).needs_alone()
        )


class ResultsTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.evidence = evidence(50)
        self.results: list[verdicts.PingResult] = []
        self.queue = queues.Queue([], lambda guest: False)
        self.silent = silence.SilentGuests(
            self.evidence,
            sweep_witnesses.Witnesses((), lambda id_: False),
            self.queue,
            self.results.append,
        )

    def time_out(
        self, row: inventory.Instance = FRESH, *, extra: bool = False
    ) -> None:
        """Let a ping of a guest time out while another guest answers."""
        task = queues.Task(queues.Guest(row.id, row), extra=extra)
        result = verdicts.judge(fixture.agent_timeout(), row.id)
        self.silent.timed_out(task, result, 48.0, 50.0)

    def answer(self, *, extra: bool) -> verdicts.PingResult:
        """Let the guest with the fresh heartbeat answer a ping."""
        task = queues.Task(queues.Guest('a', FRESH), extra=extra)
        pong = verdicts.judge(fixture.reachable(), 'a')
        return self.silent.end_silence(task, pong)

    def told(self) -> list[tuple[verdicts.Reason | None, int]]:
        return [(each.reason, each.lost) for each in self.results]

    def test_every_ping_of_the_user_has_the_verdict_of_the_guest(self) -> None:
        """The last result counts the other pings as lost."""
        for ending, reason in (
            (silence.Next.DEAD, verdicts.Reason.AGENT_TIMEOUT),
            (silence.Next.NOT_STEADY, verdicts.Reason.MESSAGE_BUS),
        ):
            self.results.clear()
            for _ in range(3):
                self.time_out()
            self.silent.end(ending)
            self.assertEqual(
                [(reason, 0), (reason, 0), (reason, 2)], self.told()
            )

    def test_pings_for_evidence_have_no_result(self) -> None:
        """They count as lost: in the verdict, or in the later answer."""
        self.time_out()
        self.time_out(extra=True)
        self.silent.end(silence.Next.UNPROVEN)
        self.assertEqual([(verdicts.Reason.TIMEOUT, 1)], self.told())
        self.results.clear()
        for extra in (False, False, True):
            self.time_out(extra=extra)
        self.assertEqual(2, self.answer(extra=True).lost)
        # The ping that was answered stands for the second one of the user.
        self.assertEqual([(verdicts.Reason.MESSAGE_BUS, 0)], self.told())
        # Later guests need more evidence.
        self.assertEqual(3, self.evidence.lost)

    def test_an_answer_makes_the_timeouts_before_it_unknown(self) -> None:
        """With ``--count``, each of them is a result."""
        self.time_out()
        self.time_out()
        self.assertEqual(0, self.answer(extra=False).lost)
        self.assertEqual([(verdicts.Reason.MESSAGE_BUS, 0)] * 2, self.told())

    def test_an_unproven_result_names_the_share_of_lost_pings(self) -> None:
        """The operator sees how bad the message bus is."""
        self.evidence.lose(30)
        self.time_out()
        self.silent.end(silence.Next.LOSSES)
        self.assertIn('so did 30 of 80 pings', self.results[0].message)

    def test_a_death_waits_for_the_next_ping_of_another_guest(self) -> None:
        """Its answer shows that pings get lost, so more proof is needed."""
        self.time_out(STALE)
        self.time_out(FRESH)
        self.assertEqual([FRESH], self.decide())
        self.answer(extra=True)
        self.assertEqual([STALE], self.decide())
        # A verdict before the end of that ping would not be the only one.
        for number in range(51, 300):
            self.evidence.answer(float(number), new=False, stale=False)
        self.assertEqual([], self.decide())
        self.assertEqual([], self.results)

    def decide(self) -> list[inventory.Instance | None]:
        """Decide about each guest; return those that are pinged again."""
        self.silent.decide(is_asking=False, is_alone=False, may_control=True)
        return [task.guest.row for task in self.queue.rest()]
