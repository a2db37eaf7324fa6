# SPDX-License-Identifier: Apache-2.0

"""The metrics of the last sweep, for Prometheus.

A scrape reads the metrics of the last sweep, and never causes a sweep. Alerts
and dashboards depend on the names of the metrics and of their labels: do not
change them. A label identifies a guest, or has one of a few known values. It
never has a text of a guest or a server, except for the name, which is cleaned.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable
from collections.abc import Mapping
import contextlib
import itertools
import os
import pathlib
import stat
import tempfile
import threading

import prometheus_client
from prometheus_client import core
from prometheus_client import exposition
from prometheus_client.openmetrics import exposition as openmetrics

from troveclient_rpcping import inventory
from troveclient_rpcping import plaintext
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.web import server as web_server

_CLASSIC = 'text/plain; version=0.0.4; charset=utf-8'

# An unknown guest has no value, because neither 0 nor 1 would be true.
_UP = {
    verdicts.Verdict.REACHABLE: 1,
    verdicts.Verdict.UNREACHABLE: 0,
    verdicts.Verdict.ERROR: 0,
}

# The times of the last sweeps, and the help text of each.
_LAST_SWEEPS = {
    'last_sweep_success': (
        'Whether the last sweep brought results: 1 yes, 0 no (no login, or no '
        'listing).'
    ),
    'last_sweep_duration_seconds': (
        'How long the last sweep took, the listing included.'
    ),
    'last_sweep_timestamp_seconds': (
        'When the last sweep ended that brought results.'
    ),
    'last_failed_sweep_timestamp_seconds': (
        'When the last sweep ended that failed.'
    ),
}

# The bounds of the buckets, in seconds. A healthy agent takes some 30 ms. By
# default Trove waits 15 s for an agent, and the client waits 30 s.
_BOUNDS = (
    *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
)

# node_exporter may run as another user, and this process under a strict umask.
_MODE = 0o644


class Metrics:
    """The metrics of one command.

    One thread records the sweeps; any number of threads may read.

    :param labels: labels of every sample, to tell the metrics of several
        monitors apart; none of ``cli.arguments.OWN_LABELS``.
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
        self._round_trips = prometheus_client.Histogram(
            'trove_guest_rpc_round_trip_seconds',
            'Round-trip times of the reachable guests: from sending the '
            'request to the end of the reply.',
            buckets=_BOUNDS,
            unit='seconds',
            registry=None,
        )
        self._sweeps = prometheus_client.Counter(
            'trove_guest_rpc_sweeps',
            'Sweeps, by outcome: done, or failed (without results).',
            ['outcome'],
            registry=None,
        )
        for outcome in ('done', 'failed'):
            self._sweeps.labels(outcome)
        self._throttled = prometheus_client.Counter(
            'trove_guest_rpc_throttled_seconds',
            "Time for which the server's rate limit delayed sweeps.",
            unit='seconds',
            registry=None,
        )
        counted = (self._round_trips, self._sweeps, self._throttled)
        self._counters = counted if counters else ()
        # A time without a value has no sample.
        self._last: dict[str, float] = {}
        # None before the first good sweep: 0 would look like a cloud without
        # guests.
        self._summary: outcomes.Summary | None = None
        # One thread renders at a time.
        self._rendering = threading.Lock()
        self._publish([])

    def collect(self) -> Iterable[core.Metric]:
        """Return all metrics; the library calls this to render them."""
        return self._families

    def page(self, accept: str = '') -> web_server.Answer:
        """Answer a scrape, given its Accept header.

        Each sweep is rendered once in each format. With 10,000 guests that
        takes some tenths of a second, and scrapes must not delay the sweep.
        """
        # Not choose_encoder() of the library: it copies a version out of the
        # Accept header, so the number of content types has no limit.
        wanted = 'application/openmetrics-text' in accept.lower()
        kind = openmetrics.CONTENT_TYPE_LATEST if wanted else _CLASSIC
        texts = self._texts
        with self._rendering:
            if kind not in texts:
                encoder = openmetrics if wanted else exposition
                texts[kind] = encoder.generate_latest(self)
        return web_server.Answer(texts[kind], kind)

    def observe(
        self,
        findings: outcomes.Findings,
        *,
        ended: float,
        seconds: float,
        throttled: float,
    ) -> None:
        """Record a sweep that brought results.

        :param ended: when the sweep ended, in UNIX time.
        :param seconds: how long the listing and the pings took.
        :param throttled: for how many of these seconds the server's rate
            limit delayed the sweep.
        """
        self._summary = findings.summary
        self._last |= {
            'last_sweep_success': 1,
            'last_sweep_duration_seconds': seconds,
            'last_sweep_timestamp_seconds': ended,
        }
        self._sweeps.labels('done').inc()
        self._throttled.inc(throttled)
        for rtt in findings.summary.rtts:
            self._round_trips.observe(rtt)
        self._publish(findings.outcomes)

    def failed(self, *, ended: float, seconds: float) -> None:
        """Record a sweep without results: no login, or no listing.

        Then all guests of the last good sweep are unknown.
        """
        self._last |= {
            'last_sweep_success': 0,
            'last_sweep_duration_seconds': seconds,
            'last_failed_sweep_timestamp_seconds': ended,
        }
        if self._summary is not None:
            guests = self._summary.guests
            self._summary = outcomes.Summary(
                collections.Counter({verdicts.Verdict.UNKNOWN: guests}),
                collections.Counter({verdicts.Reason.NOT_ASKED: guests}),
                (),
            )
        self._sweeps.labels('failed').inc()
        self._publish([])

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file for node_exporter: see :func:`write_textfile`."""
        write_textfile(path, self.page().body)

    def _publish(self, guests: Iterable[outcomes.Outcome]) -> None:
        families = [
            *_of_guests(guests),
            *_of_sweep(self._summary, self._last),
            *itertools.chain(*(each.collect() for each in self._counters)),
        ]
        for family in families:
            family.samples = [
                sample._replace(labels={**self._labels, **sample.labels})
                for sample in family.samples
                # The library adds the start of each counter.
                if not sample.name.endswith('_created')
            ]
        # One assignment, so that a scrape never sees parts of two sweeps.
        self._families = families
        self._texts: dict[str, bytes] = {}


def _of_guests(guests: Iterable[outcomes.Outcome]) -> list[core.Metric]:
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
    by_id = {each.target.instance_id: each for each in guests}
    for id_, outcome in by_id.items():
        if id_ is None:
            continue
        verdict = outcome.result.verdict
        if verdict in _UP:
            up.add_metric([id_], _UP[verdict])
        if verdict is not verdicts.Verdict.REACHABLE:
            bad.add_metric([id_, verdict, outcome.result.reason or ''], 1)
        row = outcome.target.instance or inventory.Instance('')
        nova = row.server or inventory.Server()
        names = {
            'instance_id': id_,
            'name': outcome.target.name or '',
            'project_id': row.project_id or '',
            'datastore': row.datastore or '',
            'host': nova.host or '',
            'server_id': nova.id or '',
            'server_status': nova.status or '',
        }
        info.add_metric([], names)
    return [up, bad, info]


def _of_sweep(
    summary: outcomes.Summary | None, last: Mapping[str, float]
) -> list[core.Metric]:
    guests = core.GaugeMetricFamily(
        'trove_guest_rpc_guests',
        'Guests of the last sweep, by verdict. After a sweep that failed, '
        'those of the last good one, as unknown. Absent before the first.',
        labels=['verdict'],
    )
    reasons = core.GaugeMetricFamily(
        'trove_guest_rpc_guests_by_reason',
        'Guests that the last sweep did not reach, by reason.',
        labels=['reason'],
    )
    if summary is not None:
        for verdict in verdicts.Verdict:
            guests.add_metric([verdict], summary.by_verdict[verdict])
        for reason in verdicts.Reason:
            reasons.add_metric([reason], summary.by_reason[reason])
    times = [
        core.GaugeMetricFamily(
            f'trove_guest_rpc_{name}',
            text,
            value=last.get(name),
            unit='seconds' if name.endswith('_seconds') else '',
        )
        for name, text in _LAST_SWEEPS.items()
    ]
    return [guests, reasons, *times]


def write_textfile(
    path: str | os.PathLike[str], text: bytes | None = None
) -> None:
    """Write a file for the textfile collector of node_exporter.

    A reader sees the old file or the new one, never a part.
    ``prometheus_client.write_to_textfile`` replaces devices, and leaves the
    mode to the umask. If it is interrupted, its temporary file stays.

    :param text: its content; None only finds out whether it can be written.
    :raises OSError: it cannot be written; says in one line why.
    """
    target = pathlib.Path(path)
    try:
        _refuse_to_replace(target)
        # The collector reads each *.prom, so this name has another end.
        descriptor, temporary = tempfile.mkstemp(
            prefix=f'.{target.name}.', dir=target.parent
        )
        try:
            with open(descriptor, 'wb') as stream:
                os.fchmod(descriptor, _MODE)
                stream.write(text or b'')
            if text is not None:
                os.replace(temporary, target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    except OSError as error:
        shown = plaintext.one_line(str(target))
        why = plaintext.one_line(error.strerror or str(error))
        raise OSError(f'Cannot write {shown}: {why}') from error


def _refuse_to_replace(target: pathlib.Path) -> None:
    """Refuse all but a regular file: root would replace even /dev/stdout."""
    if target.is_symlink():
        raise OSError('it is a link: give the path of the file itself')
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(target.lstat().st_mode):
            raise OSError('not a regular file')
