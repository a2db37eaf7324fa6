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
from troveclient_rpcping.reply import Reply
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
    def trial(
        self, answer: Reply | Callable[[base.Request], Reply], **kwargs: Any
    ) -> Any:
        server = self.serve(answer)
        trove = self.connect(server.url)
        return ACCEPTANCE.Trial(
            [base.GUEST], connect=lambda _: trove, **kwargs
        )

    def assert_result(self, word: str, claim: Any, trial: Any) -> str:
        """Compare the result of a claim; return what it saw."""
        result, seen = ACCEPTANCE.attempt(claim, trial)
        self.assertEqual(word, result.value[0], seen)
        return str(seen)

    def test_a_cache_that_names_itself_is_found(self) -> None:
        """The cache answers a ping that Trove never saw."""
        trial = self.trial(Reply(204, {'age': '7'}))
        seen = self.assert_result(
            'DID NOT HOLD', ACCEPTANCE.Trial.no_cache, trial
        )
        self.assertIn('age: 7', seen)

    def test_a_cache_in_disguise_is_found_by_the_request_id(self) -> None:
        """Two pings must bring two request IDs."""
        trial = self.trial(Reply(204, {'x-openstack-request-id': 'req-7'}))
        self.assert_result('held', ACCEPTANCE.Trial.request_ids, trial)
        self.assert_result('DID NOT HOLD', ACCEPTANCE.Trial.no_cache, trial)

    def test_replies_without_a_request_id_are_no_proof_of_a_cache(
        self,
    ) -> None:
        """Some deployments configure Trove to send no request IDs."""
        trial = self.trial(Reply(204))
        self.assert_result('DID NOT HOLD', ACCEPTANCE.Trial.request_ids, trial)
        self.assert_result('not tried', ACCEPTANCE.Trial.no_cache, trial)

    def test_a_rate_limit_that_is_not_named_is_not_tried(self) -> None:
        """The API may have no limiter."""
        trial = self.trial(Reply(200, {}, b'{"limits": [{"verb": "ALL"}, 7]}'))
        self.assert_result('not tried', ACCEPTANCE.Trial.rate_limit, trial)

    def test_an_api_that_one_dead_guest_freezes_is_found(self) -> None:
        """Its only worker waits for the dead guest."""
        worker = threading.Lock()

        def answer(request: base.Request) -> Reply:
            with worker:
                if base.OTHER in request.target:
                    time.sleep(2)
                    return fixture.agent_timeout()
                return fixture.reachable()

        trial = self.trial(answer, dead=base.OTHER)
        self.assert_result('held', ACCEPTANCE.Trial.dead_guest, trial)
        self.assert_result(
            'DID NOT HOLD', ACCEPTANCE.Trial.room_for_others, trial
        )

    def test_a_busy_api_is_given_time(self) -> None:
        """A ping that the rate limit refuses is sent again."""
        replies = [fixture.rate_limited(0), fixture.reachable()] * 2
        trial = self.trial(lambda request: replies.pop(0))
        self.assert_result('held', ACCEPTANCE.Trial.live_guests, trial)
