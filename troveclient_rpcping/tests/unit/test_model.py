# SPDX-License-Identifier: Apache-2.0

"""Simulated sweeps of clouds in trouble: the promise, held against chance.

The same model runs many more sweeps by hand; see its docstring.
"""

import random

import hypothesis
from hypothesis import strategies
import testtools

from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.sweep import repeat as repeats
from troveclient_rpcping.tests import hostile
from troveclient_rpcping.tests import model

SEEDS = strategies.integers(0, 2**32)


def fleet(live: int, dead: int = 0, deaf: int = 0) -> tuple[model.Guest, ...]:
    return model.fleet(random.Random(1), live, dead, deaf=deaf)


# In these troubles, no sweep may call a live guest dead. In the others, fewer
# than one of 1,000 does.
NEVER = [
    model.Trouble.NONE,
    model.Trouble.CUT_2,
    model.Trouble.CUT_5,
    model.Trouble.OUTAGE,
    model.Trouble.FROZEN,
]


class PromiseTest(testtools.TestCase):
    @hostile.settings(100)
    @hypothesis.given(strategies.sampled_from(NEVER), SEEDS)
    def test_no_live_guest_is_called_dead_and_no_dead_one_alive(
        self, trouble: model.Trouble, seed: int
    ) -> None:
        """That holds for every cloud in one of these troubles."""
        tally = model.tally(trouble, seed)
        self.assertEqual((0, 0), (tally.false, tally.alive))

    def test_lost_pings_hardly_ever_make_a_live_guest_dead(self) -> None:
        """At most one of 100 sweeps in each other trouble says so."""
        for trouble in set(model.Trouble) - set(NEVER):
            total = model.Tally()
            for seed in range(100):
                total += model.tally(trouble, seed)
            self.assertLessEqual(total.false, 1, str(trouble))
            self.assertEqual(0, total.alive, str(trouble))

    @hostile.settings(50)
    @hypothesis.given(SEEDS)
    def test_without_trouble_every_verdict_is_certain(self, seed: int) -> None:
        """Each dead guest is found, and no live guest is unknown."""
        dice = random.Random(seed)
        cloud = model.Cloud(model.fleet(dice, 20, 2, deaf=2))
        outcome = model.sweep(cloud, seed)
        self.assertEqual(
            [
                verdicts.Verdict.UNREACHABLE
                if guest.kind is model.Kind.DEAD
                else verdicts.Verdict.REACHABLE
                for guest in cloud.guests
            ],
            outcome.verdicts(),
        )


class CostTest(testtools.TestCase):
    """The cost of the evidence, if Trove waits for 15 s."""

    def test_a_healthy_sweep_costs_no_request_more(self) -> None:
        """There is one request for each guest."""
        outcome = model.sweep(model.Cloud(fleet(55)))
        self.assertEqual(55, outcome.requests.total())

    def test_a_dead_guest_with_a_stale_heartbeat_costs_one_timeout(
        self,
    ) -> None:
        """Where few guests answer, controls follow for three seconds."""
        listed = model.sweep(model.Cloud(fleet(55, 1)))
        self.assertLess(listed.seconds, 15 * 1.1 + 2)
        alone = model.sweep(
            model.Cloud(fleet(0, 1), others=fleet(20), listed=False)
        )
        self.assertEqual([verdicts.Verdict.UNREACHABLE], alone.verdicts())
        self.assertLess(alone.seconds, 15 * 1.1 + 3)

    def test_a_dead_guest_with_a_fresh_heartbeat_costs_two_and_controls(
        self,
    ) -> None:
        """Controls go out for some seconds between the two timeouts."""
        outcome = model.sweep(model.Cloud(fleet(55, deaf=1)))
        self.assertIn(verdicts.Verdict.UNREACHABLE, outcome.verdicts())
        self.assertLess(outcome.seconds, 2 * 15 * 1.1 + 10)


class RepeatTest(testtools.TestCase):
    """Several pings of one guest."""

    def test_a_guest_that_answers_after_a_timeout_only_lost_pings(
        self,
    ) -> None:
        """Each lost ping is reported as lost, not as a verdict."""
        cloud = model.Cloud(fleet(20), loss=0.2)
        outcome = model.sweep(cloud, 3, repeat=repeats.Times(5, 1.0))
        results = [each for some in outcome.results.values() for each in some]
        self.assertEqual(100, len(results))
        self.assertEqual(
            {None, verdicts.Reason.MESSAGE_BUS},
            {each.reason for each in results},
        )

    def test_a_dead_guest_is_dead_for_all_its_pings(self) -> None:
        """The requested pings are the evidence themselves."""
        cloud = model.Cloud(fleet(20, deaf=1))
        outcome = model.sweep(cloud, repeat=repeats.Times(3, 1.0))
        (dead,) = (
            number
            for number, guest in enumerate(cloud.guests)
            if guest.kind is model.Kind.DEAD
        )
        self.assertEqual(
            [verdicts.Verdict.UNREACHABLE] * 3,
            [each.verdict for each in outcome.results[dead]],
        )

    def test_a_wait_ends_when_the_guest_answers(self) -> None:
        """All guest agents are stopped for a while."""
        cloud = model.Cloud(fleet(5), frozen=((-1.0, 20.0),))
        outcome = model.sweep(cloud, repeat=repeats.UntilReachable(1, 1.0))
        self.assertEqual([verdicts.Verdict.REACHABLE] * 5, outcome.verdicts())


class AloneTest(testtools.TestCase):
    """One guest, given by its ID."""

    def test_if_no_witness_answers_either_it_is_the_bus(self) -> None:
        """The guest is unknown."""
        cloud = model.Cloud(
            (model.Guest(model.Kind.DEAD),), others=fleet(0, 10), listed=False
        )
        result = model.sweep(cloud).results[0][-1]
        self.assertEqual(
            (verdicts.Verdict.UNKNOWN, verdicts.Reason.MESSAGE_BUS),
            (result.verdict, result.reason),
        )

    def test_alone_in_its_cloud_it_is_dead_on_troves_word(self) -> None:
        """No other guest can confirm it, and the text says so."""
        cloud = model.Cloud((model.Guest(model.Kind.DEAD),), listed=False)
        outcome = model.sweep(cloud)
        (result,) = outcome.results[0]
        self.assertEqual(verdicts.Verdict.UNREACHABLE, result.verdict)
        self.assertIn('no other guest confirms it', result.detail)
        self.assertEqual(1, result.lost)
