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

import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import itertools
import logging
import time

from keystoneauth1 import exceptions as ksa_exceptions

from troveclient_rpcping import plaintext
from troveclient_rpcping import transport
from troveclient_rpcping.fleet.access import Access
from troveclient_rpcping.fleet.handle import Handle
from troveclient_rpcping.fleet.loop import Loop
from troveclient_rpcping.reply import BODY_LIMIT
from troveclient_rpcping.reply import NoReply
from troveclient_rpcping.reply import Reply

LOG = logging.getLogger(__name__)

# trove/common/auth.py: what a caller without an admin role is told. Any other
# 401 comes from keystonemiddleware, and is about the token.
_NOT_ADMIN = 'User does not have admin privileges.'


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request.

    :param key: what was asked for.
    :param reply: the reply, or why there is none.
    :param rtt: seconds from sending the request to the end of the reply;
        None if there was no reply.
    """

    key: str
    reply: Reply | NoReply
    rtt: float | None = None


@dataclasses.dataclass(slots=True)
class _Token:
    """The header lines in use, and what is known of the token in them."""

    headers: list[str]
    #: A fresh token that is refused means that no token will do. The first
    #: one may be older than this program: it is not fresh.
    fresh: bool = False


class Engine:
    """Sends GETs to the database endpoint.

    :param access: where they go, and how.
    :param concurrency: requests under way at once, at the most.
    :param timeout: seconds for each request, in all.
    :param limit: how much of a body is kept at most, in bytes.
    """

    def __init__(
        self,
        access: Access,
        *,
        concurrency: int,
        timeout: float,
        limit: int = BODY_LIMIT,
    ):
        self.access = access
        self.concurrency = concurrency
        self.timeout = timeout
        self.limit = limit

    def ask(
        self,
        keys: Iterable[str],
        path_of: Callable[[str], str],
        deadline: float | None = None,
    ) -> Iterator[Answer]:
        """Ask for each key, and yield the answers as they come.

        Asked again is only what was refused unasked: requests whose token
        had expired, after one new login for all of them. Closing the
        iterator ends whatever is under way.

        :param keys: what to ask for; read as the requests go out.
        :param path_of: gives the path and query of a key, from the endpoint
            on.
        :param deadline: when to end, on the clock of ``time.monotonic``.
            What has no answer by then is answered ``not-asked``.
        :raises keystoneauth1.exceptions.ClientException: no token can be
            had at the start.
        """
        run = _Run(self, iter(keys), path_of, deadline)
        try:
            yield from run.answers()
        finally:
            run.loop.close()


class _Run:
    """One call of :meth:`Engine.ask`."""

    def __init__(
        self,
        engine: Engine,
        keys: Iterator[str],
        path_of: Callable[[str], str],
        deadline: float | None,
    ):
        self._engine = engine
        self._keys = keys
        self._path_of = path_of
        self._deadline = deadline
        self._token = _Token(engine.access.headers())
        self._again: collections.deque[str] = collections.deque()
        self._idle: list[Handle] = []
        self._asked: dict[Handle, tuple[str, _Token]] = {}
        #: Why no further request is sent; None while all is well.
        self._end: str | None = None
        self.loop = Loop()

    def answers(self) -> Iterator[Answer]:
        self._fill()
        while self._asked and self._end is None:
            for handle, code, message in self.loop.wait(self._patience()):
                answer = self._take(handle, code, message)
                if answer is not None:
                    yield answer
            if self._patience() == 0.0:
                self._end = 'The deadline passed before an answer came'
            self._fill()
        if self._end is not None:
            yield from self._rest(self._end)

    def _patience(self) -> float | None:
        """Seconds until the deadline; None if there is none."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - time.monotonic())

    def _fill(self) -> None:
        """Send what may be sent now."""
        while (
            self._end is None and len(self._asked) < self._engine.concurrency
        ):
            key = self._next()
            if key is None:
                return
            handle = self._idle.pop() if self._idle else self._handle()
            url = self._engine.access.endpoint + self._path_of(key)
            handle.prepare(url, self._token.headers)
            self._asked[handle] = (key, self._token)
            LOG.debug('GET %s', url)
            self.loop.start(handle)

    def _next(self) -> str | None:
        if self._again:
            return self._again.popleft()
        return next(self._keys, None)

    def _handle(self) -> Handle:
        engine = self._engine
        return Handle(engine.access, engine.timeout, engine.limit)

    def _take(self, handle: Handle, code: int, message: str) -> Answer | None:
        """Take what came; None if it is to be asked again."""
        key, token = self._asked.pop(handle)
        self._idle.append(handle)
        reply = handle.outcome(code, message)
        self._engine.access.time(handle.url, handle.seconds)
        if isinstance(reply, NoReply):
            LOG.debug(
                'GET %s: %s', handle.url, plaintext.one_line(reply.message)
            )
            return Answer(key, reply)
        transport.log_reply(handle.url, reply)
        if reply.status != 401:
            token.fresh = False
        elif reply.fault != _NOT_ADMIN and self._renewed(token):
            self._again.append(key)
            return None
        else:
            self._end = 'The API refuses this user'
        return Answer(key, reply, handle.rtt)

    def _renewed(self, refused: _Token) -> bool:
        """Log in again, once for all that was sent with the same token."""
        if refused is not self._token:
            return True
        if refused.fresh:
            return False
        self._engine.access.renew()
        try:
            headers = self._engine.access.headers()
        except ksa_exceptions.ClientException as error:
            self._end = f'The token expired, and a new login failed: {error}'
            return True
        self._token = _Token(headers, fresh=True)
        return True

    def _rest(self, why: str) -> Iterator[Answer]:
        reply = NoReply(NoReply.NOT_ASKED, why)
        unanswered = [key for key, _ in self._asked.values()]
        for key in itertools.chain(unanswered, self._again, self._keys):
            yield Answer(key, reply)
