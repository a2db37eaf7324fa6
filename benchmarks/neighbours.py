# SPDX-License-Identifier: Apache-2.0

"""The second benchmark: what a sweep does to other callers of the same API.

It sweeps clouds of the sandbox. During each sweep, another caller sends a
request every 0.25 s.
"""

from concurrent import futures
import json
import pathlib
import re
import statistics
import sys
import time
from typing import Any

import benchmarks
from benchmarks import beside
from sandbox import box as boxes
from troveclient_rpcping import client
from troveclient_rpcping.sweep import capacity as capacities

# Seconds that Trove waits for an agent (its option agent_call_low_timeout).
_AGENT_TIMEOUT = 5

# Constant numbers of pings in flight that the sweep is compared with, and how
# many times.
_CONSTANTS = (2, 4, 8, 16, 64)
_LAPS = 3

# Guests of the sandbox that do not answer as the others do.
_ODD = ('db-dead', 'db-old', 'db-failing', 'db-slow')

_NAME = re.compile(
    r'(sweep|monitor|constants)-(wsgi|eventlet)-(\d+)-(\d+)-(\d+)'
    r'-(row|random)-(stale|fresh)'
)


class Cell:
    """One sweep to measure, for example ``sweep-wsgi-5-200-30-row-stale``.

    ``monitor`` measures the second sweep of a monitor; ``constants`` compares
    the sweep with constant numbers in flight. Then come trove-api's server,
    its workers, the guests to add, and the dead ones among these: how many,
    which ones, and their heartbeats in the listing.

    :raises benchmarks.BenchmarkError: the cell does not exist.
    """

    def __init__(self, name: str):
        found = _NAME.fullmatch(name)
        if not found:
            raise benchmarks.BenchmarkError(
                f'{name} is not a cell. "python -m benchmarks --list" names '
                'the cells.'
            )
        self.kind, self.server, _, _, _, self.order, self.heartbeat = (
            found.groups()
        )
        self.workers, self.guests, self.dead = map(int, found.group(3, 4, 5))


def plan() -> list[str]:
    """Return the names of all cells that the documentation has."""
    fleets = ['0-row-stale']
    fleets += [f'{n}-{o}-stale' for n in (10, 30) for o in ('row', 'random')]
    fleets += ['30-row-fresh', '30-random-fresh']
    servers = ('wsgi-2', 'wsgi-5', 'wsgi-16', 'eventlet-2')
    names = [f'sweep-{each}-200-{of}' for each in servers for of in fleets]
    names.append('monitor-wsgi-5-200-30-random-fresh')
    names += [f'constants-{each}-200-0-row-stale' for each in servers]
    return names


class _Fixed(capacities.Capacity):
    """A constant number of pings in flight."""

    def has_room(self, now: float, *, risky: bool) -> bool:
        return len(self._flight) < self.most

    def wants_pair(self, now: float) -> bool:
        return False

    def watch(self, now: float) -> None:
        pass


class _Measuring:
    """Measures one cell in its sandbox, which runs."""

    def __init__(self, cell: Cell, box: boxes.Sandbox):
        self._cell = cell
        self._box = box
        self._admin = beside.login(box)
        self._member = beside.login(box, 'sandbox-member')
        box.set_guest([*_ODD], 'answering')
        # The right verdicts.
        self._right = {
            guest.id: 'reachable'
            if guest.alive or not name.startswith('guest-')
            else 'unreachable'
            for name, guest in box.guests.items()
            if not guest.deleted
        }
        self._right[box.guests['db-unready'].id] = 'unknown'

    def constants(self) -> dict[str, Any]:
        """Compare the sweep with constant numbers of pings in flight."""
        # Each worker has answered before.
        self._swept(capacities.Capacity(64))
        laps = [
            {'ours': self._swept(capacities.Capacity(64))}
            | {str(most): self._swept(_Fixed(most)) for most in _CONSTANTS}
            for _ in range(_LAPS)
        ]
        return {
            name: round(statistics.median(lap[name] for lap in laps), 2)
            for name in laps[0]
        }

    def beside_another(self, calm: float) -> dict[str, Any]:
        """Sweep beside another caller, which has *calm* seconds before."""
        service = self._service()
        with beside.Caller(self._member, '/limits') as before:
            time.sleep(calm)
        number, argv = 0, ['rpc', 'ping', '--all', '-f', 'json']
        if self._cell.kind == 'monitor':
            number = 1
            argv = ['rpc', 'monitor', '--all', '--interval', '5', '--json']
        with beside.Caller(self._member, '/limits') as meanwhile:
            sweep = beside.Sweep(self._box, argv, number)
        bound = self._bound(service)
        return {
            'wrong': self._wrong(sweep),
            'wall': round(sweep.wall, 2),
            'seconds': round(sweep.seconds, 2),
            'bound': round(bound, 2),
            'ratio': round(sweep.seconds / bound, 2),
            'service': round(service, 4),
            'gets': sweep.gets,
            'peak': sweep.peak,
            'before': before.summary(),
            'beside': meanwhile.summary(sweep.begin, sweep.end),
        }

    def _service(self) -> float:
        """Warm up the workers; return the round-trip time of a lone ping."""
        alive = self._box.guests['db-healthy'].id
        path = f'/mgmt/instances/{alive}/rpc_ping'
        # A worker connects to the bus and the database at its first ping.
        caller = beside.Caller(self._admin, path)
        workers = self._cell.workers
        with futures.ThreadPoolExecutor(workers) as pool:
            for _ in range(20 * workers):
                pool.submit(caller.get)
        warm = time.monotonic()
        for _ in range(20):
            caller.get()
        return caller.summary(warm)['p50']

    def _bound(self, service: float) -> float:
        """Return the shortest time that the sweep could take."""
        cell = self._cell
        if cell.server == 'eventlet':
            return self._swept(_Fixed(64))
        held = cell.dead * _AGENT_TIMEOUT / max(1, cell.workers - 1)
        return held + len(self._right) * service / cell.workers

    def _swept(self, capacity: capacities.Capacity) -> float:
        """Sweep in this process; return the seconds without the listing."""
        managed = client.Client(session=self._admin).mgmt_instances
        rows = managed.list_all()
        begun = time.monotonic()
        list(managed.rpc_ping_each(rows, listing=rows, capacity=capacity))
        return time.monotonic() - begun

    def _wrong(self, sweep: beside.Sweep) -> list[str]:
        """Return each wrong verdict, and a wrong exit status."""
        if self._cell.kind == 'monitor':
            status = 143
            # The monitor prints only changes.
            said = dict.fromkeys(self._right, 'reachable')
            for line in sweep.output.splitlines():
                event = json.loads(line)
                said[event.get('id', event['event'])] = event['to']
        else:
            status = 3 if self._cell.dead else 1
            rows = json.loads(sweep.output)
            said = {row['ID']: row['Verdict'] for row in rows}
        wrong = [
            f'{id_} {said.get(id_)}'
            for id_ in sorted(self._right.keys() | said.keys())
            if said.get(id_) != self._right.get(id_)
        ]
        if sweep.status != status:
            wrong.append(f'exit status {sweep.status}, not {status}')
        return wrong


def _missed(cell: Cell, found: dict[str, Any]) -> str:
    """Name the goals that the cell missed."""
    waits, before = found['beside'], found['before']
    if cell.kind == 'monitor':
        late = waits['stretches'] > 0
    elif cell.heartbeat == 'fresh':
        late = waits['stretches'] > 1 and cell.workers >= 5
    else:
        late = waits['p99'] > 2 * before['p99'] + 0.2
        late = late or waits['max'] > beside.LONG
    most = 1.15 if cell.server == 'eventlet' else 1.25
    slow = cell.dead and cell.heartbeat == 'stale' and found['ratio'] > most
    missed = {'verdicts': found['wrong'], 'waits': late, 'time': slow}
    return ', '.join(name for name in missed if missed[name]) or 'all met'


def _row(cell: Cell, found: dict[str, Any]) -> dict[str, str]:
    waits = found['beside']
    dead = f'{cell.dead}, {cell.order}, {cell.heartbeat}'
    return {
        'Sweep': 'second' if cell.kind == 'monitor' else 'first',
        'Server': f'{cell.server}, {cell.workers}',
        'Guests': f'{cell.guests}',
        'Dead': dead if cell.dead else 'none',
        'Wrong': f'{len(found["wrong"])}',
        'Time': f'{found["seconds"]:.1f} s',
        'Bound': f'{found["bound"]:.1f} s',
        'Ratio': f'{found["ratio"]:.2f}',
        'GETs': f'{found["gets"]}',
        'In flight': f'{found["peak"]}',
        'p99 alone': f'{found["before"]["p99"]:.3f} s',
        'p50': f'{waits["p50"]:.3f} s',
        'p99': f'{waits["p99"]:.3f} s',
        'Longest': f'{waits["max"]:.3f} s',
        'Stretches over 1 s': f'{waits["stretches"]}',
        'Missed': _missed(cell, found),
    }


def _constants_row(cell: Cell, found: dict[str, Any]) -> dict[str, str]:
    ours, best = found['ours'], min(found[str(most)] for most in _CONSTANTS)
    return {
        'Server': f'{cell.server}, {cell.workers}',
        **{f'{n} in flight': f'{found[str(n)]:.2f} s' for n in _CONSTANTS},
        'Ours': f'{ours:.2f} s',
        'Ours to the best': f'{ours / best:.2f}',
    }


def run(names: list[str], folder: pathlib.Path, *, quick: bool) -> None:
    """Measure cells, record each in a folder, and print the tables.

    :param names: the cells; if empty, those of the documentation.
    """
    names = names or (['sweep-wsgi-2-4-1-random-stale'] if quick else plan())
    cells = {name: Cell(name) for name in names}
    for number, (name, cell) in enumerate(cells.items(), 1):
        benchmarks.LOG.info('%d of %d: %s', number, len(cells), name)
        with boxes.Sandbox(
            'rabbit',
            server=cell.server,
            workers=cell.workers,
            guests=cell.guests,
            dead=cell.dead,
            dead_order=cell.order,
            dead_heartbeat=cell.heartbeat,
            agent_timeout=_AGENT_TIMEOUT,
            rate_limit=1_000_000,
        ) as box:
            measuring = _Measuring(cell, box)
            if cell.kind == 'constants':
                found = measuring.constants()
            else:
                found = measuring.beside_another(1 if quick else 10)
        benchmarks.LOG.info(json.dumps(found))
        tables = _record(folder / 'neighbours.json', name, found)
    sys.stdout.write(tables)


def _record(path: pathlib.Path, name: str, found: dict[str, Any]) -> str:
    """Add a cell to the record, in the order of the plan; return it."""
    known = json.loads(path.read_text()) if path.exists() else {}
    known[name] = found
    order = [name for name in plan() if name in known]
    known = {name: known[name] for name in [*order, *known]}
    rows, constants = [], []
    for each, figures in known.items():
        cell = Cell(each)
        if cell.kind == 'constants':
            constants.append(_constants_row(cell, figures))
        else:
            rows.append(_row(cell, figures))
    return benchmarks.publish(
        path, known, neighbours=rows, constants=constants
    )
