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

"""Many requests at once, in one thread, and what is asked again.

Bounded concurrency, kept-alive connections, a total time for each request,
and memory that depends on the concurrency, not on the number of requests.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import heapq
import logging
import time

from keystoneauth1 import exceptions as ksa_exceptions

from troveclient_rpcping import plaintext
from troveclient_rpcping import transport
from troveclient_rpcping.fleet.access import Access
from troveclient_rpcping.fleet.handle import Handle
from troveclient_rpcping.fleet.login import Login
from troveclient_rpcping.fleet.login import refuses_user
from troveclient_rpcping.fleet.login import Token
from troveclient_rpcping.fleet.loop import Loop
from troveclient_rpcping.fleet.pacing import Gate
from troveclient_rpcping.reply import BODY_LIMIT
from troveclient_rpcping.reply import NoReply
from troveclient_rpcping.reply import Reply

LOG = logging.getLogger(__name__)

# Seconds between two checks, at the least: one may fail at once.
_CHECK_PAUSE = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request.

    :param key: what was asked for.
    :param reply: the reply, or why there is none.
    :param rtt: seconds from sending the request to the end of the reply;
        None if there was no reply.
    :param sent: when it was sent, on the clock of ``time.monotonic``; None
        if it was not.
    :param check: whether it was only a check, and none of the questions.
    :param arrived: when its end was seen, on that clock. Not when it was
        yielded: whoever reads the answers takes his time for each.
    """

    key: str
    reply: Reply | NoReply
    rtt: float | None = None
    sent: float | None = None
    check: bool = False
    arrived: float = dataclasses.field(default_factory=time.monotonic)


class Engine:
    """Sends GETs to the database endpoint.

    :param access: where they go, and how.
    :param concurrency: requests under way at once, at the most.
    :param timeout: seconds for each request, in all.
    :param limit: how much of a body is kept at most, in bytes.
    :param gate: how fast it may send.
    """

    def __init__(
        self,
        access: Access,
        *,
        concurrency: int,
        timeout: float,
        limit: int = BODY_LIMIT,
        gate: Gate | None = None,
    ):
        self.access = access
        self.concurrency = concurrency
        self.timeout = timeout
        self.limit = limit
        self.gate = gate or Gate()

    def run(
        self,
        keys: Iterable[str],
        path_of: Callable[[str], str],
        deadline: float | None = None,
        check: Callable[[], tuple[str, float] | None] = lambda: None,
        *,
        patient: bool = False,
    ) -> Run:
        """Make ready to ask for each key.

        :param keys: what to ask for; read as the requests go out.
        :param path_of: gives the path and query of a key, from the endpoint
            on.
        :param deadline: when to end, on the clock of ``time.monotonic``.
            What has no answer by then is answered ``not-asked``.
        :param check: tells a key to ask for while there is nothing else to
            send but answers are awaited, and when to do so; or None.
        :param patient: whether to go on when a login midway fails.
        """
        return Run(self, iter(keys), path_of, deadline, check, patient=patient)


@dataclasses.dataclass(frozen=True, slots=True)
class _Asked:
    """A request under way."""

    key: str
    token: Token
    era: int
    sent: float
    check: bool


class Run:
    """One round of questions, made by :meth:`Engine.run`."""

    def __init__(
        self,
        engine: Engine,
        keys: Iterator[str],
        path_of: Callable[[str], str],
        deadline: float | None,
        check: Callable[[], tuple[str, float] | None],
        *,
        patient: bool,
    ):
        self._engine = engine
        self._check = check
        self._patient = patient
        self._checking = False
        self._checked = -float('inf')
        self._gate = engine.gate
        self._keys = keys
        self._path_of = path_of
        self._deadline = deadline
        #: The next key, read ahead; None once there is no more.
        self._key: str | None = None
        #: What was not asked yet though it was sent, and when to send it
        #: again: a heap.
        self._unasked: list[tuple[float, str]] = []
        #: What is to be asked once more, and when: a heap.
        self._again: list[tuple[float, str]] = []
        self._idle: list[Handle] = []
        self._asked: dict[Handle, _Asked] = {}
        #: Why no further request is sent; None while all is well.
        self._end: str | None = None

    def end(self, why: str) -> None:
        """Send nothing more, and answer ``not-asked`` for the rest.

        :param why: the reason, in a sentence.
        """
        self._end = self._end or why

    def ask_again(self, key: str, when: float) -> None:
        """Ask for a key once more; to be said while its answer is looked at.

        :param key: what to ask for.
        :param when: not before, on the clock of ``time.monotonic``.
        """
        heapq.heappush(self._again, (when, key))

    def answers(self) -> Generator[Answer]:
        """Ask, and yield the answers as they come.

        Asked again, beside what :meth:`ask_again` was told, is only what was
        refused unasked: by the server's rate limit, after the pause that it
        names; and for a token that had expired, after one new login for all.
        Closing the iterator ends whatever is under way.

        :raises keystoneauth1.exceptions.ClientException: no token can be
            had at the start.
        """
        self._login = Login(self._engine.access)
        self._loop = Loop()
        try:
            self._key = next(self._keys, None)
            yield from self._all()
        finally:
            self._loop.close()

    def _all(self) -> Iterator[Answer]:
        self._fill()
        while self._end is None and (
            len(self._asked) > self._checking
            or self._unasked
            or self._again
            or self._key is not None
        ):
            ended = self._loop.wait(self._patience())
            now = time.monotonic()
            for handle, code, message in ended:
                answer = self._take(handle, code, message, now)
                if answer is not None:
                    yield answer
            self._fill()
        if self._end is not None:
            yield from self._rest(self._end)

    def _patience(self) -> float | None:
        """Seconds until there is something to do; None if that is unknown."""
        now = time.monotonic()
        times = []
        due = self._due(now)
        if due is not None:
            times.append(due[1])
        if self._deadline is not None:
            times.append(self._deadline)
        if len(self._asked) < self._engine.concurrency:
            opens = now + self._gate.pause(now)
            wanted = 0.0 if self._key is not None else self._due_again()
            if wanted is not None:
                times.append(max(opens, wanted))
        return max(0.0, min(times) - now) if times else None

    def _fill(self) -> None:
        """Send what may be sent now, unless it is time to end."""
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            self.end('The deadline passed before an answer came')
        elif self._gate.starved(now):
            self.end('The rate limit of the API lets nothing through')
        while (
            self._end is None
            and len(self._asked) < self._engine.concurrency
            and not self._gate.pause(now)
        ):
            key = self._next(now)
            if key is None:
                break
            self._send(key, now)
        due = self._due(now)
        if self._end is None and due is not None and due[1] <= now:
            self._checking = True
            self._checked = now
            self._send(due[0], now, check=True)

    def _due(self, now: float) -> tuple[str, float] | None:
        """What to check, and when, while only answers are awaited.

        A check goes beside the requests under way, however many these are.
        """
        full = len(self._asked) >= self._engine.concurrency
        again = self._due_again()
        done = self._key is None and (again is None or again > now)
        if self._checking or not self._asked or not (full or done):
            return None
        check = self._check()
        if check is None:
            return None
        key, when = check
        opens = now + self._gate.pause(now)
        return key, max(when, self._checked + _CHECK_PAUSE, opens)

    def _due_again(self) -> float | None:
        """When the next of those that were sent before is due, if any is."""
        heads = [heap[0][0] for heap in (self._unasked, self._again) if heap]
        return min(heads, default=None)

    def _next(self, now: float) -> str | None:
        if _is_due(self._unasked, now):
            return heapq.heappop(self._unasked)[1]
        # Who waits for dead guests asks them again and again: not before
        # everybody was asked.
        if _is_due(self._again, now) and not (self._patient and self._key):
            return heapq.heappop(self._again)[1]
        key = self._key
        if key is not None:
            self._key = next(self._keys, None)
        return key

    def _send(self, key: str, now: float, *, check: bool = False) -> None:
        engine = self._engine
        handle = (
            self._idle.pop()
            if self._idle
            else Handle(engine.access, engine.timeout, engine.limit)
        )
        url = engine.access.endpoint + self._path_of(key)
        # A kept connection stays with one API process, and gets at the
        # budget of that one alone: a new one may reach any.
        token = self._login.token
        handle.prepare(url, token.headers, fresh=self._gate.throttled)
        era = self._gate.sent(now)
        self._asked[handle] = _Asked(key, token, era, now, check)
        LOG.debug('GET %s', url)
        self._loop.start(handle)

    def _take(
        self, handle: Handle, code: int, message: str, now: float
    ) -> Answer | None:
        """Take what came; None if it is to be asked again."""
        asked = self._asked.pop(handle)
        self._idle.append(handle)
        reply = handle.outcome(code, message)
        self._engine.access.time(handle.url, handle.seconds)
        answer = Answer(
            asked.key,
            reply,
            None if isinstance(reply, NoReply) else handle.rtt,
            asked.sent,
            asked.check,
            now,
        )
        if asked.check:
            self._checking = False
        if isinstance(reply, NoReply):
            message = plaintext.one_line(reply.message)
            LOG.debug('GET %s: %s', handle.url, message)
        else:
            transport.log_reply(handle.url, reply)
            if self._is_unasked(asked, reply):
                # A check that was not made is no news; it will be due again.
                return None
        self._login.answered(asked.key)
        return answer

    def _is_unasked(self, asked: _Asked, reply: Reply) -> bool:
        """Whether a reply leaves the question open; then ask it again."""
        if reply.status in (413, 429):
            self._ask_later(asked, reply)
            return True
        self._gate.admitted(asked.era)
        if reply.status != 401:
            self._login.taken(asked.token)
        elif refuses_user(reply):
            self.end('The API refuses this user')
        elif not asked.check and self._renewed(asked):
            heapq.heappush(self._unasked, (0.0, asked.key))
            return True
        return False

    def _ask_later(self, asked: _Asked, reply: Reply) -> None:
        now = time.monotonic()
        pause = self._gate.refused(now, asked.era, reply)
        if not asked.check:
            heapq.heappush(self._unasked, (now + pause, asked.key))

    def _renewed(self, asked: _Asked) -> bool:
        try:
            return self._login.renewed(asked.key, asked.token)
        except ksa_exceptions.ClientException as error:
            if self._patient:
                return False
            self.end(f'The token expired, and a new login failed: {error}')
            return True

    def _rest(self, why: str) -> Iterator[Answer]:
        reply = NoReply(NoReply.NOT_ASKED, why)
        for asked in self._asked.values():
            if not asked.check:
                yield Answer(asked.key, reply)
        for _, key in self._unasked + self._again:
            yield Answer(key, reply)
        if self._key is not None:
            yield Answer(self._key, reply)
        for key in self._keys:
            yield Answer(key, reply)


def _is_due(heap: list[tuple[float, str]], now: float) -> bool:
    return bool(heap) and heap[0][0] <= now
