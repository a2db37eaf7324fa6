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

from troveclient_rpcping import exceptions
from troveclient_rpcping import transport
from troveclient_rpcping.fleet import inventory
from troveclient_rpcping.fleet.access import Access
from troveclient_rpcping.fleet.breaker import Breaker
from troveclient_rpcping.fleet.engine import Answer
from troveclient_rpcping.fleet.engine import Engine
from troveclient_rpcping.fleet.pacing import Gate
from troveclient_rpcping.fleet.proof import Proof
from troveclient_rpcping.limits import Limits
from troveclient_rpcping.reply import NoReply
from troveclient_rpcping.reply import Reply
from troveclient_rpcping.verdict import judge
from troveclient_rpcping.verdict import Judgement
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict


def sweep(
    api: Any,
    instance_ids: Iterable[str],
    limits: Limits,
    on_throttle: Callable[[float], None] | None = None,
) -> Generator[PingResult]:
    """Ask each instance, and yield the results as they come.

    :param api: a ``troveclient.v1.client.Client`` with a session.
    :param instance_ids: which instances.
    :param limits: how to go about it.
    :param on_throttle: is told, whenever the rate limit of the server has
        refused a ping, how many a second seem to get through.
    :raises SessionRequired: if the client was made without a session.
    :raises keystoneauth1.exceptions.ClientException: no token at the start.
    """
    engine = Engine(
        Access(api),
        concurrency=limits.concurrency,
        timeout=limits.timeout,
        gate=Gate(limits.rate, on_throttle),
    )
    deadline = None
    if limits.deadline is not None:
        deadline = time.monotonic() + limits.deadline
    return _results(engine, instance_ids, deadline)


def fetcher(api: Any) -> inventory.Fetch:
    """Return what sends the GETs of a listing.

    :param api: a ``troveclient.v1.client.Client`` with a session.
    :raises SessionRequired: if it was made without a session.
    """
    engine = Engine(
        Access(api),
        concurrency=1,
        timeout=inventory.TIMEOUT,
        limit=inventory.PAGE_LIMIT,
    )

    def fetch(path: str) -> Reply | NoReply:
        with contextlib.closing(engine.run([path], str).answers()) as answers:
            return next(answers).reply

    return fetch


def _results(
    engine: Engine,
    instance_ids: Iterable[str],
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

    breaker = Breaker(engine.concurrency, engine.timeout)
    proof = Proof()
    lost = False
    run = engine.run(possible(), transport.ping_path, deadline)
    with contextlib.closing(run.answers()) as answers:
        for answer in answers:
            result = _result(answer)
            why = breaker.saw(result)
            if why:
                lost = True
                run.end(why)
            yield from proof.take(result)
            while impossible:
                yield impossible.popleft()
    yield from impossible
    if lost or not _answers(engine, proof.witness):
        yield from proof.doubt()
    yield from proof.believe()


def _answers(engine: Engine, witness: str | None) -> bool:
    """Whether a guest that answered before still does.

    True without one: then there is nothing against Trove's word.
    """
    if witness is None:
        return True
    run = engine.run([witness], transport.ping_path)
    with contextlib.closing(run.answers()) as answers:
        return _result(next(answers)).verdict is Verdict.REACHABLE


def _result(answer: Answer) -> PingResult:
    reply = answer.reply
    judgement = judge(reply, answer.key)
    if isinstance(reply, NoReply):
        return PingResult(instance_id=answer.key, judgement=judgement)
    return PingResult(
        instance_id=answer.key,
        judgement=judgement,
        rtt=answer.rtt,
        http_status=reply.status,
        request_id=reply.request_id,
    )


def _impossible(instance_id: str, why: str) -> PingResult:
    judgement = Judgement(Verdict.UNKNOWN, Reason.NOT_FOUND, why)
    return PingResult(instance_id=instance_id, judgement=judgement)
