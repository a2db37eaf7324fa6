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

"""What a sweep does to other callers of trove-api, and how long it takes.

``python -m benchmarks neighbours`` runs sweeps of the sandbox. Beside each of
them, another caller sends a request every 0.25 s.
"""

import argparse
from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import json
import pathlib
import statistics
import sys
import time
from typing import Any
from typing import Self

from keystoneauth1 import session
from keystoneauth1 import token_endpoint

from benchmarks import arguments
from benchmarks import beside
from benchmarks import cloud
from benchmarks import programs
from benchmarks.error import BenchmarkError
from benchmarks.tables import Table
from sandbox import Sandbox
from sandbox.error import SandboxError
from troveclient_rpcping import client
from troveclient_rpcping.sweep.capacity import Capacity

# Seconds that Trove waits for an agent (its option agent_call_low_timeout).
_AGENT_TIMEOUT = 5

# Seconds for which the other caller sends requests before the sweep.
_CALM = 10.0

# Constant numbers in flight that ours is compared with, and how many times.
_CONSTANTS = (2, 4, 8, 16, 64)
_LAPS = 3

# Guests of the sandbox that are not like the others.
_ODD = ('db-dead', 'db-old', 'db-failing', 'db-slow')
_UNREADY = 'db-unready'


@dataclasses.dataclass(frozen=True)
class Cell:
    """One sweep to measure: ``sweep-wsgi-5-200-30-row-stale``.

    :param kind: ``sweep``; ``monitor``, for the second sweep of a monitor; or
        ``constants``, to compare the sweep with constant numbers in flight.
    :param server: how trove-api is served.
    :param workers: how many workers it has.
    :param guests: how many guests there are beside the sandbox's own.
    :param dead: how many of them are dead.
    :param order: which ones: ``row`` or ``random``.
    :param heartbeat: what the listing says of them: ``stale`` or ``fresh``.
    """

    kind: str
    server: str
    workers: int
    guests: int
    dead: int
    order: str
    heartbeat: str

    @classmethod
    def of(cls, name: str) -> Self:
        """Read the name of a cell.

        :raises BenchmarkError: if it is none.
        """
        try:
            kind, server, workers, guests, dead, order, beat = name.split('-')
            if kind not in ('sweep', 'monitor', 'constants'):
                raise ValueError(kind)
            numbers = int(workers), int(guests), int(dead)
        except ValueError as exc:
            raise BenchmarkError(
                f'{name}: name a cell as in sweep-wsgi-5-200-30-row-stale, '
                'monitor-... or constants-...'
            ) from exc
        return cls(kind, server, *numbers, order, beat)

    def sandbox(self) -> Sandbox:
        """Return the sandbox for it, which is not started."""
        return Sandbox(
            'rabbit',
            server=self.server,
            workers=self.workers,
            guests=self.guests,
            dead=self.dead,
            dead_order=self.order,
            dead_heartbeat=self.heartbeat,
            agent_timeout=_AGENT_TIMEOUT,
            rate_limit=1_000_000,
        )


def _plan() -> list[str]:
    """Return the names of all cells that are worth recording."""
    fleets = ['0-row-stale']
    fleets += [f'{n}-{o}-stale' for n in (10, 30) for o in ('row', 'random')]
    fleets += ['30-row-fresh', '30-random-fresh']
    servers = ('wsgi-2', 'wsgi-5', 'wsgi-16', 'eventlet-2')
    names = [f'sweep-{each}-200-{of}' for each in servers for of in fleets]
    names.append('monitor-wsgi-5-200-30-random-fresh')
    names += [f'constants-{each}-200-0-row-stale' for each in servers]
    return names


_QUICK = ['sweep-wsgi-3-20-3-random-stale']


class Fixed(Capacity):
    """As many pings in flight as it was told, whatever happens."""

    def has_room(self, now: float, *, risky: bool) -> bool:
        """See :class:`Capacity`."""
        return len(self._flight) < self.most

    def wants_pair(self, now: float) -> bool:
        """See :class:`Capacity`."""
        return False

    def watch(self, now: float) -> None:
        """See :class:`Capacity`."""


class Measuring:
    """Measures one cell in its sandbox.

    :param box: the sandbox, started.
    """

    def __init__(self, cell: Cell, box: Sandbox):
        self._cell = cell
        self._box = box
        openstack = programs.openstack()
        self._admin, project = cloud.token(openstack, box.env())
        self._endpoint = f'{box.trove_url}/v1.0/{project}'
        token, project = cloud.token(openstack, box.env('sandbox-member'))
        self._other = f'{box.trove_url}/v1.0/{project}/limits', token
        for name in _ODD:
            box.set_guest(name, 'answering')
        self._listed = {
            guest.id: 'unreachable' if name in self._dead else 'reachable'
            for name, guest in box.guests.items()
            if not guest.deleted
        }
        self._listed[box.guests[_UNREADY].id] = 'unknown'

    @property
    def _dead(self) -> set[str]:
        return {
            name
            for name, guest in self._box.guests.items()
            if not guest.alive and name.startswith('guest-')
        }

    def measured(self) -> dict[str, Any]:
        """Return what was measured."""
        if self._cell.kind == 'constants':
            # Each worker has answered before.
            self._swept(Capacity(64))
            laps = [self._lap() for _ in range(_LAPS)]
            return {
                name: round(statistics.median(lap[name] for lap in laps), 2)
                for name in laps[0]
            }
        return self._beside_another()

    def _lap(self) -> dict[str, float]:
        found = {'ours': self._swept(Capacity(64))}
        for places in _CONSTANTS:
            found[str(places)] = self._swept(Fixed(places))
        return found

    def _beside_another(self) -> dict[str, Any]:
        cell = self._cell
        service = self._service()
        before = beside.Caller(*self._other)
        with before:
            time.sleep(_CALM)
        monitors = cell.kind == 'monitor'
        argv = ['rpc', 'ping', '--all', '-f', 'json']
        if monitors:
            argv = ['rpc', 'monitor', '--all', '--interval', '5', '--json']
        meanwhile = beside.Caller(*self._other)
        with meanwhile:
            command = beside.Command(self._box, argv, 2 if monitors else 1)
        span = command.spans[1 if monitors else 0]
        bound = self._bound(service)
        seconds = span.end - span.first_ping
        return {
            'wrong': self._wrong(command),
            'wall': round(command.wall, 2),
            'seconds': round(seconds, 2),
            'bound': round(bound, 2),
            'ratio': round(seconds / bound, 2),
            'service': round(service, 4),
            'gets': span.gets,
            'peak': span.peak,
            'before': before.summary(0.0, time.monotonic()),
            'beside': meanwhile.summary(span.begin, span.end),
        }

    def _service(self) -> float:
        """Return how long a ping takes if it is alone."""
        alive = self._box.guests['db-healthy'].id
        url = f'{self._endpoint}/mgmt/instances/{alive}/rpc_ping'
        caller = beside.Caller(url, self._admin)
        for _ in range(20):
            caller.get()
        return caller.summary(0.0, time.monotonic())['p50']

    def _bound(self, service: float) -> float:
        """Return how long the sweep might take at the least."""
        cell = self._cell
        if cell.server == 'eventlet':
            return self._swept(Fixed(64))
        held = cell.dead * _AGENT_TIMEOUT / max(1, cell.workers - 1)
        return held + len(self._listed) * service / cell.workers

    def _swept(self, capacity: Capacity) -> float:
        """Sweep in this process; return the seconds, without the listing."""
        auth = token_endpoint.Token(self._endpoint, self._admin)
        trove = client.Client(session=session.Session(auth=auth))
        rows = trove.mgmt_instances.list_all()
        begun = time.monotonic()
        for _ in trove.mgmt_instances.rpc_ping_each(
            rows, listing=rows, capacity=capacity
        ):
            pass
        return time.monotonic() - begun

    def _wrong(self, command: beside.Command) -> list[str]:
        """Return each verdict that is wrong, and a wrong exit status."""
        wanted = 3 if self._dead else 1
        if self._cell.kind == 'monitor':
            wanted = 143
            # It prints only what changes.
            said = dict.fromkeys(self._listed, 'reachable')
            for line in command.output.splitlines():
                event = json.loads(line)
                said[event.get('id', event['event'])] = event['to']
        else:
            rows = json.loads(command.output)
            said = {row['ID']: row['Verdict'] for row in rows}
        wrong = [
            f'{id_} {said.get(id_)}'
            for id_ in sorted(self._listed.keys() | said.keys())
            if said.get(id_) != self._listed.get(id_)
        ]
        if command.status != wanted:
            wrong.append(f'exit status {command.status}, not {wanted}')
        return wrong


def _met(cell: Cell, found: dict[str, Any]) -> str:
    """Say which goals were missed."""
    missed = ['verdicts'] if found['wrong'] else []
    waits, before = found['beside'], found['before']
    if cell.kind == 'monitor':
        missed += ['waits'] * (waits['stretches'] > 0)
    elif cell.heartbeat == 'fresh':
        too_many = waits['stretches'] > 1 and cell.workers >= 5
        missed += ['waits'] * too_many
    elif waits['p99'] > 2 * before['p99'] + 0.2 or waits['max'] > beside.LONG:
        missed.append('waits')
    if cell.dead and cell.heartbeat == 'stale':
        most = 1.15 if cell.server == 'eventlet' else 1.25
        missed += ['time'] * (found['ratio'] > most)
    return ', '.join(missed) or 'all met'


def _tables(figures: dict[str, dict[str, Any]]) -> Iterator[Table]:
    """Make a table of all sweeps, and one of the constant numbers."""
    head = (
        'Sweep,Server,Guests,Dead,Wrong,Time,Bound,Ratio,GETs,In flight,'
        'p99 alone,p50,p99,Longest,Stretches over 1 s,Missed'
    )
    sweeps, constants = [], []
    for name, found in figures.items():
        cell = Cell.of(name)
        server = f'{cell.server}, {cell.workers}'
        if cell.kind == 'constants':
            best = min(found[str(each)] for each in _CONSTANTS)
            times = [found[str(each)] for each in _CONSTANTS] + [found['ours']]
            constants.append(
                [server, *(f'{each:.2f} s' for each in times)]
                + [f'{found["ours"] / best:.2f}']
            )
            continue
        waits = found['beside']
        dead = f'{cell.dead}, {cell.order}, {cell.heartbeat}'
        sweeps.append(
            [
                'second' if cell.kind == 'monitor' else 'first',
                *(server, str(cell.guests), dead if cell.dead else 'none'),
                str(len(found['wrong'])),
                *(f'{found["seconds"]:.1f} s', f'{found["bound"]:.1f} s'),
                f'{found["ratio"]:.2f}',
                *(str(found['gets']), str(found['peak'])),
                f'{found["before"]["p99"]:.3f} s',
                *(f'{waits[each]:.3f} s' for each in ('p50', 'p99', 'max')),
                *(str(waits['stretches']), _met(cell, found)),
            ]
        )
    if sweeps:
        title = 'Another caller beside a sweep'
        yield Table('neighbours', title, head.split(','), sweeps)
    if constants:
        numbers = [f'{each} in flight' for each in _CONSTANTS]
        columns = ['Server', *numbers, 'Ours', 'Ours to the best']
        title = 'A healthy cloud, with constant numbers in flight'
        yield Table('constants', title, columns, constants)


def main(argv: list[str], say: Callable[[str], None]) -> int:
    """Run what the command line says; return the exit status.

    :param say: is told what is going on.
    """
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks neighbours', description=__doc__
    )
    parser.add_argument(
        'cells', nargs='*', metavar='CELL', help='default: all; see --list'
    )
    parser.add_argument('--quick', action='store_true', help='one small cell')
    parser.add_argument(
        '--record', action='store_true', help='into the documentation'
    )
    parser.add_argument('--list', action='store_true', help='name all cells')
    said = parser.parse_args(argv)
    names = said.cells or (_QUICK if said.quick else _plan())
    if said.list:
        sys.stdout.write('\n'.join([*names, '']))
        return 0
    folder = arguments.RECORDED if said.record else arguments.SCRATCH
    try:
        cells = {name: Cell.of(name) for name in names}
        for number, (name, cell) in enumerate(cells.items(), 1):
            say(f'{number} of {len(cells)}: {name}')
            with cell.sandbox() as box:
                found = Measuring(cell, box).measured()
            say(json.dumps(found))
            tables = _record(folder, name, found, names)
    except (BenchmarkError, SandboxError) as exc:
        sys.stderr.write(f'{exc}\n')
        return 1
    except KeyboardInterrupt:
        return 130
    for table in tables:
        sys.stdout.write(f'{table.text()}\n')
    return 0


def _record(
    folder: pathlib.Path, name: str, found: dict[str, Any], names: list[str]
) -> list[Table]:
    """Add a cell to the record; it has those of the plan, and these."""
    path = folder / 'neighbours.json'
    known = json.loads(path.read_text()) if path.exists() else {}
    known[name] = found
    order = dict.fromkeys([*_plan(), *names])
    known = {each: known[each] for each in order if each in known}
    tables = list(_tables(known))
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1) + '\n')
    for table in tables:
        (folder / f'{table.name}.csv').write_text(table.csv())
    return tables
