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

"""What adds up from sweep to sweep, and when the last ones were."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
import itertools
import math

from prometheus_client import core
from prometheus_client.samples import Sample

# Bounds in seconds. An agent that is well takes some 30 ms; Trove gives one
# up after 15 s, and the client after 30 s, by default.
_BOUNDS = (
    *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
)
_LE = [*(str(bound) for bound in _BOUNDS), '+Inf']

_ROUND_TRIP = 'trove_guest_rpc_round_trip_seconds'
_SWEEPS = 'trove_guest_rpc_sweeps'
_THROTTLED = 'trove_guest_rpc_throttled_seconds'
_LAST_DURATION = 'trove_guest_rpc_last_sweep_duration_seconds'
_LAST_DONE = 'trove_guest_rpc_last_sweep_timestamp_seconds'
_LAST_FAILED = 'trove_guest_rpc_last_failed_sweep_timestamp_seconds'

_OUTCOMES = ('done', 'failed')


class Totals:
    """Counters, a histogram, and the times of the last sweeps."""

    #: How the samples begin that :meth:`resume` can make use of.
    names = (
        *(_ROUND_TRIP, _SWEEPS, _THROTTLED),
        *(_LAST_DURATION, _LAST_DONE, _LAST_FAILED),
    )

    def __init__(self) -> None:
        self._sweeps = dict.fromkeys(_OUTCOMES, 0.0)
        self._throttled = 0.0
        # Round trips by the first bound that they do not exceed.
        self._round_trips = [0.0] * len(_LE)
        self._round_trip_seconds = 0.0
        self._last_duration: float | None = None
        self._last_done: float | None = None
        self._last_failed: float | None = None

    def done(
        self,
        rtts: Iterable[float],
        ended: float,
        seconds: float,
        throttled: float,
    ) -> None:
        """Take in a sweep that brought results.

        :param rtts: the round-trip times of reachable guests, in seconds.
        :param ended: when it ended, in UNIX time.
        :param seconds: how long it took.
        :param throttled: how many of these the rate limit held it back.
        """
        for rtt in rtts:
            self._round_trips[bisect.bisect_left(_BOUNDS, rtt)] += 1
            self._round_trip_seconds += rtt
        self._sweeps['done'] += 1
        self._throttled += throttled
        self._last_duration = seconds
        self._last_done = ended

    def failed(self, ended: float, seconds: float) -> None:
        """Take in a sweep that brought nothing."""
        self._sweeps['failed'] += 1
        self._last_duration = seconds
        self._last_failed = ended

    def resume(self, samples: Iterable[Sample]) -> None:
        """Carry on from samples that an earlier process left behind."""
        values = {
            (
                sample.name,
                *(
                    sample.labels[label]
                    for label in ('outcome', 'le')
                    if label in sample.labels
                ),
            ): sample.value
            for sample in samples
            if math.isfinite(sample.value) and sample.value >= 0
        }
        for outcome in _OUTCOMES:
            self._sweeps[outcome] = values.get(
                (f'{_SWEEPS}_total', outcome), 0
            )
        self._throttled = values.get((f'{_THROTTLED}_total',), 0.0)
        self._last_duration = values.get((_LAST_DURATION,))
        self._last_done = values.get((_LAST_DONE,))
        self._last_failed = values.get((_LAST_FAILED,))
        # Bounds that a later version changes leave nothing to carry on from.
        sums = [values.get((f'{_ROUND_TRIP}_bucket', le), -1) for le in _LE]
        counts = [b - a for a, b in itertools.pairwise([0.0, *sums])]
        if min(counts) >= 0:
            self._round_trips = counts
            self._round_trip_seconds = values.get((f'{_ROUND_TRIP}_sum',), 0.0)

    def families(self) -> list[core.Metric]:
        """Return all of it as metrics."""
        sweeps = core.CounterMetricFamily(
            _SWEEPS,
            'Sweeps, by outcome: done, or failed, which brought nothing.',
            labels=['outcome'],
        )
        for outcome in _OUTCOMES:
            sweeps.add_metric([outcome], self._sweeps[outcome])
        sums = itertools.accumulate(self._round_trips)
        return [
            core.HistogramMetricFamily(
                _ROUND_TRIP,
                'Round-trip times of the guests that were reached: from '
                'sending the request to the end of the reply.',
                buckets=list(zip(_LE, sums, strict=True)),
                sum_value=self._round_trip_seconds,
                unit='seconds',
            ),
            sweeps,
            core.CounterMetricFamily(
                _THROTTLED,
                "Time that the server's rate limit held sweeps back.",
                value=self._throttled,
                unit='seconds',
            ),
            core.GaugeMetricFamily(
                _LAST_DURATION,
                'How long the last sweep took, the listing included.',
                value=self._last_duration,
                unit='seconds',
            ),
            core.GaugeMetricFamily(
                _LAST_DONE,
                'When the last sweep ended that brought results.',
                value=self._last_done,
                unit='seconds',
            ),
            core.GaugeMetricFamily(
                _LAST_FAILED,
                'When the last sweep ended that failed.',
                value=self._last_failed,
                unit='seconds',
            ),
        ]
