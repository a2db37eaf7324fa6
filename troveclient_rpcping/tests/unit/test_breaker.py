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

"""When a sweep gives up."""

import testtools

from troveclient_rpcping.fleet.breaker import Breaker
from troveclient_rpcping.tests.base import GUEST
from troveclient_rpcping.verdict import Judgement
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict


def result(verdict: Verdict, reason: Reason | None = None) -> PingResult:
    judgement = Judgement(verdict, reason, 'why')
    return PingResult(instance_id=GUEST, judgement=judgement)


UP = result(Verdict.REACHABLE)
DEAD = result(Verdict.UNREACHABLE, Reason.AGENT_TIMEOUT)
REFUSED = result(Verdict.UNKNOWN, Reason.CONNECTION)
SILENT = result(Verdict.UNKNOWN, Reason.TIMEOUT)


class BreakerTest(testtools.TestCase):
    def results_until_the_end(
        self, breaker: Breaker, *results: PingResult
    ) -> int | None:
        for number, each in enumerate(results, 1):
            if breaker.saw(each):
                return number
        return None

    def test_a_control_plane_that_fails_ends_it(self) -> None:
        """After more failures in a row than were in flight together."""
        for reason in (
            Reason.API_ERROR,
            Reason.BAD_RESPONSE,
            Reason.COMPUTE_ERROR,
            Reason.CONNECTION,
            Reason.GATEWAY,
        ):
            failure = result(Verdict.UNKNOWN, reason)
            end = self.results_until_the_end(
                Breaker(64, 30), *[failure] * 1000
            )
            self.assertIsNotNone(end, reason)
            self.assertGreater(end or 0, 64)
            self.assertLess(end or 0, 128)

    def test_silence_ends_it_after_one_timeout(self) -> None:
        """What is in flight together times out together."""
        end = self.results_until_the_end(Breaker(64, 30), *[SILENT] * 64)
        self.assertIsNotNone(end)
        self.assertEqual(1, self.results_until_the_end(Breaker(1, 30), SILENT))

    def test_sixteen_more_than_in_flight_make_a_pattern(self) -> None:
        """Of failures; of silence sixteen are enough."""
        for timeout, silent in ((30.0, 16), (20.5, 16), (20.0, 80), (5.0, 80)):
            for failure, count in ((REFUSED, 80), (SILENT, silent)):
                self.assertEqual(
                    count,
                    self.results_until_the_end(
                        Breaker(64, timeout), *[failure] * 100
                    ),
                )

    def test_the_count_begins_at_nothing(self) -> None:
        """After a good answer, and for silence after another failure."""
        for before in (UP, REFUSED):
            self.assertEqual(
                17,
                self.results_until_the_end(
                    Breaker(64, 30), before, *[SILENT] * 100
                ),
            )
        self.assertEqual(
            82,
            self.results_until_the_end(
                Breaker(64, 30), REFUSED, UP, *[REFUSED] * 100
            ),
        )

    def test_a_streak_of_dead_guests_does_not_end_it(self) -> None:
        """Trove answered for each of them."""
        self.assertIsNone(
            self.results_until_the_end(Breaker(64, 30), *[DEAD] * 10_000)
        )

    def test_dead_guests_that_look_silent_do_not_end_it_early(self) -> None:
        """Who waits for less than Trove does cannot tell them apart."""
        self.assertIsNone(
            self.results_until_the_end(Breaker(64, 5), *[SILENT] * 70, UP)
        )

    def test_one_good_answer_starts_it_all_over(self) -> None:
        """A part of the API may be well."""
        mixed = [*[REFUSED] * 60, UP] * 100
        self.assertIsNone(self.results_until_the_end(Breaker(64, 30), *mixed))
        mixed = [*[SILENT] * 15, DEAD] * 100
        self.assertIsNone(self.results_until_the_end(Breaker(64, 30), *mixed))

    def test_what_is_said_of_an_instance_is_no_failure(self) -> None:
        """Neither a missing one nor one that is not ready."""
        for reason in (
            Reason.NOT_FOUND,
            Reason.NOT_READY,
            Reason.RATE_LIMITED,
        ):
            each = result(Verdict.UNKNOWN, reason)
            self.assertIsNone(
                self.results_until_the_end(Breaker(4, 30), *[each] * 1000)
            )

    def test_the_reason_is_given(self) -> None:
        """With what the last failure said."""
        breaker = Breaker(1, 30)
        self.assertEqual(
            'The 1 pings before it all failed: why', breaker.saw(SILENT)
        )
