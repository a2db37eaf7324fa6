# SPDX-License-Identifier: Apache-2.0

"""The evidence of a timeout, with simulated times."""

import itertools
import math
import random

import testtools

from troveclient_rpcping.sweep import evidence as sweep_evidence


def seen(
    answers: int, *, lost: int = 0, stale: int = 0
) -> sweep_evidence.Evidence:
    """Return the record of a sweep whose live guests answered once."""
    evidence = sweep_evidence.Evidence()
    for number in range(answers):
        evidence.answer(0.0, new=True, stale=number < stale)
    evidence.lose(lost)
    return evidence


def answers(*times: float) -> sweep_evidence.Evidence:
    evidence = sweep_evidence.Evidence()
    for time in times:
        evidence.answer(time, new=True, stale=False)
    return evidence


class SteadyTest(testtools.TestCase):
    """Whether agents answered all the while that Trove waited."""

    def test_agents_that_answer_all_the_while_are_steady(self) -> None:
        """Two and a half seconds of silence leave no doubt yet."""
        failure = (100.0, 100.5, 121.0, 121.5, 122.0)
        restart = (100.0, *range(103, 116))
        for case, times, sent, now, steady in (
            ('answers all the time', range(100, 116, 2), 100.0, 116.0, True),
            ('no answer', (), 100.0, 100.1, False),
            ('a failure of the bus', failure, 100.4, 122.0, False),
            ('a ping in the failure', failure, 106.0, 121.2, False),
            ('an end after answers', failure, 115.0, 130.0, False),
            ('a ping after the failure', failure, 121.0, 122.0, True),
            ('a restart of the broker', restart, 99.0, 115.0, False),
            ('a ping after the restart', restart, 103.0, 115.0, True),
            ('a silence at the end', (100.0, 102.5), 100.0, 105.0, True),
            ('too long a silence', (100.0, 102.5), 100.0, 105.1, False),
            ('a silence at the start', (100.0, 103.0), 100.5, 103.0, True),
            ('too long a start', (100.0, 103.0), 100.4, 103.0, False),
        ):
            self.assertIs(steady, answers(*times).steady(sent, now), case)

    def test_a_rate_limit_allows_longer_silences(self) -> None:
        """There cannot be more answers than pings."""
        evidence = answers(100.0, 106.0, 112.0)
        self.assertFalse(evidence.steady(100.0, 112.0))
        evidence.spacing = 2.0
        self.assertTrue(evidence.steady(100.0, 112.0))
        # But one answer at least must come during the wait.
        evidence.spacing = 100.0
        self.assertTrue(evidence.steady(100.0, 112.0))
        self.assertFalse(evidence.steady(112.5, 127.5))
        self.assertFalse(answers(100.0, 112.0).steady(100.0, 112.0))

    def test_a_stale_guest_is_believed_though_the_first_witness_is_late(
        self,
    ) -> None:
        """The listing must be read before a witness can be pinged."""
        evidence = answers(106.0, 108.0, 110.0, 112.0, 114.0)
        self.assertTrue(evidence.steady(100.0, 115.0, stale=True))
        self.assertFalse(evidence.steady(100.0, 115.0))
        self.assertFalse(evidence.steady(103.0, 112.0, stale=False))
        later = answers(109.0, 111.0, 113.0, 115.0)
        self.assertFalse(later.steady(100.0, 115.0, stale=True))


class ProofTest(testtools.TestCase):
    """The number of timeouts that prove a death."""

    def test_two_signs_prove_a_death(self) -> None:
        """A stale heartbeat is a sign if the other heartbeats are fresh.

        Each timeout is a sign if few other pings were lost.
        """
        for case, evidence, timeouts, stale, proven in (
            ('a timeout and a stale heartbeat', seen(50), 1, True, True),
            ('stale heartbeats', seen(50, stale=50), 1, True, False),
            ('no timeout', seen(100_000), 0, True, False),
            ('one timeout', seen(100_000), 1, False, False),
            ('two timeouts', seen(1000), 2, False, True),
            ('one busy agent of 5,000', seen(5000, lost=1), 2, False, True),
            ('half of all lost', seen(30, lost=30), 5, False, False),
            ('half lost, stale', seen(30, lost=30), 4, True, False),
        ):
            self.assertIs(proven, evidence.proves(timeouts, stale=stale), case)
        self.assertTrue(seen(30, lost=30).hopeless)
        self.assertFalse(seen(60).hopeless)

    def test_a_small_fleet_needs_controls_for_it(self) -> None:
        """Few answers do not show that pings are rarely lost."""
        evidence = seen(20)
        self.assertFalse(evidence.proves(2, stale=False))
        missing = evidence.missing(2, stale=False)
        assert missing is not None
        self.assertGreater(missing, 0)
        for _ in range(missing):
            evidence.answer(0.0, new=False, stale=False)
        self.assertTrue(evidence.proves(2, stale=False))

    def test_too_few_pings_prove_nothing(self) -> None:
        """A worker without the bus may not have had a ping yet."""
        evidence = seen(3)
        for stale in (False, True):
            self.assertEqual(
                sweep_evidence.ENOUGH - 3, evidence.missing(5, stale=stale)
            )

    def test_each_lost_ping_demands_more_timeouts(self) -> None:
        """Two timeouts, then three, and in the end no number suffices."""
        needed = []
        for lost in range(0, 60, 6):
            evidence = seen(600, lost=lost)
            needed.append(
                next(
                    (n for n in range(6) if evidence.proves(n, stale=False)),
                    99,
                )
            )
        self.assertEqual(sorted(needed), needed)
        self.assertEqual((2, 99), (needed[0], needed[-1]))

    def test_a_death_is_proven_for_the_worst_share_of_lost_pings(self) -> None:
        """The test computes the chance of bad luck in another way."""
        for answered, lost, timeouts in itertools.product(
            (50, 100, 300, 1000), (0, 1, 2, 3, 5, 12), (2, 3, 4, 5)
        ):
            pings = answered + lost
            worst = max(
                share**timeouts
                * sum(
                    math.comb(pings, k) * share**k * (1 - share) ** (pings - k)
                    for k in range(lost + 1)
                )
                for share in (n / 400 for n in range(1, 400))
            )
            risk = sweep_evidence.RISK
            if lost > pings / 100:
                risk = sweep_evidence.RISK_WITH_LOSSES
            # Any of the live guests might be taken for the dead one.
            chance = answered * worst
            # The shares above are not exact.
            if not 0.95 < chance / risk < 1.05:
                self.assertEqual(
                    chance < risk,
                    seen(answered, lost=lost).proves(timeouts, stale=False),
                    f'{answered} {lost} {timeouts}',
                )

    def test_a_control_that_takes_long_counts_as_lost_meanwhile(self) -> None:
        """The control may be about to time out."""
        evidence = seen(1000)
        self.assertTrue(evidence.proves(2, stale=False))
        evidence.overdue = 60
        self.assertFalse(evidence.proves(2, stale=False))
        self.assertTrue(evidence.wants_controls(2, stale=False))

    def test_answers_that_came_beside_a_timeout_do_not_count(self) -> None:
        """The timeout may have held the worker that loses pings."""
        evidence = answers(*(number / 10 for number in range(200)))
        self.assertTrue(evidence.proves(1, stale=True))
        evidence.timeout(4.0)
        for timeouts, stale in ((1, True), (2, False)):
            missing = evidence.missing(timeouts, stale=stale)
            assert missing is not None
            # The answers of the first four seconds still count.
            self.assertGreaterEqual(missing, sweep_evidence.ENOUGH - 41)
        # No worker hides behind so long a row of timeouts.
        self.assertFalse(evidence.proves(9, stale=False))
        self.assertTrue(evidence.proves(10, stale=False))

    def test_answers_count_only_until_the_oldest_request_was_sent(
        self,
    ) -> None:
        """That request may become a timeout."""
        evidence = answers(*(number / 10 for number in range(200)))
        evidence.waits_since = 4.0
        self.assertEqual(
            sweep_evidence.ENOUGH - 41, evidence.missing(1, stale=True)
        )

    def test_lost_pings_stop_the_search_for_controls(self) -> None:
        """With 50 answers, or 3 lost pings, further timeouts tell more."""
        for answered, lost, wanted in (
            (49, 1, True),
            (50, 1, False),
            (49, 2, True),
            (49, 3, False),
        ):
            evidence = seen(answered, lost=lost)
            self.assertNotEqual(0, evidence.missing(3, stale=False))
            self.assertIs(wanted, evidence.wants_controls(3, stale=False))

    def test_the_risk_is_kept_for_any_share_of_lost_pings(
        self,
    ) -> None:
        """In fewer than one of 1,000 sweeps a live guest looks dead.

        The test draws sweeps of 20 live guests that may lose pings.
        """
        dice = random.Random(1)
        for share in (0.01, 0.03, 0.1, 0.3):
            wrong = 0.0
            for _ in range(300):
                answered = lost = 0
                for _ in range(80):
                    if dice.random() < share:
                        lost += 1
                    else:
                        answered += 1
                evidence = seen(20, lost=lost)
                for _ in range(answered - 20):
                    evidence.answer(0.0, new=False, stale=False)
                needed = next(
                    (n for n in range(6) if evidence.proves(n, stale=False)),
                    None,
                )
                if needed:
                    # The probability for one of the guests.
                    wrong += 20 * share**needed
            self.assertLess(wrong / 300, sweep_evidence.RISK, str(share))
