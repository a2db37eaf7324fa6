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

"""The metrics of the last sweep, for Prometheus.

A scrape reads the metrics of the last sweep, and never causes a sweep. Alerts
and dashboards depend on the names of the metrics and of their labels: do not
change them. A label identifies a guest, or has one of a few known values. It
never has a text of a guest or a server, except for the name, which is cleaned.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from collections.abc import Mapping
import itertools
import os
import threading

from prometheus_client import CollectorRegistry
from prometheus_client import core
from prometheus_client import exposition
from prometheus_client.openmetrics import exposition as openmetrics

from troveclient_rpcping.inventory import Server
from troveclient_rpcping.outcomes.outcome import Findings
from troveclient_rpcping.outcomes.outcome import Outcome
from troveclient_rpcping.outcomes.outcome import Target
from troveclient_rpcping.prometheus import textfile
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict
from troveclient_rpcping.web import server

_CLASSIC = 'text/plain; version=0.0.4; charset=utf-8'
_OPENMETRICS = openmetrics.CONTENT_TYPE_LATEST

# An unknown guest has no value, because neither 0 nor 1 would be true.
_UP = {Verdict.REACHABLE: 1.0, Verdict.UNREACHABLE: 0.0, Verdict.ERROR: 0.0}


class Metrics:
    """The metrics of one command.

    One thread records the sweeps; any number of threads may read::

        metrics = Metrics()
        metrics.observe(findings, ended=time.time(), seconds=6.4,
                        throttled=0.0)
        with server.Server({'/metrics': metrics.page}, '127.0.0.1', 9877):
            ...

    :param labels: labels of every sample, to tell the metrics of several
        monitors apart; none of :data:`arguments.OWN_LABELS`.
    :param counters: whether there are counters among the metrics. In a process
        that sweeps once they would never grow.
    """

    def __init__(
        self,
        labels: Mapping[str, str] | None = None,
        *,
        counters: bool = True,
    ) -> None:
        self._labels = dict(labels or {})
        self._counters = _Counters() if counters else None
        self._last = _LastSweep()
        # The number of guests in the last good sweep; None before it.
        self._guests: float | None = None
        # One thread renders at a time.
        self._rendering = threading.Lock()
        # The library's own registry also has metrics of the process.
        self._registry = CollectorRegistry()
        self._publish()
        self._registry.register(self)

    def collect(self) -> Iterable[core.Metric]:
        """Return all metrics; the registry calls this to render them."""
        return self._families

    def page(self, accept: str = '') -> server.Answer:
        """Answer a scrape.

        Each sweep is rendered once in each format. With 10,000 guests that
        takes a second, and scrapes must not delay the next sweep.

        :param accept: the Accept header.
        """
        # Not choose_encoder() of the library: it copies a version out of the
        # Accept header, so the number of content types has no limit.
        wanted = 'application/openmetrics-text' in accept.lower()
        kind = _OPENMETRICS if wanted else _CLASSIC
        texts = self._texts
        with self._rendering:
            if kind not in texts:
                encoder = openmetrics if wanted else exposition
                texts[kind] = encoder.generate_latest(self._registry)
        return server.Answer(texts[kind], kind)

    def observe(
        self,
        findings: Findings,
        *,
        ended: float,
        seconds: float,
        throttled: float,
    ) -> None:
        """Record a sweep that brought results.

        :param findings: the outcomes of its guests.
        :param ended: when the sweep ended, in UNIX time.
        :param seconds: how long the listing and the pings took.
        :param throttled: for how many of these seconds the server's rate
            limit delayed the sweep.
        """
        summary = findings.summary
        self._guests = summary.guests
        self._last.done(ended, seconds)
        if self._counters:
            self._counters.done(summary.rtts, throttled)
        self._publish(
            _of_guests(findings.outcomes),
            _counts(summary.verdicts, summary.reasons),
        )

    def failed(self, *, ended: float, seconds: float) -> None:
        """Record a sweep without results: no login, or no listing.

        Then all guests of the last good sweep are unknown.

        :param ended: when the sweep ended, in UNIX time.
        :param seconds: how long it took.
        """
        self._last.failed(ended, seconds)
        if self._counters:
            self._counters.failed()
        self._publish()

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a file for the textfile collector of node_exporter.

        :param path: the file.
        :raises textfile.TextfileError: the file cannot be written.
        """
        textfile.write(path, self.page().body)

    def _publish(
        self,
        guests: list[core.Metric] | None = None,
        counts: list[core.Metric] | None = None,
    ) -> None:
        families = [
            *(guests or _of_guests([])),
            *(counts or _unknown(self._guests)),
            *self._last.families(),
            *(self._counters.families() if self._counters else ()),
        ]
        for family in families:
            family.samples = [
                sample._replace(labels={**self._labels, **sample.labels})
                for sample in family.samples
            ]
        # One assignment, so that a scrape never sees parts of two sweeps.
        self._families = families
        self._texts: dict[str, bytes] = {}


class _LastSweep:
    """The times of the last sweeps, and the duration of the last one."""

    def __init__(self) -> None:
        self._success: bool | None = None
        self._duration: float | None = None
        self._done: float | None = None
        self._failed: float | None = None

    def done(self, ended: float, seconds: float) -> None:
        self._success, self._done, self._duration = True, ended, seconds

    def failed(self, ended: float, seconds: float) -> None:
        self._success, self._failed, self._duration = False, ended, seconds

    def families(self) -> list[core.Metric]:
        """Return the gauges. A gauge without a value has no sample."""
        return [
            core.GaugeMetricFamily(
                'trove_guest_rpc_last_sweep_success',
                'Whether the last sweep brought results: 1 yes, 0 no (no '
                'login, or no listing).',
                value=self._success,
            ),
            core.GaugeMetricFamily(
                'trove_guest_rpc_last_sweep_duration_seconds',
                'How long the last sweep took, the listing included.',
                value=self._duration,
                unit='seconds',
            ),
            core.GaugeMetricFamily(
                'trove_guest_rpc_last_sweep_timestamp_seconds',
                'When the last sweep ended that brought results.',
                value=self._done,
                unit='seconds',
            ),
            core.GaugeMetricFamily(
                'trove_guest_rpc_last_failed_sweep_timestamp_seconds',
                'When the last sweep ended that failed.',
                value=self._failed,
                unit='seconds',
            ),
        ]


class _Counters:
    """Counters and a histogram, from 0 at the start of the process."""

    # Bounds in seconds. A healthy agent takes some 30 ms. By default Trove
    # waits 15 s for an agent, and the client waits 30 s.
    _BOUNDS = (
        *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075),
        *(0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
    )

    def __init__(self) -> None:
        self._sweeps = {'done': 0.0, 'failed': 0.0}
        self._throttled = 0.0
        # The number of round trips up to each bound and above the one before.
        self._round_trips = [0.0] * (len(self._BOUNDS) + 1)
        self._round_trip_seconds = 0.0

    def done(self, rtts: Iterable[float], throttled: float) -> None:
        self._sweeps['done'] += 1
        self._throttled += throttled
        for rtt in rtts:
            self._round_trips[bisect.bisect_left(self._BOUNDS, rtt)] += 1
            self._round_trip_seconds += rtt

    def failed(self) -> None:
        self._sweeps['failed'] += 1

    def families(self) -> list[core.Metric]:
        sweeps = core.CounterMetricFamily(
            'trove_guest_rpc_sweeps',
            'Sweeps, by outcome: done, or failed (without results).',
            labels=['outcome'],
        )
        for outcome, count in self._sweeps.items():
            sweeps.add_metric([outcome], count)
        bounds = [*map(str, self._BOUNDS), '+Inf']
        sums = itertools.accumulate(self._round_trips)
        return [
            core.HistogramMetricFamily(
                'trove_guest_rpc_round_trip_seconds',
                'Round-trip times of the reachable guests: from sending the '
                'request to the end of the reply.',
                buckets=list(zip(bounds, sums, strict=True)),
                sum_value=self._round_trip_seconds,
                unit='seconds',
            ),
            sweeps,
            core.CounterMetricFamily(
                'trove_guest_rpc_throttled_seconds',
                "Time for which the server's rate limit delayed sweeps.",
                value=self._throttled,
                unit='seconds',
            ),
        ]


def _of_guests(outcomes: Iterable[Outcome]) -> list[core.Metric]:
    up = core.GaugeMetricFamily(
        'trove_guest_rpc_up',
        'Whether Trove reached the agent in the guest: 1 yes, 0 no (it did '
        'not answer, or it failed the ping). Absent while that is unknown.',
        labels=['instance_id'],
    )
    bad = core.GaugeMetricFamily(
        'trove_guest_rpc_not_reachable',
        'A guest that the last sweep did not reach, with its verdict and the '
        'reason: always 1.',
        labels=['instance_id', 'verdict', 'reason'],
    )
    info = core.InfoMetricFamily(
        'trove_guest_rpc',
        'Names of a guest, its owner and its server, to join on instance_id. '
        'Tenants choose the names, and several guests may have the same.',
    )
    # Prometheus drops a whole scrape for a series that comes twice.
    guests = {
        each.target.instance_id: (each.target, each.result)
        for each in outcomes
        if each.target.instance_id is not None
    }
    for instance_id, (target, result) in guests.items():
        if result.verdict in _UP:
            up.add_metric([instance_id], _UP[result.verdict])
        if result.verdict is not Verdict.REACHABLE:
            reason = result.reason or ''
            bad.add_metric([instance_id, result.verdict, reason], 1)
        info.add_metric([], {'instance_id': instance_id, **_names(target)})
    return [up, bad, info]


def _names(target: Target) -> dict[str, str]:
    row = target.instance
    server = (row.server if row else None) or Server()
    return {
        'name': target.name or '',
        'project_id': (row.project_id if row else None) or '',
        'datastore': (row.datastore if row else None) or '',
        'host': server.host or '',
        'server_id': server.id or '',
        'server_status': server.status or '',
    }


def _unknown(guests: float | None) -> list[core.Metric]:
    """Return the counts while every guest is unknown.

    :param guests: the number of guests; None if it is unknown, too. Then there
        are no counts, because 0 would look like a cloud without guests.
    """
    if guests is None:
        return _counts(None, None)
    return _counts({Verdict.UNKNOWN: guests}, {Reason.NOT_ASKED: guests})


def _counts(
    by_verdict: Mapping[Verdict, float] | None,
    by_reason: Mapping[Reason, float] | None,
) -> list[core.Metric]:
    verdicts = core.GaugeMetricFamily(
        'trove_guest_rpc_guests',
        'Guests of the last sweep, by verdict. After a sweep that failed, '
        'those of the last good one, as unknown. Absent before the first.',
        labels=['verdict'],
    )
    if by_verdict is not None:
        for verdict in Verdict:
            verdicts.add_metric([verdict.value], by_verdict.get(verdict, 0))
    reasons = core.GaugeMetricFamily(
        'trove_guest_rpc_guests_by_reason',
        'Guests that the last sweep did not reach, by reason.',
        labels=['reason'],
    )
    if by_reason is not None:
        for reason in Reason:
            reasons.add_metric([reason.value], by_reason.get(reason, 0))
    return [verdicts, reasons]
