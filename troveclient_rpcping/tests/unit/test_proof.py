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

"""Whether the message bus was seen to work, on a clock of our own."""

import testtools

from troveclient_rpcping.fleet.proof import CHECK
from troveclient_rpcping.fleet.proof import Proof
from troveclient_rpcping.tests.base import GUEST
from troveclient_rpcping.tests.base import OTHER
from troveclient_rpcping.verdict import Judgement
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict


def result(
    verdict: Verdict, reason: Reason | None = None, instance: str = GUEST
) -> PingResult:
    return PingResult(
        instance_id=instance, judgement=Judgement(verdict, reason, 'why')
    )


UP = result(Verdict.REACHABLE)
OLD = result(Verdict.ERROR, Reason.NO_SUCH_METHOD)
FAILED = result(Verdict.ERROR, Reason.AGENT_ERROR)
DEAD = result(Verdict.UNREACHABLE, Reason.AGENT_TIMEOUT)
LOST = result(Verdict.UNKNOWN, Reason.TIMEOUT)


def answers(*times: float, what: PingResult = UP) -> Proof:
    proof = Proof()
    for time in times:
        proof.saw(what, time)
    return proof


class ProofTest(testtools.TestCase):
    def test_agents_that_answer_all_the_time_are_proof(self) -> None:
        """From shortly after the question until shortly before the end."""
        proof = answers(*range(100, 116, 2))
        self.assertTrue(proof.proves(100.0, 116.0))

    def test_a_bus_that_fails_and_comes_back_is_no_proof(self) -> None:
        """Answers before and after the failure say nothing of the time."""
        proof = answers(100.0, 100.5, 121.0, 121.5, 122.0)
        for sent, now in ((100.4, 122.0), (106.0, 121.2), (115.0, 130.0)):
            self.assertFalse(proof.proves(sent, now), f'{sent} {now}')

    def test_who_is_asked_after_the_failure_has_proof_again(self) -> None:
        """What was before does not matter."""
        proof = answers(100.0, *range(121, 136))
        self.assertTrue(proof.proves(121.0, 136.0))

    def test_a_bus_that_falls_silent_is_no_proof(self) -> None:
        """Nobody answers any more when the time is up."""
        proof = answers(100.0, 101.0)
        self.assertFalse(proof.proves(100.0, 115.0))

    def test_answers_that_begin_late_are_no_proof(self) -> None:
        """The bus may have failed before them."""
        proof = answers(110.0, 112.0, 114.0)
        self.assertFalse(proof.proves(100.0, 115.0))
        self.assertTrue(proof.proves(108.0, 115.0))

    def test_a_short_failure_is_no_proof_either(self) -> None:
        """A broker that restarts loses what was under way."""
        proof = answers(100.0, *range(103, 116))
        self.assertFalse(proof.proves(99.0, 115.0))
        self.assertTrue(proof.proves(103.0, 115.0))

    def test_two_and_a_half_seconds_of_silence_are_no_doubt_yet(self) -> None:
        """Neither in the middle nor at the end, and not for the first one."""
        proof = answers(100.0, 102.5)
        self.assertTrue(proof.proves(100.0, 105.0))
        self.assertFalse(proof.proves(100.0, 105.1))
        proof = answers(100.0, 103.0)
        self.assertTrue(proof.proves(100.5, 103.0))
        self.assertFalse(proof.proves(100.4, 103.0))

    def test_the_clock_may_begin_anywhere(self) -> None:
        """Its zero is no answer."""
        self.assertFalse(answers(1.0).proves(-10.0, 1.0))

    def test_a_check_may_be_lost(self) -> None:
        """The next one comes before there is doubt."""
        self.assertGreater(CHECK, 0)
        proof = answers(100.0, 100.0 + 2 * CHECK)
        self.assertTrue(proof.proves(100.0, 100.0 + 2 * CHECK))

    def test_without_an_answer_there_is_no_proof(self) -> None:
        """Nor is there a witness."""
        proof = answers(100.0, what=DEAD)
        self.assertFalse(proof.proves(100.0, 101.0))
        self.assertIsNone(proof.witness)

    def test_only_an_agent_proves_anything(self) -> None:
        """What Trove calls an error of the agent may be one of the bus."""
        for what, proven in ((UP, True), (OLD, True), (FAILED, False)):
            proof = answers(100.0, 101.0, what=what)
            self.assertEqual(proven, proof.proves(100.0, 102.0))
        self.assertFalse(answers(100.0, what=LOST).proves(100.0, 100.0))

    def test_a_reachable_guest_is_the_better_witness(self) -> None:
        """But an agent that is too old to know the ping answers as well."""
        self.assertEqual(GUEST, answers(1.0).witness)
        proof = answers(1.0, what=OLD)
        self.assertEqual(GUEST, proof.witness)
        up = result(Verdict.REACHABLE, instance=OTHER)
        proof.saw(up, 2.0)
        self.assertEqual(OTHER, proof.witness)
        proof.saw(OLD, 3.0)
        self.assertEqual(OTHER, proof.witness)

    def test_what_is_held_is_never_lost(self) -> None:
        """It is settled one by one, and what is left is told."""
        proof = Proof()
        other = result(
            Verdict.UNREACHABLE, Reason.AGENT_TIMEOUT, instance=OTHER
        )
        for each in (DEAD, other):
            proof.hold(each)
        self.assertEqual([GUEST, OTHER], proof.held())
        self.assertEqual(DEAD, proof.settle(GUEST))
        self.assertIsNone(proof.settle(GUEST))
        self.assertEqual([OTHER], proof.held())
        self.assertEqual(
            [(OTHER, Reason.TIMEOUT)],
            [(each.instance_id, each.reason) for each in proof.doubt()],
        )
        self.assertEqual([], proof.release())
