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

"""The sweep: instances in, results out."""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import time
from typing import Any

from keystoneauth1 import exceptions as ksa_exceptions

from troveclient_rpcping import exceptions
from troveclient_rpcping import transport
from troveclient_rpcping.fleet import descriptors
from troveclient_rpcping.fleet import inventory
from troveclient_rpcping.fleet.access import Access
from troveclient_rpcping.fleet.breaker import Breaker
from troveclient_rpcping.fleet.engine import Engine
from troveclient_rpcping.fleet.pacing import Gate
from troveclient_rpcping.fleet.proof import CHECK
from troveclient_rpcping.fleet.proof import doubtful
from troveclient_rpcping.fleet.proof import Proof
from troveclient_rpcping.fleet.repeat import Once
from troveclient_rpcping.fleet.repeat import Repeat
from troveclient_rpcping.limits import Limits
from troveclient_rpcping.reply import NoReply
from troveclient_rpcping.reply import Reply
from troveclient_rpcping.verdict import Judgement
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict


def sweep(
    api: Any,
    instance_ids: Iterable[str],
    limits: Limits,
    repeat: Repeat,
    on_throttle: Callable[[float, float], None] | None = None,
) -> Generator[PingResult]:
    """Ask each instance, and yield the results as they come.

    :param api: a ``troveclient.v1.client.Client`` with a session.
    :param instance_ids: which instances.
    :param limits: how to go about it.
    :param repeat: whether to ask again.
    :param on_throttle: is told, whenever the rate limit of the server has
        refused a ping, how many a second seem to get through, and after how
        many seconds the next one may.
    :raises SessionRequired: if the client was made without a session.
    :raises keystoneauth1.exceptions.ClientException: no token at the start.
    """
    engine = Engine(
        Access(api),
        concurrency=descriptors.flight(limits.concurrency),
        timeout=limits.timeout,
        gate=Gate(limits.rate, on_throttle),
    )
    deadline = None
    if limits.deadline is not None:
        deadline = time.monotonic() + limits.deadline
    return _results(engine, instance_ids, repeat, deadline)


def fetcher(api: Any, deadline: float | None) -> inventory.Fetch:
    """Return what sends the GETs of a listing.

    :param api: a ``troveclient.v1.client.Client`` with a session.
    :param deadline: seconds for all of them; None for no limit.
    :raises SessionRequired: if it was made without a session.
    """
    engine = Engine(
        Access(api),
        concurrency=1,
        timeout=inventory.TIMEOUT,
        limit=inventory.PAGE_LIMIT,
    )
    end = None if deadline is None else time.monotonic() + deadline

    def fetch(path: str) -> Reply | NoReply:
        run = engine.run([path], str, end)
        with contextlib.closing(run.answers()) as answers:
            return next(answers).reply

    return fetch


def _results(
    engine: Engine,
    instance_ids: Iterable[str],
    repeat: Repeat,
    deadline: float | None,
) -> Generator[PingResult]:
    impossible: collections.deque[PingResult] = collections.deque()

    def possible() -> Iterator[str]:
        for instance_id in instance_ids:
            try:
                transport.ping_path(instance_id)
            except exceptions.InvalidInstanceID as error:
                impossible.append(_impossible(instance_id, str(error)))
            else:
                yield instance_id

    proof = Proof()
    first = _Round(engine, proof, repeat, deadline)
    try:
        for result, proven in first.results(possible()):
            earlier = proof.settle(result.instance_id)
            if earlier is not None:
                yield doubtful(earlier)
            if proven:
                yield result
            else:
                proof.hold(result)
            while impossible:
                yield impossible.popleft()
        yield from impossible
        if proof.last is None and not first.lost:
            # Nobody answered at all: there is nothing against Trove's word.
            yield from proof.release()
        elif not first.ended:
            # Without a login there is no second round, and no proof.
            with contextlib.suppress(ksa_exceptions.ClientException):
                yield from _second_round(engine, proof, deadline)
        yield from proof.doubt()
    except GeneratorExit:
        raise
    except BaseException:
        # Interrupted: what is known is not to be lost.
        yield from proof.doubt()
        raise


def _second_round(
    engine: Engine, proof: Proof, deadline: float | None
) -> Iterator[PingResult]:
    """Ask once more for those of whom Trove's word is not proven."""
    second = _Round(engine, proof, Once(), deadline)
    for result, proven in second.results(proof.held()):
        held = proof.settle(result.instance_id)
        if held is None or (proven and result.reason is not Reason.NOT_ASKED):
            yield result
        else:
            yield doubtful(held)


class _Round:
    """One round of pings.

    :param engine: what sends them.
    :param proof: what is known of the message bus.
    :param repeat: whether to ask again.
    :param deadline: when to end, on the clock of ``time.monotonic``.
    """

    def __init__(
        self,
        engine: Engine,
        proof: Proof,
        repeat: Repeat,
        deadline: float | None,
    ):
        self._engine = engine
        self._proof = proof
        self._repeat = repeat
        # Who is asked again, and has a result already.
        self._answered: set[str] = set()
        self._deadline = deadline
        self._breaker = Breaker(engine.concurrency, engine.timeout)
        #: Whether the control plane failed for all.
        self.lost = False
        #: Whether it ended before its time, for whatever reason.
        self.ended = False

    def results(
        self, instance_ids: Iterable[str]
    ) -> Iterator[tuple[PingResult, bool]]:
        """Ping each, and yield the results as they come.

        :returns: with each result, whether it is proven: only Trove's word
            that a guest did not answer may lack proof.
        """
        run = self._engine.run(
            instance_ids,
            transport.ping_path,
            self._deadline,
            self._check,
            patient=self._repeat.patient,
        )
        with contextlib.closing(run.answers()) as answers:
            for answer in answers:
                result = PingResult.of(answer.reply, answer.key, answer.rtt)
                now = answer.arrived
                self._proof.saw(result, now)
                if answer.check:
                    continue
                self.ended |= result.reason is Reason.NOT_ASKED
                if self.ended and result.instance_id in self._answered:
                    continue
                why = self._breaker.saw(result)
                if why and not self._repeat.patient:
                    self.lost = True
                    run.end(why)
                sent = answer.sent or now
                due = self._repeat.due(result, sent, now)
                if due is not None:
                    self._answered.add(answer.key)
                    run.ask_again(answer.key, due)
                yield (
                    result,
                    result.verdict is not Verdict.UNREACHABLE
                    or self._proof.proves(sent, now),
                )

    def _check(self) -> tuple[str, float] | None:
        """Whom to ask whether the bus works, and when."""
        if self._proof.witness is None or self._proof.last is None:
            return None
        return self._proof.witness, self._proof.last + CHECK


def _impossible(instance_id: str, why: str) -> PingResult:
    judgement = Judgement(Verdict.UNKNOWN, Reason.NOT_FOUND, why)
    return PingResult(instance_id=instance_id, judgement=judgement)
