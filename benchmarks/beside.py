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

import dataclasses
import http.client
import statistics
import subprocess
import threading
import time
from typing import Self
import urllib.parse

from benchmarks import programs
from benchmarks.error import BenchmarkError
from sandbox import Sandbox

# Seconds between two requests of the other caller.
_EACH = 0.25

#: Seconds after which a wait of the other caller is too long.
LONG = 1.0


class Caller:
    """Another caller: sends GETs on time, whether or not others are answered.

    :param url: what it asks for.
    :param token: a token of its own.
    """

    def __init__(self, url: str, token: str):
        self._url = urllib.parse.urlsplit(url)
        self._token = token
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run)]
        #: When each GET was sent, and how long it took.
        self.waits: list[tuple[float, float]] = []
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        # The first one ends before the list is read on.
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            self._threads.append(threading.Thread(target=self.get))
            self._threads[-1].start()
            due += _EACH

    def get(self) -> None:
        """Send one, by a new connection."""
        sent = time.monotonic()
        connection = http.client.HTTPConnection(self._url.netloc, timeout=120)
        try:
            headers = {'X-Auth-Token': self._token}
            connection.request('GET', self._url.path, headers=headers)
            reply = connection.getresponse()
            reply.read()
            if reply.status not in (200, 204):
                self.failures.append(f'HTTP {reply.status}')
        except OSError as exc:
            self.failures.append(str(exc))
        finally:
            connection.close()
        self.waits.append((sent, time.monotonic() - sent))

    def summary(self, begin: float, end: float) -> dict[str, float]:
        """Say how long it waited for what it sent between two times."""
        found = [one for one in sorted(self.waits) if begin <= one[0] <= end]
        if self.failures or not found:
            raise BenchmarkError(f'The other caller: {self.failures[:3]}')
        ordered = sorted(seconds for _, seconds in found)
        # Stretches of time in which something waits too long.
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


@dataclasses.dataclass
class Span:
    """One sweep, by the log of its command."""

    begin: float
    first_ping: float = 0.0
    end: float = 0.0
    gets: int = 0
    flight: int = 0
    peak: int = 0

    def take(self, line: str, now: float) -> None:
        """Record a line of the log, of a request or of its reply."""
        if line.rpartition(' ')[0] == 'GET':
            self.gets += 1
            self.flight += 1
            self.peak = max(self.peak, self.flight)
            if line.endswith('/rpc_ping'):
                self.first_ping = self.first_ping or now
        else:
            self.flight -= 1
            self.end = now


class Command:
    """Runs an ``openstack database instance`` command to its end.

    :param argv: the rest of its command line.
    :param sweeps: after so many sweeps it is terminated.
    """

    def __init__(self, box: Sandbox, argv: list[str], sweeps: int = 1000):
        self.spans: list[Span] = []
        begun = time.monotonic()
        with subprocess.Popen(  # noqa: S603
            [programs.openstack(), '--debug', 'database', 'instance', *argv],
            env=box.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                for line in process.stderr or ():
                    self._take(line.rstrip(), time.monotonic())
                    if len(self.spans) > sweeps:
                        process.terminate()
                        break
                # The output of both is short enough for a pipe.
                self.output, _ = process.communicate()
            except BaseException:
                process.kill()
                raise
        self.wall = time.monotonic() - begun
        self.status = process.returncode

    def _take(self, line: str, now: float) -> None:
        if not line.startswith('GET http') or '/mgmt/instances' not in line:
            return
        # It begins with the listing.
        lists = line.rpartition(' ')[0] == 'GET' and '?' in line
        if lists and (not self.spans or self.spans[-1].first_ping):
            self.spans.append(Span(now))
        self.spans[-1].take(line, now)
