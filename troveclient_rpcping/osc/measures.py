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

"""The metrics that a command keeps, if its user asks for any.

Importing this module takes time, because it imports prometheus_client.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import time

from troveclient_rpcping.limits import Throttle
from troveclient_rpcping.outcomes.outcome import Findings
from troveclient_rpcping.prometheus.metrics import Metrics
from troveclient_rpcping.prometheus.metrics import write_textfile
from troveclient_rpcping.verdict import PingResult


class Measures:
    """Measures sweeps, and writes a file of metrics after each one.

    :param textfile: the file; None for no file.
    :param single: whether the command sweeps once. Then the metrics have no
        counters.
    :raises OSError: the file cannot be written; says in one line why.
    """

    def __init__(
        self,
        textfile: str | None,
        labels: Mapping[str, str] | None = None,
        *,
        single: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._textfile = textfile
        self._clock = clock
        # Whether an answer came, and whether a sweep was recorded.
        self._answered = self._recorded = False
        self.metrics = Metrics(labels, counters=not single)
        if textfile:
            # A mistake shows before a long sweep.
            write_textfile(textfile)
        self.begins()

    def begins(self) -> None:
        """Record that a sweep begins."""
        self._began = self._sent_last = self._clock()
        self._throttled_since: float | None = None

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """Record a failed sweep if the block ends before its first sweep.

        The block logs in, chooses the guests, and pings them. An exception is
        a failed sweep. So is an interruption before the first answer. A later
        interruption says nothing about the cloud.
        """
        try:
            yield
        except BaseException as error:
            failed = isinstance(error, Exception) or not self._answered
            if failed and not self._recorded:
                # A full disk must not hide why the run ended.
                with contextlib.suppress(OSError):
                    self.failed()
            raise

    def throttled(self, throttle: Throttle) -> None:
        """Record that the server's rate limit delays the sweep."""
        if self._throttled_since is None:
            self._throttled_since = self._clock()

    def saw(self, result: PingResult) -> None:
        """Record a result as it comes."""
        self._answered = True
        if result.rtt is not None:
            sent = self._clock() - result.rtt
            self._sent_last = max(self._sent_last, sent)

    def swept(self, findings: Findings) -> None:
        """Record a sweep that brought results, and write the file.

        :raises OSError: the file cannot be written.
        """
        throttled = 0.0
        if self._throttled_since is not None:
            # The rate limit delays no ping after the last one is sent. Trove
            # may still wait for dead guests then.
            throttled = max(0.0, self._sent_last - self._throttled_since)
        self.metrics.observe(
            findings,
            ended=time.time(),
            seconds=self._clock() - self._began,
            throttled=throttled,
        )
        self._write()

    def failed(self) -> None:
        """Record a sweep that brought nothing, and write the file.

        :raises OSError: the file cannot be written.
        """
        seconds = self._clock() - self._began
        self.metrics.failed(ended=time.time(), seconds=seconds)
        self._write()

    def _write(self) -> None:
        self._recorded = True
        if self._textfile:
            self.metrics.write(self._textfile)
