# SPDX-License-Identifier: Apache-2.0

"""The breaker ends a sweep that has no chance."""

import testtools

from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.sweep import breaker as breakers
from troveclient_rpcping.tests import base


def result(
    verdict: verdicts.Verdict, reason: verdicts.Reason | None = None
) -> verdicts.PingResult:
    return verdicts.PingResult(
        instance_id=base.GUEST, verdict=verdict, reason=reason, message='why'
    )


UP = result(verdicts.Verdict.REACHABLE)
DEAD = result(verdicts.Verdict.UNREACHABLE, verdicts.Reason.AGENT_TIMEOUT)
REFUSED = result(verdicts.Verdict.UNKNOWN, verdicts.Reason.CONNECTION)
SILENT = result(verdicts.Verdict.UNKNOWN, verdicts.Reason.TIMEOUT)


class BreakerTest(testtools.TestCase):
    def end(
        self,
        *results: verdicts.PingResult,
        timeout: float = 30.0,
        peak: int = 64,
    ) -> int | None:
        """Return the number of results before the end; None for no end."""
        breaker = breakers.Breaker(timeout)
        for number, each in enumerate(results, 1):
            if breaker.saw(each, peak):
                return number
        return None

    def test_a_control_plane_that_fails_ends_it(self) -> None:
        """Sixteen more failures in a row than pings in flight end it."""
        for reason in (
            verdicts.Reason.API_ERROR,
            verdicts.Reason.BAD_RESPONSE,
            verdicts.Reason.COMPUTE_ERROR,
            verdicts.Reason.CONNECTION,
            verdicts.Reason.DENIED,
            verdicts.Reason.GATEWAY,
            verdicts.Reason.MESSAGE_BUS,
        ):
            failure = result(verdicts.Verdict.UNKNOWN, reason)
            for peak in (1, 64):
                self.assertEqual(
                    peak + 16, self.end(*[failure] * 1000, peak=peak), reason
                )

    def test_the_most_in_flight_may_grow_meanwhile(self) -> None:
        """The present number of pings in flight counts."""
        breaker = breakers.Breaker(30.0)
        for _ in range(19):
            self.assertIsNone(breaker.saw(REFUSED, 4))
        self.assertIsNone(breaker.saw(REFUSED, 5))
        self.assertIsNotNone(breaker.saw(REFUSED, 5))

    def test_silence_ends_it_after_one_timeout(self) -> None:
        """Pings in flight time out together; at least eight end the sweep."""
        for peak, enough in ((1, 8), (8, 8), (12, 12), (16, 16), (64, 16)):
            self.assertEqual(
                enough, self.end(*[SILENT] * 100, peak=peak), str(peak)
            )

    def test_a_short_timeout_makes_no_silence_of_the_api(self) -> None:
        """A short timeout cannot tell a dead guest from a silent API."""
        for timeout, enough in ((30.0, 16), (20.5, 16), (20.0, 80), (5.0, 80)):
            self.assertEqual(
                enough,
                self.end(*[SILENT] * 100, timeout=timeout),
                str(timeout),
            )

    def test_the_count_begins_at_nothing(self) -> None:
        """The count begins after an answer, and after another failure."""
        for before in (UP, REFUSED):
            self.assertEqual(17, self.end(before, *[SILENT] * 100))
        self.assertEqual(82, self.end(REFUSED, UP, *[REFUSED] * 100))

    def test_an_answer_of_trove_begins_the_count_anew(self) -> None:
        """A part of the API may be well; a dead guest is an answer, too."""
        for results in (
            [*[REFUSED] * 60, UP] * 100,
            [*[SILENT] * 15, DEAD] * 100,
            [DEAD] * 10_000,
        ):
            self.assertIsNone(self.end(*results))

    def test_an_answer_to_any_ping_starts_it_all_over(self) -> None:
        """A control has no result, but an agent answered it."""
        breaker = breakers.Breaker(30.0)
        for number in range(1000):
            if number % 15 == 0:
                breaker.heard()
            self.assertIsNone(breaker.saw(SILENT, 64))

    def test_an_answer_about_an_instance_is_not_a_failure(self) -> None:
        """A missing instance, or one that is not ready, does not count."""
        for reason in (
            verdicts.Reason.NOT_FOUND,
            verdicts.Reason.NOT_READY,
            verdicts.Reason.RATE_LIMITED,
            verdicts.Reason.NOT_ASKED,
        ):
            each = result(verdicts.Verdict.UNKNOWN, reason)
            self.assertIsNone(self.end(*[each] * 1000, peak=4), reason)

    def test_the_reason_is_given(self) -> None:
        """The reason has the text of the last failure."""
        breaker = breakers.Breaker(30.0)
        for _ in range(7):
            breaker.saw(SILENT, 1)
        self.assertEqual(
            'The 8 pings before it all failed: why', breaker.saw(SILENT, 1)
        )
