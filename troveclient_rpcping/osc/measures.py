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

"""The metrics that a command keeps, if any are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import time
from typing import TYPE_CHECKING

from troveclient_rpcping.limits import Throttle
from troveclient_rpcping.outcomes.outcome import Findings
from troveclient_rpcping.verdict import PingResult

if TYPE_CHECKING:
    from troveclient_rpcping.prometheus.metrics import Metrics


class Measures:
    """Takes in sweeps, and writes a file of metrics after each one.

    :param textfile: the file; None for no file.
    :param labels: labels of all metrics.
    :param served: whether the metrics are wanted without a file, too.
    :raises OSError: the file cannot be written; says in one line why.
    """

    def __init__(
        self,
        textfile: str | None,
        labels: Mapping[str, str] | None = None,
        *,
        served: bool = False,
    ):
        self._textfile = textfile
        self._began = self._sent_last = time.monotonic()
        self._throttled_since: float | None = None
        # Whether an answer came, and whether a sweep was recorded.
        self._answered = self._recorded = False
        #: None if nobody wants any.
        self.metrics: Metrics | None = None
        if textfile or served:
            # Prometheus' library is for those who want it.
            from troveclient_rpcping.prometheus import metrics

            self.metrics = metrics.Metrics(labels)
            if textfile:
                # At once, and not after a long sweep.
                self.metrics.check(textfile)
                self.metrics.resume(textfile)

    def begins(self) -> None:
        """Take in that a sweep begins."""
        self._began = self._sent_last = time.monotonic()
        self._throttled_since = None

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """Record whatever ends the block before its first sweep is recorded.

        The block has all that a command does: the login, the choice of the
        guests, the listing, the pings. What raises there is a failed sweep,
        and so is an interruption before the first answer. An interruption in
        the middle of the pings says nothing of the cloud.
        """
        self.begins()
        try:
            yield
        except BaseException as error:
            failed = isinstance(error, Exception) or not self._answered
            if failed and not self._recorded:
                # A full disk must not hide what ended the run.
                with contextlib.suppress(OSError):
                    self.failed()
            raise

    def throttled(self, throttle: Throttle) -> None:
        """Take in that the rate limit of the server holds it back."""
        if self._throttled_since is None:
            self._throttled_since = time.monotonic()

    def saw(self, result: PingResult) -> None:
        """Take in a result as it comes."""
        self._answered = True
        if result.rtt is not None:
            sent = time.monotonic() - result.rtt
            self._sent_last = max(self._sent_last, sent)

    def swept(self, findings: Findings) -> None:
        """Take in what it brought.

        :raises OSError: the file cannot be written; says in one line why.
        """
        self._recorded = True
        if self.metrics is None:
            return
        now = time.monotonic()
        throttled = 0.0
        if self._throttled_since is not None:
            # What is sent is not held back any more: the last ones may be
            # those of dead guests, for which Trove waits.
            throttled = max(0.0, self._sent_last - self._throttled_since)
        self.metrics.observe(
            findings,
            ended=time.time(),
            seconds=now - self._began,
            throttled=throttled,
        )
        self._write(self.metrics)

    def failed(self) -> None:
        """Take in that it brought nothing.

        :raises OSError: the file cannot be written; says in one line why.
        """
        self._recorded = True
        if self.metrics is None:
            return
        seconds = time.monotonic() - self._began
        self.metrics.failed(ended=time.time(), seconds=seconds)
        self._write(self.metrics)

    def _write(self, metrics: Metrics) -> None:
        if self._textfile:
            metrics.write(self._textfile)
