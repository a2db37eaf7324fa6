# SPDX-License-Identifier: Apache-2.0

"""A model of a cloud under a sweep, on a clock of its own.

It runs the :class:`Sweep` of the package against simulated workers of
trove-api, a simulated message bus and simulated guests: thousands of sweeps a
minute. From a shell::

    python3 -m troveclient_rpcping.tests.model --sweeps 100000
"""

from __future__ import annotations

import argparse
import collections
from collections.abc import Callable
import dataclasses
import datetime
import email.utils
import enum
import heapq
import itertools
import json
import multiprocessing
import random
import sys
from typing import Any
import uuid

from troveclient_rpcping import fixture
from troveclient_rpcping import inventory
from troveclient_rpcping import reply as replies
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.sweep import capacity as capacities
from troveclient_rpcping.sweep import queue as queues
from troveclient_rpcping.sweep import repeat as repeats
from troveclient_rpcping.sweep import sweep as sweeps

_NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

_LIVE = fixture.reachable()
_DEAD = fixture.agent_timeout()


class Kind(enum.Enum):
    """The behaviour of a guest."""

    LIVE = enum.auto()
    #: Its answers take 1.2 s.
    SLOW = enum.auto()
    DEAD = enum.auto()


class Server(enum.Enum):
    """How trove-api is served."""

    #: Each worker serves one request at a time.
    SYNC = enum.auto()
    #: Each worker serves many; its processor is the bottleneck.
    EVENT = enum.auto()


@dataclasses.dataclass(frozen=True)
class Guest:
    """A guest of the model.

    :param kind: its behaviour.
    :param age: the age of its heartbeat in the listing, in seconds.
    """

    kind: Kind = Kind.LIVE
    age: float = 10.0


@dataclasses.dataclass(frozen=True)
class Cloud:
    """The cloud that the model simulates.

    :param guests: the guests that the sweep pings.
    :param others: further guests of the cloud.
    :param listed: whether the caller has the rows of the listing.
    :param server: how trove-api is served.
    :param workers: the number of its workers.
    :param low: seconds that Trove waits for an agent.
    :param service: seconds for a request that waits for no agent.
    :param cut: the number of workers that lost their connection to the bus.
    :param loss: the share of all calls that the bus loses.
    :param outages: when the bus is down: begin and end, in seconds. Calls in
        hand are lost, and later ones wait for its end.
    :param frozen: when all agents stand still: begin and end.
    :param stopped: when worker 0 stands still: begin and end.
    """

    guests: tuple[Guest, ...]
    others: tuple[Guest, ...] = ()
    listed: bool = True
    server: Server = Server.EVENT
    workers: int = 2
    low: float = 15.0
    service: float = 0.03
    cut: int = 0
    loss: float = 0.0
    outages: tuple[tuple[float, float], ...] = ()
    frozen: tuple[tuple[float, float], ...] = ()
    stopped: tuple[tuple[float, float], ...] = ()


@dataclasses.dataclass
class Outcome:
    """The outcome of a simulated sweep.

    :param results: the results of each guest.
    :param seconds: how long it took.
    :param requests: requests by purpose.
    :param waits: how long another caller's requests took, in seconds; one is
        sent every 0.25 s.
    """

    results: dict[int, list[verdicts.PingResult]]
    seconds: float
    requests: collections.Counter[replies.Purpose]
    waits: list[float]

    def verdicts(self) -> list[verdicts.Verdict]:
        """The verdicts of the guests, in their order."""
        return [self.results[key][-1].verdict for key in sorted(self.results)]


def _id(number: int) -> str:
    return str(uuid.UUID(int=number))


def _row(number: int, guest: Guest) -> inventory.Instance:
    return inventory.Instance(
        _id(number),
        status='ACTIVE',
        heartbeat_age=guest.age,
        server=inventory.Server(status='ACTIVE'),
    )


class _Simulation:
    def __init__(
        self, cloud: Cloud, seed: int, sweep: sweeps.Sweep, *, tenant: bool
    ):
        self.cloud = cloud
        self.sweep = sweep
        self.now = 0.0
        self.dice = random.Random(seed)
        self.order = itertools.count()
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.fleet = [*cloud.guests, *cloud.others]
        self.results: dict[int, list[verdicts.PingResult]] = {}
        self.requests: collections.Counter[replies.Purpose] = (
            collections.Counter()
        )
        self.waits: list[float] = []
        self.queue: collections.deque[Callable[[int], None]] = (
            collections.deque()
        )
        self.free = list(range(cloud.workers))
        self.idle: list[int] = []
        if tenant:
            self.at(0.13, self.tenant)

    def at(self, delay: float, act: Callable[[], None]) -> None:
        event = (self.now + delay, next(self.order), act)
        heapq.heappush(self.events, event)

    def run(self) -> Outcome:
        self.pump()
        while not self.sweep.done:
            wakes = self.sweep.wakes(self.now)
            if self.events and self.events[0][0] <= wakes:
                self.now, _, act = heapq.heappop(self.events)
                act()
            else:
                self.now = wakes
            self.pump()
            self.take()
            if self.now > 100_000:
                raise AssertionError(f'the sweep does not end: {self.cloud}')
        self.sweep.finish()
        self.take()
        return Outcome(self.results, self.now, self.requests, self.waits)

    def take(self) -> None:
        for result in self.sweep.take():
            number = uuid.UUID(result.instance_id).int
            self.results.setdefault(number, []).append(result)

    def pump(self) -> None:
        while (question := self.sweep.next(self.now)) is not None:
            self.requests[question.purpose] += 1
            self.submit(question)

    def tenant(self) -> None:
        sent = self.now
        self.serve(
            lambda worker: self.work(
                0.0, worker, lambda: self.waits.append(self.now - sent)
            )
        )
        self.at(0.25, self.tenant)

    def submit(self, question: replies.Question) -> None:
        sent = self.now
        connection = None
        if self.cloud.server is Server.EVENT:
            # A kept connection leads to the same worker again.
            if self.idle and not question.fresh:
                connection = self.idle.pop()
            else:
                connection = self.dice.randrange(self.cloud.workers)

        def answer(reply: replies.Reply | replies.NoReply) -> None:
            if connection is not None and not question.fresh:
                self.idle.append(connection)
            rtt = self.now - sent if isinstance(reply, replies.Reply) else None
            self.sweep.answered(question, reply, self.now, rtt)

        def begin(worker: int) -> None:
            worker = worker if connection is None else connection
            hold, reply = self.call(question, worker)
            self.work(hold, worker, lambda: answer(reply))

        self.serve(begin)

    def serve(self, begin: Callable[[int], None]) -> None:
        self.queue.append(begin)
        self.dispatch()

    def dispatch(self) -> None:
        while self.free and self.queue:
            at = self.dice.randrange(len(self.free))
            self.queue.popleft()(self.free.pop(at))

    def work(self, hold: float, worker: int, done: Callable[[], None]) -> None:
        service = self.cloud.service * self.dice.uniform(0.8, 1.4)
        pause = 0.0
        for begin, end in self.cloud.stopped:
            if (
                worker == 0
                and self.now < end
                and (self.now + service + hold > begin)
            ):
                pause = max(pause, end - max(begin, self.now))

        def release() -> None:
            self.free.append(worker)
            self.dispatch()

        def both() -> None:
            release()
            done()

        if self.cloud.server is Server.SYNC:
            self.at(service + hold + pause, both)
        else:
            # Half of the time is the processor's.
            self.at(service / 2, release)
            self.at(service + hold + pause, done)

    def call(
        self, question: replies.Question, worker: int
    ) -> tuple[float, replies.Reply | replies.NoReply]:
        """Return how long a call takes, besides the service, and its end."""
        cloud = self.cloud
        if question.purpose is replies.Purpose.LISTING:
            return 0.5, self.listing()
        guest = self.fleet[uuid.UUID(question.instance_id).int]
        takes = 1.2 if guest.kind is Kind.SLOW else 0.0
        begin = self.now
        for down, up in cloud.outages:
            if down <= begin < up:
                # trove-api hangs until the bus is back.
                begin = up
            elif begin < down <= begin + takes + cloud.service:
                return cloud.low, _DEAD
        wait = begin - self.now
        if wait > question.timeout:
            return question.timeout, replies.NoReply(
                replies.Failure.TIMEOUT, 'No answer'
            )
        if (
            guest.kind is Kind.DEAD
            or worker < cloud.cut
            or self.dice.random() < cloud.loss
            or any(a <= begin < b - cloud.low for a, b in cloud.frozen)
        ):
            return wait + cloud.low, _DEAD
        for still, on in cloud.frozen:
            if still <= begin < on:
                takes = max(takes, on - begin)
        for still, on in cloud.stopped:
            # The timer of the call ran out while the worker stood still.
            if (
                worker == 0
                and begin <= still
                and begin + takes > still
                and (on - begin > cloud.low)
            ):
                return cloud.low, _DEAD
        return wait + takes, _LIVE

    def listing(self) -> replies.Reply:
        rows = [
            {
                'id': _id(number),
                'status': 'ACTIVE',
                'server': {},
                'service_status_updated': (
                    _NOW - datetime.timedelta(seconds=guest.age)
                ).isoformat(),
            }
            for number, guest in enumerate(self.fleet)
        ]
        body = json.dumps({'instances': rows}).encode()
        return replies.Reply(
            200, {'date': email.utils.format_datetime(_NOW)}, body
        )


def sweep(
    cloud: Cloud,
    seed: int = 0,
    *,
    repeat: repeats.Repeat | None = None,
    capacity: capacities.Capacity | None = None,
    tenant: bool = False,
) -> Outcome:
    """Simulate one sweep.

    :param cloud: the simulated cloud.
    :param seed: the seed of all random choices.
    :param repeat: when to ping a guest again; never by default.
    :param capacity: the capacity that earlier sweeps learnt.
    :param tenant: whether another caller sends requests, too.
    """
    guests = [
        queues.Guest(
            _id(number), _row(number, guest) if cloud.listed else None
        )
        for number, guest in enumerate(cloud.guests)
    ]
    made = sweeps.Sweep(
        guests,
        repeat or repeats.Times(1, 1.0),
        capacity or capacities.Capacity(64),
        timeout=30.0,
        now=0.0,
        listing=(
            [
                _row(number, guest)
                for number, guest in enumerate([*cloud.guests, *cloud.others])
            ]
            if cloud.listed
            else None
        ),
    )
    return _Simulation(cloud, seed, made, tenant=tenant).run()


STALE = 3600.0

# One live guest in 1,000 has a stale heartbeat.
_STALE_BUT_ALIVE = 0.001


def fleet(
    dice: random.Random, live: int, dead: int, *, deaf: int = 0
) -> tuple[Guest, ...]:
    """Return guests in a random order: live, dead, and dead with a pulse."""
    guests = [
        *(
            Guest(Kind.LIVE, STALE if dice.random() < _STALE_BUT_ALIVE else 9)
            for _ in range(live)
        ),
        *(Guest(Kind.DEAD, STALE) for _ in range(dead)),
        *(Guest(Kind.DEAD, dice.uniform(0, 45)) for _ in range(deaf)),
    ]
    dice.shuffle(guests)
    return tuple(guests)


class Trouble(enum.StrEnum):
    """A trouble of a cloud of the model."""

    NONE = 'nothing is wrong'
    CUT_2 = 'one worker of 2 lost the bus'
    CUT_5 = 'one worker of 5 lost the bus'
    CUT_16 = 'one worker of 16 lost the bus'
    LOSS = 'a share of all calls gets lost'
    OUTAGE = 'the bus is down for some seconds'
    FROZEN = 'all agents stand still'
    STOPPED = 'one worker stands still for longer than Trove waits'


def cloud_in(trouble: Trouble, dice: random.Random) -> Cloud:
    """Return a cloud of 3 to 40 guests in a certain trouble, by chance."""
    live = dice.choice((2, 5, 12, 38))
    guests = fleet(dice, live, dice.randrange(2), deaf=dice.choice((0, 0, 1)))
    workers = {
        Trouble.CUT_5: 5,
        Trouble.CUT_16: 16,
    }.get(trouble, 2)
    settings: dict[str, Any] = {}
    if workers > 2 or trouble is Trouble.CUT_2:
        settings['cut'] = 1
    elif trouble is Trouble.LOSS:
        settings['loss'] = dice.choice((0.005, 0.02, 0.05, 0.1, 0.2, 0.4))
    elif trouble is Trouble.OUTAGE:
        down = dice.uniform(-5, 10)
        settings['outages'] = ((down, down + dice.uniform(0.5, 20)),)
    elif trouble is Trouble.FROZEN:
        settings['frozen'] = ((dice.uniform(-1, 1), 1000.0),)
    elif trouble is Trouble.STOPPED:
        guests = tuple(
            dataclasses.replace(guest, kind=Kind.SLOW)
            if guest.kind is Kind.LIVE
            else guest
            for guest in guests
        )
        begin = dice.uniform(0, 5)
        settings['stopped'] = ((begin, begin + 16),)
    listed = dice.random() < 0.7
    return Cloud(
        guests,
        others=() if listed else fleet(dice, dice.choice((0, 10)), 1),
        listed=listed,
        server=dice.choice(list(Server)),
        workers=workers,
        **settings,
    )


@dataclasses.dataclass
class Tally:
    """The sums of many sweeps.

    :param sweeps: the number of sweeps.
    :param false: sweeps that called a live guest dead.
    :param alive: sweeps that called a dead guest alive.
    :param dead: pinged guests that were dead.
    :param proven: dead guests that were called dead.
    :param live: pinged guests that were alive.
    :param unknown: live guests that stayed unknown.
    """

    sweeps: int = 0
    false: int = 0
    alive: int = 0
    dead: int = 0
    proven: int = 0
    live: int = 0
    unknown: int = 0

    def __iadd__(self, other: Tally) -> Tally:
        for field in dataclasses.fields(self):
            total = getattr(self, field.name) + getattr(other, field.name)
            setattr(self, field.name, total)
        return self


def tally(trouble: Trouble, seed: int) -> Tally:
    """Simulate one sweep of a cloud in trouble."""
    dice = random.Random(f'{trouble} {seed}')
    cloud = cloud_in(trouble, dice)
    found = sweep(cloud, seed).verdicts()
    dead = [
        verdict
        for guest, verdict in zip(cloud.guests, found, strict=True)
        if guest.kind is Kind.DEAD
    ]
    live = [
        verdict
        for guest, verdict in zip(cloud.guests, found, strict=True)
        if guest.kind is not Kind.DEAD
    ]
    return Tally(
        sweeps=1,
        false=verdicts.Verdict.UNREACHABLE in live,
        alive=verdicts.Verdict.REACHABLE in dead,
        dead=len(dead),
        proven=dead.count(verdicts.Verdict.UNREACHABLE),
        live=len(live),
        unknown=live.count(verdicts.Verdict.UNKNOWN),
    )


def _tally_many(job: tuple[Trouble, range]) -> tuple[Trouble, Tally]:
    trouble, seeds = job
    total = Tally()
    for seed in seeds:
        total += tally(trouble, seed)
    return trouble, total


def main() -> None:
    """Simulate many sweeps in each trouble, and print the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--sweeps', type=int, default=1000, help='of each')
    parser.add_argument('--first', type=int, default=0, help='first seed')
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.sweeps)
    step = 50
    jobs = [
        (trouble, seeds[at : at + step])
        for at in range(0, len(seeds), step)
        for trouble in Trouble
    ]
    totals = {trouble: Tally() for trouble in Trouble}
    with multiprocessing.Pool() as pool:
        for trouble, part in pool.imap_unordered(_tally_many, jobs):
            totals[trouble] += part
    for trouble, total in totals.items():
        sys.stdout.write(
            f'{trouble}: {total.sweeps} sweeps, {total.false} with a live '
            f'guest called dead, {total.alive} with a dead one called alive; '
            f'{total.proven} of {total.dead} dead guests proven, '
            f'{total.unknown} of {total.live} live ones unknown\n'
        )


if __name__ == '__main__':
    main()
