# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

"""What is measured, how often, and how long that takes."""

import dataclasses

from benchmarks import server

#: Pings in flight at once.
CONCURRENCIES = (1, 64, 256)


@dataclasses.dataclass(frozen=True)
class Case:
    """One situation that the ways are compared in.

    :param delay_ms: what the server takes for a ping; None: what the real
        trove-api takes.
    :param concurrency: pings in flight at once.
    :param tls: by HTTPS.
    :param pings: how many.
    :param rounds: how many times at the most.
    """

    delay_ms: int | None
    concurrency: int
    tls: bool
    pings: int
    rounds: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much of it all.

    :param cases: against nginx. Those with one ping measure the start-up.
    :param cloud: against the real trove-api.
    :param rounds: by the name of a way, how many times it takes part; the
        closer the race, the more.
    :param patience: seconds, in all, to run again what other processes
        disturbed.
    :param memory: two numbers of pings, whose memory is compared.
    :param single: runs of the commands for one instance.
    :param load_seconds: for how long each capacity of the server is tried.
    """

    cases: list[Case]
    cloud: list[Case]
    rounds: dict[str, int]
    patience: float
    memory: tuple[int, int]
    single: int
    load_seconds: int


# Of pings one after the other, at 50 ms each, 10,000 are eight minutes.
_SLOWLY = 100


def full() -> Plan:
    """Return what is worth recording: a quarter of an hour on two cores."""
    return Plan(
        cases=_cases(10_000, CONCURRENCIES, 4),
        cloud=[Case(None, at_once, False, 300, 3) for at_once in (16, 64)],
        rounds={
            'sweep': 4,
            'curl': 4,
            'openstack': 2,
            'threads': 1,
            'loop': 1,
        },
        patience=150.0,
        memory=(1_000, 100_000),
        single=15,
        load_seconds=4,
    )


def quick() -> Plan:
    """Return what shows that all works, in about a minute."""
    return Plan(
        cases=_cases(1_000, (64,), 2),
        cloud=[Case(None, 64, False, 100, 1)],
        rounds={
            'sweep': 2,
            'curl': 2,
            'openstack': 1,
            'threads': 1,
            'loop': 1,
        },
        patience=0.0,
        memory=(1_000, 100_000),
        single=3,
        load_seconds=2,
    )


def _cases(
    pings: int, concurrencies: tuple[int, ...], rounds: int
) -> list[Case]:
    start = [Case(0, 1, tls, 1, rounds) for tls in (False, True)]
    return start + [
        Case(delay, at_once, tls, _SLOWLY, 2)
        if delay and at_once == 1
        else Case(delay, at_once, tls, pings, rounds)
        for delay in server.DELAYS
        for at_once in concurrencies
        for tls in (False, True)
    ]
