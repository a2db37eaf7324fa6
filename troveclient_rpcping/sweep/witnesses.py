# SPDX-License-Identifier: Apache-2.0

"""Witnesses: guests that the caller did not ask for, and that may answer.

If no guest of the caller answers, only other guests can show whether the
message bus works. The listing names these guests. It also has the age of each
heartbeat. The sweep reads it once at the most.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Collection
import enum
import math

from troveclient_rpcping import exceptions
from troveclient_rpcping import inventory
from troveclient_rpcping import reply as replies
from troveclient_rpcping import transport
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.sweep import queue as queues

# The most witnesses, and the seconds between two of them.
_MOST = 8
_PAUSE = 0.5


class Listing(enum.Enum):
    """How far the reading of the listing is."""

    UNREAD = enum.auto()
    READING = enum.auto()
    #: It was read, or could not be read.
    ENDED = enum.auto()
    #: This API has none.
    MISSING = enum.auto()


class Witnesses:
    """Reads the listing, and chooses the witnesses.

    :param rows: the listing, if it was read already.
    :param is_asked: returns whether the caller asked for an ID.
    """

    def __init__(
        self,
        rows: Collection[inventory.Instance] | None,
        is_asked: Callable[[str], bool],
    ):
        self.listing = Listing.UNREAD
        self._given = rows
        self._is_asked = is_asked
        self._reading = inventory.read_listing()
        self._path: str | None = None
        self._rows: dict[str, inventory.Instance] = {}
        self._candidates: collections.deque[queues.Guest] = collections.deque()
        self._next = -math.inf
        #: Witnesses that were pinged, and those of them that kept silent.
        self.asked = self.mute = 0

    def row(self, instance_id: str) -> inventory.Instance | None:
        """Return the row of an instance, if the listing was read."""
        return self._rows.get(instance_id)

    def page(self) -> replies.Question | None:
        """Return the request for the next page, once; begin if need be."""
        if self.listing is Listing.UNREAD and self._given is not None:
            self._end(self._given)
        elif self.listing is Listing.UNREAD:
            self.listing = Listing.READING
            self._path = next(self._reading)
        path, self._path = self._path, None
        return None if path is None else listing_page(path)

    def again(self, path: str) -> None:
        """Get a page once more: the API refused to work on it."""
        self._path = path

    def read(self, reply: replies.Reply | replies.NoReply) -> None:
        """Record the reply to the request for a page."""
        try:
            self._path = self._reading.send(reply)
        except StopIteration as end:
            self._end(end.value)
        except exceptions.ListingFailed:
            missing = _has_no_listing(reply)
            self.listing = Listing.MISSING if missing else Listing.ENDED

    def _end(self, rows: Collection[inventory.Instance]) -> None:
        self.listing = Listing.ENDED
        self._rows = {row.id: row for row in rows}
        others = [
            row
            for row in rows
            if _may_answer(row) and not self._is_asked(row.id)
        ]
        others.sort(key=lambda row: (not row.is_fresh, row.heartbeat_age or 0))
        self._candidates.extend(
            queues.Guest(row.id, row) for row in others[:_MOST]
        )

    @property
    def is_reading(self) -> bool:
        """Whether the rows of the listing may still come."""
        return self.listing in (Listing.UNREAD, Listing.READING)

    @property
    def exhausted(self) -> bool:
        """Whether no further witness will come."""
        return (
            not self.is_reading
            and not self._candidates
            and self.mute >= self.asked
        )

    def next(self, now: float) -> queues.Guest | None:
        """Return the next witness to ping, if it is time."""
        if not self._candidates or now < self._next:
            return None
        self._next = now + _PAUSE
        self.asked += 1
        return self._candidates.popleft()

    def refused(self, guest: queues.Guest, until: float) -> None:
        """Ping a witness again: the API refused to work on it."""
        self.asked -= 1
        self._next = until
        self._candidates.appendleft(guest)


def listing_page(path: str) -> replies.Question:
    """Return the request for a page of the listing."""
    return replies.Question(
        replies.Purpose.LISTING,
        path,
        timeout=inventory.TIMEOUT,
        limit=inventory.PAGE_LIMIT,
    )


def _may_answer(row: inventory.Instance) -> bool:
    """Whether an instance has an ID, and Trove would ask its agent."""
    try:
        transport.ping_path(row.id)
    except exceptions.InvalidInstanceID:
        return False
    return not (row.is_off or row.is_busy)


def _has_no_listing(reply: replies.Reply | replies.NoReply) -> bool:
    """Whether a stub that only has the route of the ping stands for Trove."""
    return isinstance(reply, replies.Reply) and (
        reply.status in (204, 404, 405, 501)
        or verdicts.judge(reply, '').reason is verdicts.Reason.AGENT_TIMEOUT
    )
