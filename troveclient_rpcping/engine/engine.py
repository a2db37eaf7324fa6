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

"""Many requests at once, in one thread: how they are sent.

What is sent, and when it makes sense, an agenda decides. The engine adds what
it has to know of the API: kept-alive connections, a total time for each
request, the rate limit, and the login.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Generator
import dataclasses
import logging
import math
import time

from keystoneauth1 import exceptions as ksa_exceptions

from troveclient_rpcping import plaintext
from troveclient_rpcping import transport
from troveclient_rpcping.engine.access import Access
from troveclient_rpcping.engine.handle import Handle
from troveclient_rpcping.engine.login import Login
from troveclient_rpcping.engine.login import refuses_user
from troveclient_rpcping.engine.login import Token
from troveclient_rpcping.engine.loop import Loop
from troveclient_rpcping.engine.pacing import Gate
from troveclient_rpcping.engine.questions import Agenda
from troveclient_rpcping.engine.questions import Answer
from troveclient_rpcping.engine.questions import Question
from troveclient_rpcping.reply import NoReply
from troveclient_rpcping.reply import Reply

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class _Asked:
    """A request under way."""

    question: Question
    token: Token
    era: int
    sent: float


class Engine:
    """Sends what an agenda asks, to the database endpoint.

    :param access: where the requests go, and how.
    :param agenda: decides what is asked, and learns from the answers.
    :param gate: how fast it may send.
    :param deadline: when to end, on *clock*; None for no limit.
    :param patient: whether to go on when a login midway fails.
    :param clock: tells the time in seconds.
    """

    def __init__(
        self,
        access: Access,
        agenda: Agenda,
        *,
        gate: Gate | None = None,
        deadline: float | None = None,
        patient: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._access = access
        self._agenda = agenda
        self._gate = gate or Gate()
        self._deadline = math.inf if deadline is None else deadline
        self._patient = patient
        self._clock = clock
        self._idle: list[Handle] = []
        self._asked: dict[Handle, _Asked] = {}
        # Whether only the rate limit keeps it from asking the agenda.
        self._gated = False

    def run(self) -> Generator[None]:
        """Send and wait until the agenda is done; yield now and then.

        Only what was refused unprocessed is sent again: by the rate limit of
        the server, after the pause that it names; and for a token that had
        expired, after one new login for all. Closing the iterator ends what
        is under way.

        :raises keystoneauth1.exceptions.ClientException: no token can be had
            at the start.
        """
        self._login = Login(self._access, self._clock)
        self._loop = Loop()
        try:
            self._fill(self._clock())
            while not self._agenda.done:
                ended = self._loop.wait(self._pause())
                now = self._clock()
                for handle, code, message in ended:
                    self._take(handle, code, message, now)
                self._fill(self._clock())
                yield
        finally:
            self._loop.close()

    def _pause(self) -> float:
        """Seconds until there is something to do, if nothing ends."""
        now = self._clock()
        opens = now + self._gate.pause(now)
        # If nothing more may be sent, the agenda may have more to send.
        wakes = opens if self._gated else max(self._agenda.wakes(now), opens)
        return max(0.0, min(wakes, self._deadline) - now)

    def _fill(self, now: float) -> None:
        """Send what may be sent now, unless it is time to end."""
        if now >= self._deadline:
            self._agenda.end(
                'The deadline passed before an answer came', now, late=True
            )
        elif self._gate.starved(now):
            self._agenda.end(
                'The rate limit of the API lets nothing through', now
            )
        self._gated = False
        while not self._agenda.done:
            if self._gate.pause(now):
                self._gated = True
                return
            question = self._agenda.next(now)
            if question is None:
                return
            self._send(question, now)

    def _send(self, question: Question, now: float) -> None:
        handle = self._idle.pop() if self._idle else Handle(self._access)
        url = self._access.endpoint + question.path
        token = self._login.token
        handle.prepare(
            url,
            token.headers,
            timeout=question.timeout,
            limit=question.limit,
            # A kept connection stays with one API process, and gets at the
            # budget of that one alone: a new one may reach any.
            fresh=question.fresh or self._gate.throttled,
        )
        era = self._gate.sent(now)
        self._asked[handle] = _Asked(question, token, era, now)
        self._agenda.sent(question, now)
        LOG.debug('GET %s', url)
        self._loop.start(handle)

    def _take(
        self, handle: Handle, code: int, message: str, now: float
    ) -> None:
        """Report the end of a request, or have it sent again."""
        asked = self._asked.pop(handle)
        self._idle.append(handle)
        reply = handle.outcome(code, message)
        self._access.time(handle.url, handle.seconds)
        if self._agenda.done:
            # It ended since this one did.
            return
        if isinstance(reply, NoReply):
            text = plaintext.one_line(reply.message)
            LOG.debug('GET %s: %s', handle.url, text)
        else:
            transport.log_reply(handle.url, reply)
            pause = self._refused(asked, reply, now)
            if self._agenda.done:
                return
            if pause is not None:
                self._agenda.unsent(asked.question, now, pause)
                return
        self._login.answered(asked.question.path)
        rtt = None if isinstance(reply, NoReply) else handle.rtt
        self._agenda.answered(
            Answer(asked.question, reply, rtt, asked.sent, now)
        )
        if isinstance(reply, Reply) and refuses_user(reply):
            self._agenda.end('The API refuses this user', now)

    def _refused(
        self, asked: _Asked, reply: Reply, now: float
    ) -> float | None:
        """Return after which pause to send a refused request again.

        :returns: seconds; None if the reply is an answer.
        """
        if reply.status in (413, 429):
            return self._gate.refused(now, asked.era, reply)
        self._gate.admitted(asked.era)
        if reply.status != 401:
            self._login.taken(asked.token)
        elif not refuses_user(reply) and self._is_renewed(asked, now):
            return 0.0
        return None

    def _is_renewed(self, asked: _Asked, now: float) -> bool:
        """Whether a new token makes it worth sending a request again."""
        try:
            return self._login.renewed(asked.question.path, asked.token)
        except ksa_exceptions.ClientException as error:
            if self._patient:
                return False
            why = f'The token expired, and a new login failed: {error}'
            self._agenda.end(why, now)
            return False
