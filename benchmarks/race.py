# SPDX-License-Identifier: Apache-2.0

"""The first benchmark: the sweep beside other ways to ping many guests.

Each way is a process of its own.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

import benchmarks
from benchmarks import client
from sandbox import tether

# The milliseconds that nginx takes for a ping, the pings at once, the guests.
_CASES = ((50, 64, 10_000), (50, 256, 10_000), (0, 64, 10_000), (50, 64, 200))
_QUICK = ((50, 64, 100),)

# A loop is too slow for all guests.
_LOOPED = 50

# One process. "echo_sleep" waits in a timer: it delays no other request.
_CONFIG = """\
load_module {module};
daemon off;
master_process off;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location /0/ {{ return 204; }}
        location /50/ {{ echo_status 204; echo_sleep 0.05; }}
    }}
}}
"""


@dataclasses.dataclass(frozen=True)
class Job:
    """Guests to ping."""

    name: str
    endpoint: str
    at_once: int
    guests: int


# The ways by their names in the table.
_CURL, _LOOP = 'curl -Z', 'loop of rpc_ping'
_WAYS = [
    *('rpc_ping_each', 'openstack … --from-file', _CURL),
    *('keystoneauth in threads', _LOOP),
]


def _command(way: str, job: Job) -> list[str]:
    if way == _CURL:
        return [
            *('curl', '--disable', '--silent', '--show-error'),
            *('--fail-early', '--parallel'),
            *('--parallel-max', str(job.at_once)),
            *('--header', 'X-Auth-Token: a-token'),
            *('--header', 'Accept: application/json'),
            *('--write-out', r'%{http_code}\n', '--config', '-'),
        ]
    if way in client.WAYS:
        program = [sys.executable, '-m', 'benchmarks.client', way]
        return [*program, job.endpoint, str(job.at_once)]
    return [
        *(*benchmarks.OPENSTACK, '--os-auth-type', 'admin_token'),
        *('--os-endpoint', job.endpoint, '--os-token', 'a-token'),
        *('database', 'instance', 'rpc', 'ping', '--from-file', '-'),
        *('--concurrency', str(job.at_once), '-f', 'value', '-c', 'Verdict'),
    ]


# The figures of one job, in each lap, for each way; and of all jobs.
_Laps = list[dict[str, dict[str, float]]]
_Figures = dict[str, _Laps]


def run(folder: pathlib.Path, *, quick: bool) -> None:
    """Measure, print the table, and write all of it into a folder."""
    with _nginx() as url:
        jobs = [
            Job(
                f'{delay} ms, {at_once} at once, {guests:,} guests',
                *(f'{url}/{delay}/v1.0/project', at_once, guests),
            )
            for delay, at_once, guests in (_QUICK if quick else _CASES)
        ]
        figures = _measured(jobs, 1 if quick else 3)
    rows = [
        {'nginx': name, 'Way': way, **_cells(laps, way)}
        for name, laps in figures.items()
        for way in _WAYS
    ]
    path = folder / 'sweep.json'
    sys.stdout.write(benchmarks.publish(path, figures, sweep=rows))
    _draw(figures, folder / 'sweep.svg')


def _measured(jobs: list[Job], laps: int) -> _Figures:
    figures: _Figures = {job.name: [] for job in jobs}
    for job in jobs:
        # The server has answered before.
        _ping(_CURL, job)
    for lap, job in itertools.product(range(laps), jobs):
        benchmarks.LOG.info('lap %d of %d: %s', lap + 1, laps, job.name)
        few = dataclasses.replace(job, guests=min(job.guests, _LOOPED))
        # Another way begins each lap.
        turn = _WAYS[lap:] + _WAYS[:lap]
        figures[job.name].append(
            {way: _ping(way, few if way == _LOOP else job) for way in turn}
        )
    return figures


def _cells(laps: _Laps, way: str) -> dict[str, str]:
    wall = statistics.median(lap[way]['wall'] for lap in laps)
    cpu = statistics.median(lap[way]['cpu'] for lap in laps)
    start = _spread(_ratios(laps, way, 'process'))
    return {
        'Pings a second': f'{1 / wall:,.0f}',
        'Time / curl': _spread(_ratios(laps, way, 'wall')),
        # A loop of few pings is mostly start.
        'With start / curl': '' if way == _LOOP else start,
        'CPU a ping': f'{cpu * 1e6:,.0f} µs',
        'CPU / curl': _spread(_ratios(laps, way, 'cpu')),
    }


def _ratios(laps: _Laps, way: str, figure: str) -> list[float]:
    """Return the ratio of a figure to that of curl in each lap."""
    return [lap[way][figure] / lap[_CURL][figure] for lap in laps]


def _spread(found: list[float]) -> str:
    middle = statistics.median(found)
    return f'{middle:.2f} ({min(found):.2f} to {max(found):.2f})'


def _draw(figures: _Figures, path: pathlib.Path) -> None:
    """Draw each way's time and CPU time as a multiple of curl's."""
    try:
        from matplotlib import pyplot
    except ImportError:
        benchmarks.LOG.info('no picture: matplotlib is not installed')
        return
    # The colour-blind can tell these colours apart.
    pyplot.style.use('tableau-colorblind10')
    # The same figures give the same file.
    pyplot.rcParams['svg.hashsalt'] = 'troveclient-rpcping'
    picture, axes = pyplot.subplots(
        1, 2, figsize=(9, 5), sharey=True, layout='constrained'
    )
    names = [name.replace(', ', '\n') for name in figures]
    height = 0.8 / len(_WAYS)
    labels = {
        'wall': "time, as a multiple of curl's; less is better",
        'cpu': "CPU time, as a multiple of curl's",
    }
    for axis, figure in zip(axes, labels, strict=True):
        for number, way in enumerate(_WAYS):
            places = [at + number * height for at in range(len(names))]
            found = (_ratios(laps, way, figure) for laps in figures.values())
            axis.barh(
                *(places, [*map(statistics.median, found)], height),
                label=way,
            )
        axis.set(xlabel=labels[figure], xscale='log')
        axis.xaxis.set_major_formatter('{x:g}')
        axis.axvline(1, color='black', linewidth=0.8)
        axis.grid(axis='x', alpha=0.3)
    axes[0].set_yticks([at + 2 * height for at in range(len(names))], names)
    axes[0].invert_yaxis()
    ways = axes[0].get_legend_handles_labels()
    picture.legend(*ways, loc='outside lower center', ncols=3)
    picture.savefig(path, metadata={'Date': None, 'Creator': None})


def _ping(way: str, job: Job) -> dict[str, float]:
    """Run a way once; return seconds for each ping.

    ``wall`` is time and ``cpu`` is CPU time. For a client in Python both
    leave out its start, which ``process`` includes.

    :raises benchmarks.BenchmarkError: unless every reply was 204.
    """
    ids = [str(uuid.UUID(int=each)) for each in range(job.guests)]
    if way == _CURL:
        base = f'{job.endpoint}/mgmt/instances'
        ids = [f'url = "{base}/{each}/rpc_ping"' for each in ids]
    begun, cpu = time.monotonic(), _cpu_of_children()
    done = subprocess.run(  # noqa: S603
        _command(way, job),
        input='\n'.join(ids),
        capture_output=True,
        text=True,
    )
    process, cpu = time.monotonic() - begun, _cpu_of_children() - cpu
    words = done.stdout.split()
    # curl prints 204, and only a 204 makes a guest reachable.
    good = words.count('204') + words.count('reachable')
    took = {'good': good, 'wall': process, 'cpu': cpu}
    if done.stdout.startswith('{'):
        took = json.loads(done.stdout)
    if took.pop('good') != job.guests:
        raise benchmarks.BenchmarkError(
            f'{way}: not all of {job.guests} replies were 204. '
            f'{done.stderr.strip()[-500:]}'
        )
    took['process'] = process
    return {name: round(took[name] / job.guests, 7) for name in took}


def _cpu_of_children() -> float:
    """Return the seconds of CPU of all processes that have ended."""
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


# Debian has nginx in a folder that is not on every PATH.
_NGINX = shutil.which('nginx', path=f'{os.environ["PATH"]}:/usr/sbin')
_ECHO = 'lib*/nginx/modules/ngx_http_echo_module.so'
_MODULE = next(pathlib.Path('/usr').glob(_ECHO), None)


def installed() -> bool:
    """Whether the benchmark can run here."""
    return bool(_NGINX and _MODULE and shutil.which('curl'))


@contextlib.contextmanager
def _nginx() -> Iterator[str]:
    """Run nginx, and yield its URL; the path begins with the delay."""
    if not installed():
        raise benchmarks.BenchmarkError(
            'nginx, its echo module or curl is not installed: '
            'apt-get install nginx-light libnginx-mod-http-echo curl'
        )
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix='rpcping-bench-') as folder:
        config = pathlib.Path(folder, 'nginx.conf')
        config.write_text(_CONFIG.format(module=_MODULE, port=port))
        argv = [str(_NGINX), '-p', folder, '-c', config.name]
        with (
            subprocess.Popen(  # noqa: S603
                tether.tethered([*argv, '-e', 'error.log']),
                stderr=subprocess.DEVNULL,
            ) as process,
            socket.socket() as probe,
        ):
            try:
                while probe.connect_ex(('127.0.0.1', port)):
                    if process.poll() is not None:
                        log = config.with_name('error.log').read_text()
                        raise benchmarks.BenchmarkError(f'nginx ended: {log}')
                    time.sleep(0.05)
                yield f'http://127.0.0.1:{port}'
            finally:
                process.kill()
