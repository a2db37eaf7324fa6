# SPDX-License-Identifier: Apache-2.0

"""Claims of ``tools/acceptance.py`` that a real Trove always fulfils."""

from collections.abc import Callable
import importlib.util
import pathlib
import re
import sys
import threading
import time
from typing import Any

import testtools

from troveclient_rpcping import fixture
from troveclient_rpcping import reply as replies
from troveclient_rpcping.tests import base

ROOT = pathlib.Path(__file__).parents[3]
PROGRAM = ROOT / 'tools' / 'acceptance.py'


def load() -> Any:
    """Import the program, which is not in a package."""
    spec = importlib.util.spec_from_file_location('acceptance', PROGRAM)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look for their module there.
    sys.modules['acceptance'] = module
    spec.loader.exec_module(module)
    return module


ACCEPTANCE = load()


class PageTest(testtools.TestCase):
    def test_every_claim_is_explained(self) -> None:
        """Each claim has an explanation, in the same order."""
        page = ROOT / 'doc/source/user/acceptance.rst'
        self.assertEqual(
            [name for name, _ in ACCEPTANCE.CLAIMS],
            re.findall(r'^   \* - (.+)\n     - ', page.read_text(), re.M)[1:],
        )


class ClaimTest(base.TestCase):
    def assert_results(
        self,
        answer: replies.Reply | Callable[[base.Request], replies.Reply],
        **expected: str,
    ) -> None:
        """Try claims by their names; compare the results, and what was seen.

        :param expected: the result, and behind a colon the words seen.
        """
        trove = self.connect(self.serve(answer).url)
        trial = ACCEPTANCE.Trial(
            *([base.GUEST], base.OTHER, 'member'), connect=lambda _: trove
        )
        for name, words in expected.items():
            claim = getattr(ACCEPTANCE.Trial, name)
            result, seen = ACCEPTANCE.attempt(claim, trial)
            self.assertIn(words, f'{result.value[0]}: {seen}', name)

    def test_a_claim_that_does_not_hold_is_found(self) -> None:
        """Its row says what was seen; a claim without a proof is not tried."""
        an_id = {'x-openstack-request-id': 'req-7'}
        full = fixture.fault(400, 'badRequest', 'disk is full')
        limits = replies.Reply(200, {}, b'{"limits": [{"verb": "ALL"}, 7]}')
        for answer, expected in (
            # A cache that names itself, and one that repeats a reply.
            (
                replies.Reply(204, {'age': '7'}),
                {'no_cache': 'DID NOT HOLD: age: 7'},
            ),
            (
                replies.Reply(204, an_id),
                {
                    'request_ids': 'held: one on each of 2 replies',
                    'no_cache': 'DID NOT HOLD: the same reply twice',
                },
            ),
            # Some deployments configure Trove to send no request IDs.
            (
                replies.Reply(204),
                {
                    'request_ids': 'DID NOT HOLD: 2 of 2 replies have none',
                    'no_cache': 'not tried: without request IDs',
                },
            ),
            # The API may have no limiter.
            (limits, {'rate_limit': 'not tried: the API names none'}),
            # The guests are not what the arguments claim.
            (full, dict.fromkeys(('live_guests', 'bursts'), 'disk is full')),
            (
                fixture.reachable(),
                {
                    'dead_guest': 'DID NOT HOLD: 204 after ',
                    'room_for_others': 'not tried: the guest did not keep',
                    'refusal': 'DID NOT HOLD: ping 204 after ',
                    'unknown_id': 'DID NOT HOLD: 204 after ',
                    'login': 'held: http',
                },
            ),
        ):
            self.assert_results(answer, **expected)

    def test_an_api_that_one_dead_guest_freezes_is_found(self) -> None:
        """Its only worker waits for the dead guest."""
        worker, waits = threading.Lock(), threading.Event()

        def answer(request: base.Request) -> replies.Reply:
            if base.GUEST in request.target:
                waits.set()
            with worker:
                if base.OTHER in request.target:
                    began = time.monotonic()
                    waits.wait(base.LONG)
                    # The live guest waits for most of the time.
                    time.sleep(3 * (time.monotonic() - began))
                    return fixture.agent_timeout()
                return fixture.reachable()

        self.assert_results(
            answer, dead_guest='held', room_for_others='DID NOT HOLD'
        )

    def test_a_busy_api_is_given_time(self) -> None:
        """A ping that the rate limit refuses is sent again."""
        answers = [fixture.rate_limited(0), fixture.reachable()] * 2
        self.assert_results(lambda _: answers.pop(0), live_guests='held')
