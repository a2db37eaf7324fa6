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

"""Witnesses: guests that the caller did not ask for, and that may answer.

If no guest of the caller answers, only other guests can show whether the
message bus works. The listing names these guests. It also has the age of each
heartbeat. The sweep reads it once at the most.
"""

from __future__ import annotations

import collections
from collections.abc import Collection
import enum
import math

from troveclient_rpcping import exceptions
from troveclient_rpcping import inventory
from troveclient_rpcping.inventory import Instance
from troveclient_rpcping.reply import NoReply
from troveclient_rpcping.reply import Reply
from troveclient_rpcping.sweep.queue import Guest
from troveclient_rpcping.verdict import judge
from troveclient_rpcping.verdict import Reason

# The most witnesses, and the seconds between two of them.
_MOST = 8
_PAUSE = 0.5


class Listing(enum.Enum):
    """How far the reading of the listing is."""

    UNREAD = enum.auto()
    READING = enum.auto()
    READ = enum.auto()
    #: It could not be read.
    FAILED = enum.auto()
    #: This API has none.
    MISSING = enum.auto()


class Witnesses:
    """Reads the listing, and says which guest to ask as a witness.

    :param rows: the listing, if it was read already.
    """

    def __init__(self, rows: Collection[Instance] | None = None):
        self.listing = Listing.UNREAD
        self._given = rows
        self._reading: inventory.Reading | None = None
        self._path: str | None = None
        self._rows: dict[str, Instance] = {}
        self._candidates: collections.deque[Guest] = collections.deque()
        self._next = -math.inf
        #: Witnesses that were asked, and those of them that kept silent.
        self.asked = self.mute = 0

    def row(self, instance_id: str) -> Instance | None:
        """Return the row of an instance, if the listing was read."""
        return self._rows.get(instance_id)

    def page(self, asked: Collection[str]) -> str | None:
        """Return the path of the next page to get, once; begin if need be.

        :param asked: the IDs that were asked for: no witnesses.
        """
        if self.listing is Listing.UNREAD and self._given is not None:
            self.listing = Listing.READ
            self._list(self._given, asked)
        elif self.listing is Listing.UNREAD:
            self.listing = Listing.READING
            self._reading = inventory.read_listing()
            self._path = next(self._reading)
        path, self._path = self._path, None
        return path

    def again(self, path: str) -> None:
        """Get a page once more: the API refused to work on it."""
        self._path = path

    def read(self, reply: Reply | NoReply, asked: Collection[str]) -> None:
        """Record what came for a page.

        :param asked: the IDs that were asked for: no witnesses.
        """
        if self._reading is None:
            return
        try:
            self._path = self._reading.send(reply)
        except StopIteration as end:
            self.listing = Listing.READ
            self._list(end.value, asked)
        except exceptions.ListingFailed:
            self.listing = (
                Listing.MISSING if _has_no_listing(reply) else Listing.FAILED
            )

    def _list(
        self, rows: Collection[Instance], asked: Collection[str]
    ) -> None:
        self._rows = {row.id: row for row in rows}
        others = [
            row
            for row in rows
            if row.id not in asked and not (row.is_off or row.is_busy)
        ]
        others.sort(key=lambda row: (not row.is_fresh, row.heartbeat_age or 0))
        self._candidates.extend(Guest(row.id, row) for row in others[:_MOST])

    @property
    def exhausted(self) -> bool:
        """Whether no further witness will come."""
        return (
            self.listing in (Listing.READ, Listing.FAILED, Listing.MISSING)
            and not self._candidates
            and self.mute >= self.asked
        )

    def next(self, now: float) -> Guest | None:
        """Return the next witness to ask, if it is time."""
        if not self._candidates or now < self._next:
            return None
        self._next = now + _PAUSE
        self.asked += 1
        return self._candidates.popleft()

    def refused(self, guest: Guest, until: float) -> None:
        """Ask a witness again: the API refused to work on it."""
        self.asked -= 1
        self._next = until
        self._candidates.appendleft(guest)

    def dismiss(self) -> None:
        """Ask no further witness: an agent answered."""
        self._candidates.clear()


def _has_no_listing(reply: Reply | NoReply) -> bool:
    """Whether this is a mere stub of the ping's route, and no Trove."""
    return isinstance(reply, Reply) and (
        reply.status in (204, 404, 405, 501)
        or judge(reply, '').reason is Reason.AGENT_TIMEOUT
    )
