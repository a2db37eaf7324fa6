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

"""A command that sweeps, and another caller of trove-api beside it."""

import http.client
import itertools
import math
import re
import statistics
import subprocess
import threading
import time
from typing import Self
import urllib.parse

from keystoneauth1 import session as session_
from openstack import config

from benchmarks import record
from benchmarks import ways
from sandbox import Sandbox

# Seconds between two requests of the other caller.
_INTERVAL = 0.25

#: Seconds after which a wait of the other caller is too long.
LONG = 1.0

# A request to Trove in the log of a command, or its reply.
_LINE = re.compile(r'GET (http\S*/mgmt/instances\S*?)(: .*)?')


def login(box: Sandbox, cloud: str = 'sandbox') -> session_.Session:
    """Log in to a sandbox.

    :param cloud: ``sandbox``, the administrator, or ``sandbox-member``.
    """
    clouds = config.OpenStackConfig(
        config_files=[str(box.clouds_yaml)], load_envvars=False
    )
    return clouds.get_one(cloud).get_session()


class Caller:
    """Another caller: sends GETs on time, even while others are unanswered.

    :param session: how it logs in.
    :param path: what it asks Trove for.
    """

    def __init__(self, session: session_.Session, path: str):
        endpoint = session.get_endpoint(service_type='database')
        self._url = urllib.parse.urlsplit(f'{endpoint}{path}')
        self._headers = {'X-Auth-Token': session.get_token() or ''}
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run)]
        # When each GET was sent, and the seconds until its reply.
        self._waits: list[tuple[float, float]] = []
        self._failures: list[str] = []

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        # The first thread starts the others, and ends before they are joined.
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            self._threads.append(threading.Thread(target=self.get))
            self._threads[-1].start()
            due += _INTERVAL

    def get(self) -> None:
        """Send one GET on a new connection, and wait for its reply."""
        sent = time.monotonic()
        connection = http.client.HTTPConnection(self._url.netloc, timeout=120)
        try:
            connection.request('GET', self._url.path, headers=self._headers)
            reply = connection.getresponse()
            reply.read()
            if reply.status not in (200, 204):
                self._failures.append(f'HTTP {reply.status}')
        except (OSError, http.client.HTTPException) as exc:
            self._failures.append(repr(exc))
        finally:
            connection.close()
        self._waits.append((sent, time.monotonic() - sent))

    def summary(
        self, begin: float = 0.0, end: float = math.inf
    ) -> dict[str, float]:
        """Sum up the waits for the GETs that were sent between two times.

        :raises benchmarks.record.BenchmarkError: if a GET failed.
        """
        found = [one for one in sorted(self._waits) if begin <= one[0] <= end]
        if self._failures or not found:
            raise record.BenchmarkError(
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
            'gets': len(found),
            'p50': round(statistics.median(ordered), 3),
            'p99': round(ordered[int(0.99 * (len(ordered) - 1) + 0.5)], 3),
            'max': round(ordered[-1], 3),
            'stretches': stretches,
        }


class Sweep:
    """The figures of one sweep, by the log of its command.

    :param events: each request and each reply: when it came, its URL, and by
        how many it changes the number of requests in flight.
    """

    def __init__(self, events: list[tuple[float, str, int]]):
        self.begin = events[0][0]
        #: When the last reply came.
        self.end = max(at for at, _, more in events if more < 0)
        first_ping = min(at for at, url, _ in events if _is_ping(url))
        #: From the first ping to the last reply.
        self.seconds = self.end - first_ping
        self.gets = sum(more > 0 for _, _, more in events)
        #: The most requests that were in flight together.
        self.peak = max(itertools.accumulate(more for _, _, more in events))


def _is_ping(url: str) -> bool:
    return url.endswith('/rpc_ping')


class Command:
    """Runs an ``openstack database instance`` command to its end.

    :param argv: the rest of its command line.
    :param sweeps: the command is terminated when it begins one more sweep.
    """

    def __init__(self, box: Sandbox, argv: list[str], sweeps: int):
        self._has_pinged = False
        self._sweeps: list[list[tuple[float, str, int]]] = []
        begun = time.monotonic()
        with subprocess.Popen(  # noqa: S603
            [*ways.OPENSTACK, '--debug', 'database', 'instance', *argv],
            env=box.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                for line in process.stderr or ():
                    self._record(line.rstrip(), time.monotonic())
                    if len(self._sweeps) > sweeps:
                        process.terminate()
                        break
                # The pipe holds the whole output of a command.
                self.output, _ = process.communicate()
            except BaseException:
                process.kill()
                raise
        self.wall = time.monotonic() - begun
        self.status = process.returncode

    def _record(self, line: str, now: float) -> None:
        found = _LINE.fullmatch(line)
        if not found:
            return
        url, reply = found.groups()
        # A sweep begins with the listing, which may have several pages.
        lists = reply is None and '?' in url
        if lists and (not self._sweeps or self._has_pinged):
            self._sweeps.append([])
            self._has_pinged = False
        self._has_pinged |= _is_ping(url)
        self._sweeps[-1].append((now, url, -1 if reply else 1))

    def sweep(self, number: int) -> Sweep:
        """Return the figures of a sweep; the first one is 0."""
        return Sweep(self._sweeps[number])
