# SPDX-License-Identifier: Apache-2.0

"""A command that sweeps, and another caller of trove-api beside it."""

from concurrent import futures
import http.client
import itertools
import math
import re
import statistics
import subprocess
import threading
import time
from typing import Self
import urllib.request

from keystoneauth1 import session as ksa_session
from openstack import config as sdk_config

import benchmarks
from sandbox import box as boxes

# Seconds between two requests of the other caller.
_INTERVAL = 0.25

#: Seconds after which a wait of the other caller is too long.
LONG = 1.0

# A request to Trove in the log of a command, or its reply.
_LINE = re.compile(r'GET (http\S*/mgmt/instances\S*?)(: .*)?')


def login(box: boxes.Sandbox, cloud: str = 'sandbox') -> ksa_session.Session:
    """Log in to a sandbox, as its administrator or its member."""
    files = [str(box.clouds_yaml)]
    clouds = sdk_config.OpenStackConfig(files, load_envvars=False)
    return clouds.get_one(cloud).get_session()


class Caller:
    """Another caller: sends GETs on time, even while others are unanswered."""

    def __init__(self, session: ksa_session.Session, path: str):
        endpoint = session.get_endpoint(service_type='database')
        token = session.get_token() or ''
        self._request = urllib.request.Request(  # noqa: S310
            f'{endpoint}{path}', headers={'X-Auth-Token': token}
        )
        self._ended = threading.Event()
        self._pool = futures.ThreadPoolExecutor(1000)
        # When each GET was sent, and the seconds until its reply.
        self._waits: list[tuple[float, float]] = []
        self._failures: list[str] = []

    def __enter__(self) -> Self:
        self._pool.submit(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._pool.shutdown()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            self._pool.submit(self.get)
            due += _INTERVAL

    def get(self) -> None:
        """Send one GET on a new connection, and wait for its reply."""
        sent = time.monotonic()
        try:
            with urllib.request.urlopen(  # noqa: S310
                self._request, timeout=120
            ) as reply:
                reply.read()
        except (OSError, http.client.HTTPException) as exc:
            self._failures.append(repr(exc))
        self._waits.append((sent, time.monotonic() - sent))

    def summary(
        self, begin: float = 0.0, end: float = math.inf
    ) -> dict[str, float]:
        """Sum up the waits for the GETs that were sent between two times.

        :raises benchmarks.BenchmarkError: if a GET failed.
        """
        found = [one for one in sorted(self._waits) if begin <= one[0] <= end]
        if self._failures or not found:
            raise benchmarks.BenchmarkError(
                f'The other caller failed: {self._failures[:3]}'
            )
        ordered = sorted(seconds for _, seconds in found)
        # A stretch is a time in which some request waits too long.
        stretches, until = 0, 0.0
        for sent, seconds in found:
            if seconds > LONG:
                stretches += sent > until
                until = max(until, sent + seconds)
        return {
            'gets': len(ordered),
            'p50': round(statistics.median(ordered), 3),
            'p99': round(ordered[int(0.99 * (len(ordered) - 1) + 0.5)], 3),
            'max': round(ordered[-1], 3),
            'stretches': stretches,
        }


# When a request or a reply came, its URL, and by how many it changes the
# number of requests in flight.
_Events = list[tuple[float, str, int]]


class Sweep:
    """A sweep of an ``openstack database instance`` command, by its log.

    :param number: the number of the sweep; the first one is 0. The command is
        terminated when it begins the next one.
    """

    def __init__(self, box: boxes.Sandbox, argv: list[str], number: int):
        sweeps: list[_Events] = []
        begun = time.monotonic()
        with subprocess.Popen(  # noqa: S603
            [*benchmarks.OPENSTACK, '--debug', 'database', 'instance', *argv],
            env=box.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                for line in process.stderr or ():
                    _record(line.rstrip(), sweeps)
                    if len(sweeps) > number + 1:
                        process.terminate()
                        break
                # The pipe holds the whole output of a command.
                self.output, _ = process.communicate()
            except BaseException:
                process.kill()
                raise
        self.wall = time.monotonic() - begun
        self.status = process.returncode
        events = sweeps[number]
        self.begin = events[0][0]
        #: When the last reply came.
        self.end = max(at for at, _, more in events if more < 0)
        pinged = min(at for at, url, _ in events if '?' not in url)
        #: From the first ping to the last reply.
        self.seconds = self.end - pinged
        self.gets = sum(more > 0 for _, _, more in events)
        #: The most requests that were in flight together.
        self.peak = max(itertools.accumulate(more for _, _, more in events))


def _record(line: str, sweeps: list[_Events]) -> None:
    if found := _LINE.fullmatch(line):
        url, reply = found.groups()
        # A sweep begins with the listing, which may have several pages.
        lists = reply is None and '?' in url
        if not sweeps or (lists and '?' not in sweeps[-1][-1][1]):
            sweeps.append([])
        sweeps[-1].append((time.monotonic(), url, -1 if reply else 1))
