# SPDX-License-Identifier: Apache-2.0


"""Sends many requests at once, in one thread.

An agenda decides which request is sent, and when. The engine keeps the
connections, the timeouts, the rate limit of the API, and the login.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Generator
import logging
import math
import threading
import time
from typing import Protocol

from keystoneauth1 import exceptions as ksa_exceptions

from troveclient_rpcping import reply as replies
from troveclient_rpcping import transport
from troveclient_rpcping.engine import access as engine_access
from troveclient_rpcping.engine import loop as loops
from troveclient_rpcping.engine import pacing

LOG = logging.getLogger(__name__)

# Trove's message to a caller without an admin role (trove/common/auth.py). Any
# other 401 comes from keystonemiddleware, and concerns the token.
_NOT_ADMIN = 'User does not have admin privileges.'

# The longest wait without a look at *cancel*, in seconds.
_TICK = 0.1


class Agenda(Protocol):
    """Decides which request is sent, and learns from the answers.

    Times are seconds on the clock of ``time.monotonic``.
    """

    @property
    def done(self) -> bool:
        """Whether no request is left, and :meth:`next` returns none."""

    def next(self, now: float) -> replies.Question | None:
        """Return the next request; None if it is not time for it yet.

        The engine sends it at once.
        """

    def wakes(self, now: float) -> float:
        """Return when to call :meth:`next` again if no request ends before."""

    def unsent(
        self, question: replies.Question, now: float, pause: float
    ) -> None:
        """Record that the API refused a request unprocessed.

        :param pause: seconds until it may be sent again.
        """

    def answered(
        self,
        question: replies.Question,
        reply: replies.Reply | replies.NoReply,
        now: float,
        rtt: float | None,
    ) -> None:
        """Record the end of a request.

        :param reply: the reply, or why there is none.
        :param rtt: seconds from sending the request to the end of the reply;
            None if there was no reply.
        """

    def end(self, why: str, now: float, *, late: bool = False) -> None:
        """Give up every request without an answer.

        :param why: the reason, in a sentence.
        :param late: whether the deadline passed. Then the requests under way
            had no answer in time.
        """


class Engine:
    """Sends the requests of an agenda to the database endpoint.

    :param agenda: decides which request is sent, and learns from the answers.
    :param deadline: when to end, on *clock*; None for no limit.
    :param cancel: an event that another thread sets, to end the agenda.
    :param login_may_fail: whether to go on when a login midway fails.
    """

    def __init__(
        self,
        access: engine_access.Access,
        agenda: Agenda,
        *,
        gate: pacing.Gate | None = None,
        deadline: float | None = None,
        cancel: threading.Event | None = None,
        login_may_fail: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._access = access
        self._agenda = agenda
        self._gate = gate or pacing.Gate()
        self._deadline = math.inf if deadline is None else deadline
        self._cancel = cancel
        self._login_may_fail = login_may_fail
        self._clock = clock
        self._loop = loops.Loop()
        self._idle: list[loops.Handle] = []
        # Each request under way, and the generation of the rate.
        self._under_way: dict[loops.Handle, tuple[replies.Question, int]] = {}
        # Whether a request of the agenda waits for the rate limit alone.
        self._gated = False

    def run(self) -> Generator[None]:
        """Send and wait until the agenda is done; yield after each wait.

        The engine sends a request again only if Trove refused it unprocessed.
        After a refusal by the rate limit it waits for the pause that the
        refusal names. After a refusal of the token it logs in again, once for
        all requests. If the caller closes the iterator, the requests under way
        end.

        :raises keystoneauth1.exceptions.ClientException: no login at the
            start.
        """
        try:
            self._access.log_in()
            left = self._clock()
            self._fill(left)
            while not self._agenda.done:
                # A login and the agenda may take long, like the caller.
                self._loop.discount(self._clock() - left)
                ended = self._loop.wait(self._pause())
                left = self._clock()
                for handle, code, message in ended:
                    self._end(handle, code, message, left)
                self._fill(self._clock())
                yield
        finally:
            self._loop.close()

    def _pause(self) -> float:
        """Return the seconds to wait if no request ends before."""
        now = self._clock()
        if self._gated:
            # While the gate is closed, the agenda can send nothing.
            wakes = now + self._gate.pause(now)
        else:
            wakes = self._agenda.wakes(now)
        if self._cancel is not None:
            wakes = min(wakes, now + _TICK)
        return max(0.0, min(wakes, self._deadline) - now)

    def _fill(self, now: float) -> None:
        """Send the requests that are due, unless it is time to end."""
        self._gated = False
        if now >= self._deadline:
            self._agenda.end(
                'The deadline passed before an answer came', now, late=True
            )
        elif self._cancel is not None and self._cancel.is_set():
            self._agenda.end(
                'The sweep was cancelled before an answer came', now
            )
        elif self._gate.starved:
            self._agenda.end(
                'The rate limit of the API lets nothing through', now
            )
        else:
            while not self._gate.pause(now):
                question = self._agenda.next(now)
                if question is None:
                    return
                self._send(question, now)
            self._gated = True

    def _send(self, question: replies.Question, now: float) -> None:
        handle = self._idle.pop() if self._idle else loops.Handle(self._access)
        handle.prepare(
            self._access.endpoint + question.path,
            self._access.headers,
            timeout=question.timeout,
            limit=question.limit,
            # A kept connection leads to one API process, and uses up the
            # budget of that process alone. A new one may reach any process.
            fresh=question.fresh or self._gate.throttled,
        )
        self._under_way[handle] = question, self._gate.sent(now)
        LOG.debug('GET %s', handle.url)
        self._loop.start(handle)

    def _end(
        self, handle: loops.Handle, code: int, message: str, now: float
    ) -> None:
        """Report the end of a request, or send the request again later."""
        question, generation = self._under_way.pop(handle)
        self._idle.append(handle)
        reply = handle.outcome(code, message)
        seconds, rtt = handle.took()
        self._access.time(handle.url, seconds)
        if self._agenda.done:
            # Another answer of this turn ended the agenda.
            return
        if isinstance(reply, replies.NoReply):
            LOG.debug('GET %s: %s', handle.url, reply.message)
            self._agenda.answered(question, reply, now, None)
            return
        transport.log_reply(handle.url, reply)
        if reply.status in (413, 429):
            pause = self._gate.refused(now, generation, reply)
            self._agenda.unsent(question, now, pause)
            return
        self._gate.admitted(generation)
        refuses_user = reply.status == 401 and reply.fault == _NOT_ADMIN
        if reply.status == 401 and not refuses_user:
            if self._has_new_token(handle.headers, now):
                self._agenda.unsent(question, now, 0.0)
                return
            if self._agenda.done:
                return
        self._agenda.answered(question, reply, now, rtt)
        if refuses_user:
            self._agenda.end('The API refuses this user', now)

    def _has_new_token(self, refused: list[str], now: float) -> bool:
        """Log in again after a refusal; end the agenda if that fails."""
        try:
            return self._access.renewed(refused, self._clock)
        except ksa_exceptions.ClientException as error:
            if not self._login_may_fail:
                why = f'The token expired, and a new login failed: {error}'
                self._agenda.end(why, now)
            return False
