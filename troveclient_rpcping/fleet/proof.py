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

"""Whether Trove's word that a guest did not answer may be believed.

When the message bus fails while Trove waits for guests, Trove says of each of
them what it says of a dead one: its call timed out. So that word is held back
until the bus has shown that it works: by an answer of any agent that arrives
after it.
"""

from __future__ import annotations

import dataclasses

from troveclient_rpcping.verdict import Judgement
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict

_DOUBT = 'The call timed out just when the message bus, or the API, failed'


class Proof:
    """Holds back what is not proven yet.

    Show it every result, in the order in which they come.
    """

    def __init__(self) -> None:
        self._held: list[PingResult] = []
        self._witness: str | None = None

    @property
    def witness(self) -> str | None:
        """Whom to ask once more, to prove what is still held back.

        The ID of a guest that answered in this sweep; None if none did, or
        if there is nothing to prove.
        """
        return self._witness if self._held else None

    def take(self, result: PingResult) -> list[PingResult]:
        """Take a result in.

        :returns: the results that may be told now.
        """
        if result.verdict is Verdict.UNREACHABLE:
            self._held.append(result)
            return []
        if result.verdict is Verdict.REACHABLE:
            self._witness = result.instance_id
        elif result.reason is not Reason.NO_SUCH_METHOD:
            # Nothing that came from an agent for sure: what Trove calls an
            # error of the agent may be one of the bus.
            return [result]
        return [*self.believe(), result]

    def believe(self) -> list[PingResult]:
        """Return what was held back, as Trove said it."""
        held, self._held = self._held, []
        return held

    def doubt(self) -> list[PingResult]:
        """Return what was held back, as unknown."""
        judgement = Judgement(Verdict.UNKNOWN, Reason.TIMEOUT, _DOUBT)
        return [
            dataclasses.replace(result, judgement=judgement)
            for result in self.believe()
        ]
