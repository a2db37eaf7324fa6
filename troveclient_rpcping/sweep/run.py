# SPDX-License-Identifier: Apache-2.0

"""A sweep over HTTP: instances in, results out."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Generator
from collections.abc import Iterable
import contextlib
import math
import time
from typing import Any

from troveclient_rpcping import inventory
from troveclient_rpcping.engine.access import Access
from troveclient_rpcping.engine.access import flight
from troveclient_rpcping.engine.engine import Engine
from troveclient_rpcping.engine.pacing import Gate
from troveclient_rpcping.inventory import Instance
from troveclient_rpcping.limits import Limits
from troveclient_rpcping.limits import Throttle
from troveclient_rpcping.reply import Failure
from troveclient_rpcping.reply import NoReply
from troveclient_rpcping.reply import Question
from troveclient_rpcping.reply import Reply
from troveclient_rpcping.sweep.capacity import Capacity
from troveclient_rpcping.sweep.queue import Guest
from troveclient_rpcping.sweep.repeat import Repeat
from troveclient_rpcping.sweep.sweep import Sweep
from troveclient_rpcping.sweep.witnesses import listing_page
from troveclient_rpcping.verdict import PingResult


def ping(
    api: Any,
    guests: Iterable[Guest],
    limits: Limits,
    repeat: Repeat,
    capacity: Capacity | None = None,
    on_throttle: Callable[[Throttle], None] | None = None,
    *,
    listing: Collection[Instance] | None = None,
) -> Generator[PingResult]:
    """Ping each guest, and yield the results as they come.

    The parameters are those of
    :meth:`~troveclient_rpcping.management.Management.rpc_ping_each`.

    :raises SessionRequired: if the client was made without a session.
    :raises keystoneauth1.exceptions.ClientException: no token at the start.
    """
    access = Access(api)
    gate = Gate(limits.rate, on_throttle)
    now = time.monotonic()
    sweep = Sweep(
        guests,
        repeat,
        capacity or Capacity(flight(limits.concurrency)),
        timeout=limits.timeout,
        now=now,
        spacing=lambda: 1 / gate.rate if gate.rate else 0.0,
        listing=listing,
    )
    engine = Engine(
        access,
        sweep,
        gate=gate,
        deadline=None if limits.deadline is None else now + limits.deadline,
        login_may_fail=repeat.patient,
    )
    return _results(engine, sweep)


def _results(engine: Engine, sweep: Sweep) -> Generator[PingResult]:
    try:
        with contextlib.closing(engine.run()) as turns:
            for _ in turns:
                yield from sweep.take()
    except GeneratorExit:
        raise
    except BaseException:
        # Interrupted: what is known is not to be lost.
        sweep.finish()
        yield from sweep.take()
        raise
    sweep.finish()
    yield from sweep.take()


def fetcher(api: Any, deadline: float | None) -> inventory.Fetch:
    """Return what sends the GETs of a listing.

    :param deadline: seconds for all of them; None for no limit.
    :raises SessionRequired: if the client was made without a session.
    """
    access = Access(api)
    end = None if deadline is None else time.monotonic() + deadline

    def fetch(path: str) -> Reply | NoReply:
        page = _Page(path)
        engine = Engine(access, page, deadline=end)
        with contextlib.closing(engine.run()) as turns:
            for _ in turns:
                pass
        return page.reply or NoReply(Failure.NOT_ASKED, 'It was not asked')

    return fetch


class _Page:
    """The agenda of one GET."""

    def __init__(self, path: str):
        self.reply: Reply | NoReply | None = None
        self._question = listing_page(path)
        # When to send the request; infinite while it is under way.
        self._due = -math.inf

    @property
    def done(self) -> bool:
        return self.reply is not None

    def next(self, now: float) -> Question | None:
        if self.done or now < self._due:
            return None
        self._due = math.inf
        return self._question

    def wakes(self, now: float) -> float:
        return min(self._due, now + inventory.TIMEOUT)

    def unsent(self, question: Question, now: float, pause: float) -> None:
        self._due = now + pause

    def answered(
        self,
        question: Question,
        reply: Reply | NoReply,
        now: float,
        rtt: float | None,
    ) -> None:
        self.reply = reply

    def end(self, why: str, now: float, *, late: bool = False) -> None:
        self.reply = self.reply or NoReply(Failure.NOT_ASKED, why)
