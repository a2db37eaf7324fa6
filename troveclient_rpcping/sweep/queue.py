# SPDX-License-Identifier: Apache-2.0

"""The queue of guests: which guest comes next."""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import heapq
import itertools
import math
import random

from troveclient_rpcping import inventory


@dataclasses.dataclass(frozen=True, slots=True)
class Guest:
    """One guest to ping.

    :param instance_id: its ID.
    :param row: its row in the listing, if there was a listing.
    """

    instance_id: str
    row: inventory.Instance | None = None

    @property
    def is_stale(self) -> bool:
        """Whether its heartbeat is stale in the listing."""
        return self.row is not None and self.row.is_stale


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """One ping of a guest.

    :param guest: the guest.
    :param extra: whether the ping only adds to the evidence that the guest is
        dead.
    :param first: whether the guest was not pinged before.
    """

    guest: Guest
    extra: bool = False
    first: bool = False


class Queue:
    """The guests that wait for a ping.

    Guests that are likely to keep Trove waiting are suspects: they come last.

    :param guests: all guests. A sequence is sorted: the freshest heartbeat
        comes first. Anything else is read as the pings go out.
    :param is_suspect: returns whether a guest is a suspect.
    """

    def __init__(
        self, guests: Iterable[Guest], is_suspect: Callable[[Guest], bool]
    ):
        self._is_suspect = is_suspect
        self._numbers = itertools.count()
        # The guests that were not pinged yet, the next one last.
        self._todo: list[Guest] = []
        self._more: Iterator[Guest] = iter(())
        if isinstance(guests, Sequence):
            self._todo = sorted(guests, key=_age)[::-1]
        else:
            self._more = iter(guests)
        self._suspects: collections.deque[Task] = collections.deque()
        # Pings that are due at a certain time: a heap.
        self._later: list[tuple[float, int, Task]] = []
        # Whether the last ping was one of these.
        self._was_due = False

    def __bool__(self) -> bool:
        return bool(self._suspects or self._later or self._peek())

    def next(
        self, now: float, has_room: Callable[[bool], bool]
    ) -> Task | None:
        """Remove and return the next ping to send now; None for none.

        :param has_room: returns whether one more ping may be in flight, of a
            suspect (True) or of another guest.
        """
        # Under a rate limit, some guest may be due again at any time. So the
        # others have every other turn.
        task = self._new(has_room) if self._was_due else None
        if task is None and (task := self._due(now, has_room)):
            self._was_due = True
            return task
        self._was_due = False
        return task or self._new(has_room)

    def _new(self, has_room: Callable[[bool], bool]) -> Task | None:
        while (guest := self._peek()) is not None:
            if self._is_suspect(guest):
                self._suspects.append(Task(self._todo.pop(), first=True))
            elif has_room(False):
                return Task(self._todo.pop(), first=True)
            else:
                return None
        if self._suspects and has_room(True):
            return self._suspects.popleft()
        return None

    def _due(
        self, now: float, has_room: Callable[[bool], bool]
    ) -> Task | None:
        while self._later and self._later[0][0] <= now:
            is_suspect = self._is_suspect(self._later[0][2].guest)
            if not is_suspect and not has_room(False):
                return None
            _, _, task = heapq.heappop(self._later)
            if not is_suspect:
                return task
            self._suspects.append(task)
        return None

    def put(self, task: Task, due: float | None = None) -> None:
        """Add a ping.

        :param due: when to send it at the earliest; None for last of all.
        """
        if due is None:
            self._suspects.append(task)
        else:
            heapq.heappush(self._later, (due, next(self._numbers), task))

    def wakes(self) -> float:
        """Return when the next delayed ping is due; infinite for none."""
        return self._later[0][0] if self._later else math.inf

    def mix(self) -> None:
        """Shuffle the guests that were not pinged yet, the fresh ones first.

        Neighbours in the list may be on one host, and fail together.
        """
        dice = random.Random(0)  # noqa: S311 -- it guards no secret
        dice.shuffle(self._todo)
        self._todo.sort(
            key=lambda guest: bool(guest.row and guest.row.is_fresh)
        )

    def rest(self) -> Iterator[Task]:
        """Remove and return all that is left, whenever it is due."""
        while self._later:
            yield heapq.heappop(self._later)[2]
        yield from self._suspects
        self._suspects.clear()
        while self._peek() is not None:
            yield Task(self._todo.pop(), first=True)

    def _peek(self) -> Guest | None:
        if not self._todo:
            self._todo.extend(itertools.islice(self._more, 1))
        return self._todo[-1] if self._todo else None


def _age(guest: Guest) -> float:
    """The age of the last heartbeat; without one the order stays."""
    age = guest.row.heartbeat_age if guest.row else None
    return 0.0 if age is None else max(0.0, age)
