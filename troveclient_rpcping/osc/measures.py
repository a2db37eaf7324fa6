# SPDX-License-Identifier: Apache-2.0

"""The metrics that a command keeps, if its user asks for any."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import time
from typing import TYPE_CHECKING

from troveclient_rpcping import limits
from troveclient_rpcping import plaintext
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.outcomes import outcome as outcomes

if TYPE_CHECKING:
    from troveclient_rpcping.prometheus import metrics


class Measures:
    """Measures sweeps, and writes a file of metrics after each one.

    :param arguments: the parsed command line.
    :param single: whether the command sweeps once. Then the metrics have no
        counters.
    :raises OSError: the file cannot be written; says in one line why.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        *,
        single: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._textfile = arguments.textfile
        self._clock = clock
        # Whether an answer came, and whether a sweep was recorded.
        self._answered = self._recorded = False
        #: None if the user asks for no metrics.
        self.metrics: metrics.Metrics | None = None
        if self._textfile or (not single and arguments.listen):
            # Importing prometheus_client takes time.
            from troveclient_rpcping.prometheus import metrics

            self.metrics = metrics.Metrics(
                dict(arguments.label), counters=not single
            )
            if self._textfile:
                # A mistake shows before a long sweep.
                metrics.write_textfile(self._textfile)
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
                self.swept(None)
            raise

    def throttled(self, throttle: limits.Throttle) -> None:
        """Record that the server's rate limit delays the sweep."""
        if self._throttled_since is None:
            self._throttled_since = self._clock()

    def saw(self, result: verdicts.PingResult) -> None:
        """Record a result as it comes."""
        self._answered = True
        if result.rtt is not None:
            sent = self._clock() - result.rtt
            self._sent_last = max(self._sent_last, sent)

    def swept(self, findings: outcomes.Findings | None) -> str:
        """Record a sweep, and write the file.

        :param findings: None for a sweep that brought nothing.
        :returns: why the file cannot be written, as a clean line; else empty.
        """
        if self.metrics is None:
            return ''
        self._recorded = True
        ended, seconds = time.time(), self._clock() - self._began
        if findings is None:
            self.metrics.failed(ended=ended, seconds=seconds)
        else:
            throttled = 0.0
            if self._throttled_since is not None:
                # The rate limit delays no ping after the last one is sent.
                # Trove may still wait for dead guests then.
                throttled = max(0.0, self._sent_last - self._throttled_since)
            self.metrics.observe(
                findings, ended=ended, seconds=seconds, throttled=throttled
            )
        try:
            if self._textfile:
                self.metrics.write(self._textfile)
        except OSError as error:
            return plaintext.one_line(str(error))
        return ''
