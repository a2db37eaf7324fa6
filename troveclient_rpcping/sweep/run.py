# SPDX-License-Identifier: Apache-2.0

"""A sweep over HTTP: instances in, results out."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Generator
from collections.abc import Iterable
import contextlib
import math
import threading
import time
from typing import Any

from troveclient_rpcping import inventory
from troveclient_rpcping import limits
from troveclient_rpcping import reply as replies
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.engine import access as engine_access
from troveclient_rpcping.engine import engine as engines
from troveclient_rpcping.engine import pacing
from troveclient_rpcping.sweep import capacity as capacities
from troveclient_rpcping.sweep import queue as queues
from troveclient_rpcping.sweep import repeat as repeats
from troveclient_rpcping.sweep import sweep as sweeps
from troveclient_rpcping.sweep import witnesses as sweep_witnesses


def ping(
    api: Any,
    guests: Iterable[queues.Guest],
    bounds: limits.Limits,
    repeat: repeats.Repeat,
    capacity: capacities.Capacity | None = None,
    on_throttle: Callable[[limits.Throttle], None] | None = None,
    *,
    listing: Collection[inventory.Instance] | None = None,
    cancel: threading.Event | None = None,
) -> Generator[verdicts.PingResult]:
    """Ping each guest, and yield the results as they come.

    Most parameters are those of
    :meth:`~troveclient_rpcping.management.Management.rpc_ping_each`.

    :param bounds: the limits of the sweep.
    :param repeat: whether to ping a guest more than once.
    :raises SessionRequired: if the client was made without a session.
    :raises keystoneauth1.exceptions.ClientException: no token at the start.
    """
    access = engine_access.Access(api)
    gate = pacing.Gate(bounds.rate, on_throttle)
    now = time.monotonic()
    if capacity is None:
        most = engine_access.flight(bounds.concurrency)
        capacity = capacities.Capacity(most)
    sweep = sweeps.Sweep(
        guests,
        repeat,
        capacity,
        timeout=bounds.timeout,
        now=now,
        spacing=lambda: 1 / gate.rate if gate.rate else 0.0,
        listing=listing,
    )
    engine = engines.Engine(
        access,
        sweep,
        gate=gate,
        deadline=None if bounds.deadline is None else now + bounds.deadline,
        cancel=cancel,
        login_may_fail=repeat.patient,
    )
    return _results(engine, sweep)


def _results(
    engine: engines.Engine, sweep: sweeps.Sweep
) -> Generator[verdicts.PingResult]:
    try:
        with contextlib.closing(engine.run()) as turns:
            for _ in turns:
                yield from sweep.take()
    except GeneratorExit:
        raise
    except BaseException:
        # After an interrupt, the known results must not get lost.
        sweep.finish()
        yield from sweep.take()
        raise
    sweep.finish()
    yield from sweep.take()


def fetcher(api: Any, deadline: float | None) -> inventory.Fetch:
    """Return the function that sends the GETs of a listing.

    :param deadline: seconds for all of them; None for no limit.
    :raises SessionRequired: if the client was made without a session.
    """
    access = engine_access.Access(api)
    end = None if deadline is None else time.monotonic() + deadline

    def fetch(path: str) -> replies.Reply | replies.NoReply:
        page = _Page(path)
        engine = engines.Engine(access, page, deadline=end)
        with contextlib.closing(engine.run()) as turns:
            for _ in turns:
                pass
        return page.reply or replies.NoReply(
            replies.Failure.NOT_ASKED, 'It was not asked'
        )

    return fetch


class _Page:
    """The agenda of one GET."""

    def __init__(self, path: str):
        self.reply: replies.Reply | replies.NoReply | None = None
        self._question = sweep_witnesses.listing_page(path)
        # When to send the request; infinite while it is under way.
        self._due = -math.inf

    @property
    def done(self) -> bool:
        return self.reply is not None

    def next(self, now: float) -> replies.Question | None:
        if self.done or now < self._due:
            return None
        self._due = math.inf
        return self._question

    def wakes(self, now: float) -> float:
        return min(self._due, now + inventory.TIMEOUT)

    def unsent(
        self, question: replies.Question, now: float, pause: float
    ) -> None:
        self._due = now + pause

    def answered(
        self,
        question: replies.Question,
        reply: replies.Reply | replies.NoReply,
        now: float,
        rtt: float | None,
    ) -> None:
        self.reply = reply

    def end(self, why: str, now: float, *, late: bool = False) -> None:
        self.reply = self.reply or replies.NoReply(
            replies.Failure.NOT_ASKED, why
        )
