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

"""The requests of a sweep, and their answers."""

from __future__ import annotations

import dataclasses
import enum
from typing import Protocol

from troveclient_rpcping.reply import BODY_LIMIT
from troveclient_rpcping.reply import NoReply
from troveclient_rpcping.reply import Reply


class Purpose(enum.Enum):
    """Why a request is sent."""

    #: To ping a guest that the caller named.
    GUEST = enum.auto()
    #: To see whether a guest that answered still answers.
    CONTROL = enum.auto()
    #: To see whether any agent answers, by a guest that the caller did not
    #: name.
    WITNESS = enum.auto()
    #: To get the listing of the instances.
    LISTING = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One request. Two of them are never equal.

    :param path: path and query, from the endpoint on.
    :param instance_id: the instance to ping; empty for a listing.
    :param fresh: whether the request needs a new connection. A kept one leads
        to the same worker of trove-api again.
    :param timeout: seconds for the request, in all.
    :param limit: how many bytes of the body to keep.
    """

    purpose: Purpose
    path: str
    instance_id: str = ''
    fresh: bool = False
    timeout: float = 30.0
    limit: int = BODY_LIMIT


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """The end of one request.

    :param reply: the reply, or why there is none.
    :param rtt: seconds from sending the request to the end of the reply;
        None if there was no reply.
    :param arrived: when it ended, on the clock of ``time.monotonic``.
    """

    question: Question
    reply: Reply | NoReply
    rtt: float | None
    arrived: float


class Agenda(Protocol):
    """Decides which request is sent, and learns from the answers.

    Times are seconds on the clock of ``time.monotonic``.
    """

    @property
    def done(self) -> bool:
        """Whether no request is left, and :meth:`next` returns none."""

    def next(self, now: float) -> Question | None:
        """Return the next request; None if it is not time for it yet.

        The engine sends it at once.
        """

    def wakes(self, now: float) -> float:
        """Return when to call :meth:`next` again if no request ends before."""

    def unsent(self, question: Question, now: float, pause: float) -> None:
        """Record that the API refused a request unprocessed.

        :param pause: seconds until it may be sent again.
        """

    def answered(self, answer: Answer) -> None:
        """Record the end of a request."""

    def end(self, why: str, now: float, *, late: bool = False) -> None:
        """Give up every request without an answer.

        :param why: the reason, in a sentence.
        :param late: whether the deadline passed. Then the requests under way
            had no answer in time.
        """
