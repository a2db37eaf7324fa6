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

"""What the last sweep found, as metrics of Prometheus.

A scrape reads what the last sweep left here, and never causes one. The names
of the metrics and their labels are a contract: alerts and dashboards hold on
to them. Labels identify a guest or come from closed sets; no text of a server
or of a guest becomes one, but for the name, which is cleaned.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import math
import os
import threading

from prometheus_client import CollectorRegistry
from prometheus_client import core
from prometheus_client import exposition
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.samples import Sample

from troveclient_rpcping import plaintext
from troveclient_rpcping.cli import arguments
from troveclient_rpcping.inventory import Server
from troveclient_rpcping.outcomes.outcome import Findings
from troveclient_rpcping.outcomes.outcome import Summary
from troveclient_rpcping.outcomes.outcome import Target
from troveclient_rpcping.prometheus import textfile
from troveclient_rpcping.prometheus.totals import Totals
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict

# Not choose_encoder() of the library: newer ones put a version that they read
# in the Accept header into the content type, so that a scraper could make us
# render, and keep, any number of formats.
_CLASSIC = 'text/plain; version=0.0.4; charset=utf-8'
_OPENMETRICS = openmetrics.CONTENT_TYPE_LATEST
_ENCODERS: dict[str, Callable[[CollectorRegistry], bytes]] = {
    _CLASSIC: exposition.generate_latest,
    _OPENMETRICS: openmetrics.generate_latest,
}

_GUESTS = 'trove_guest_rpc_guests'

# What is unknown has no value: neither 0 nor 1 would be true.
_UP = {Verdict.REACHABLE: 1.0, Verdict.UNREACHABLE: 0.0, Verdict.ERROR: 0.0}


class Metrics:
    """The metrics of one monitor.

    One thread tells it of sweeps; any number of threads may render::

        metrics = Metrics()
        metrics.observe(findings, ended=time.time(), seconds=6.4,
                        throttled=0.0)
        text, content_type = metrics.render('')

    :param labels: labels of every sample, to tell the metrics of several
        monitors apart; none of :data:`arguments.OWN_LABELS`.
    """

    def __init__(self, labels: Mapping[str, str] | None = None) -> None:
        self._labels = dict(labels or {})
        self._totals = Totals()
        # How many guests the last good sweep asked about; None before it.
        self._guests: float | None = None
        self._page = _Page([])
        self._publish()

    def observe(
        self,
        findings: Findings,
        *,
        ended: float,
        seconds: float,
        throttled: float,
    ) -> None:
        """Take in a sweep that brought results, in place of the last one.

        :param findings: the outcomes of its guests.
        :param ended: when it ended, in UNIX time.
        :param seconds: how long the listing and the pings took.
        :param throttled: for how many of these seconds the server's rate
            limit held it back.
        """
        summary = findings.summary
        self._guests = summary.guests
        self._totals.done(summary.rtts, ended, seconds, throttled)
        self._publish(findings)

    def failed(self, *, ended: float, seconds: float) -> None:
        """Take in a sweep that brought nothing: no login, or no listing.

        The guests of the last good sweep are unknown then, all of them.

        :param ended: when it ended, in UNIX time.
        :param seconds: how long it took.
        """
        self._totals.failed(ended, seconds)
        self._publish()

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics as text, and its content type.

        Each format is rendered once a sweep at the most.

        :param accept: the Accept header of the scrape; empty if it has none.
        """
        return self._page.render(
            _OPENMETRICS
            if 'application/openmetrics-text' in accept.lower()
            else _CLASSIC
        )

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Carry on from a file that an earlier process wrote.

        The counters, the histogram and the times of the last sweeps go on, so
        that they mean the same for a monitor that is started anew, even for
        each sweep by cron. Of the guests only their number goes on: they are
        unknown until this process has asked them. A file that is missing,
        that cannot be read, or that has other labels than this monitor is
        none.

        :param path: the file.
        """
        samples = [
            sample
            for sample in textfile.read(path, (*Totals.names, f'{_GUESTS}{{'))
            if _labels_of_monitor(sample) == self._labels
        ]
        self._totals.resume(samples)
        counts = [each.value for each in samples if each.name == _GUESTS]
        if counts and min(counts) >= 0 and math.isfinite(sum(counts)):
            self._guests = sum(counts)
        self._publish()

    def check(self, path: str | os.PathLike[str]) -> None:
        """Look whether :meth:`write` can write a file.

        :param path: the file.
        :raises OSError: it cannot; says in one line why.
        """
        textfile.check(path)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a file for the textfile collector of node_exporter.

        A reader sees the old file or the new one, never a part of it.

        :param path: the file; its name must end in ``.prom``, or
            node_exporter will not read it.
        :raises OSError: it cannot be written; says in one line why.
        """
        text, _ = self._page.render(_CLASSIC)
        textfile.write(path, text)

    def _publish(self, findings: Findings | None = None) -> None:
        summary = findings.summary if findings else None
        page = _Page(
            [
                *_of_guests(findings),
                *(_of_fleet(summary) if summary else _unknown(self._guests)),
                *self._totals.families(),
            ],
            self._labels,
        )
        # Rendering 10,000 guests takes longer than a scrape should: it is
        # done here, for the formats in use, while scrapes get the old page.
        for content_type in self._page.formats():
            page.render(content_type)
        self._page = page


class _Page:
    """The metrics as of one moment."""

    def __init__(
        self,
        families: Iterable[core.Metric],
        labels: Mapping[str, str] | None = None,
    ):
        self._families = list(families)
        for family in self._families:
            family.samples = [
                sample._replace(labels={**(labels or {}), **sample.labels})
                for sample in family.samples
            ]
        # One of our own: the default one tells of this process and Python.
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._lock = threading.Lock()
        self._texts: dict[str, bytes] = {}

    def collect(self) -> Iterable[core.Metric]:
        """Return all of them: what a registry asks a collector for."""
        return self._families

    def formats(self) -> list[str]:
        """Return the content types of what was rendered."""
        with self._lock:
            return list(self._texts)

    def render(self, content_type: str) -> tuple[bytes, str]:
        """Return the text in a format, and its content type."""
        with self._lock:
            text = self._texts.get(content_type)
            if text is None:
                text = _ENCODERS[content_type](self._registry)
                self._texts[content_type] = text
        return text, content_type


def _of_guests(findings: Findings | None) -> list[core.Metric]:
    up = core.GaugeMetricFamily(
        'trove_guest_rpc_up',
        'Whether Trove reached the agent in the guest: 1 yes, 0 no (it did '
        'not answer, or it failed the ping). Absent while that is unknown.',
        labels=['instance_id'],
    )
    down = core.GaugeMetricFamily(
        'trove_guest_rpc_not_reachable',
        'A guest that the last sweep did not reach, with its verdict and the '
        'reason: always 1.',
        labels=['instance_id', 'verdict', 'reason'],
    )
    info = core.InfoMetricFamily(
        'trove_guest_rpc',
        'What a guest is called and belongs to, to join on its instance_id. '
        'Names are chosen by tenants, and several guests may bear one.',
    )
    # A series that comes twice would spoil the whole scrape.
    guests = {
        _label(each.target.instance_id): (each.target, each.result)
        for each in (findings.outcomes if findings else ())
        if each.target.instance_id is not None
    }
    for instance_id, (target, result) in guests.items():
        if result.verdict in _UP:
            up.add_metric([instance_id], _UP[result.verdict])
        if result.verdict is not Verdict.REACHABLE:
            reason = result.reason or ''
            down.add_metric([instance_id, result.verdict, reason], 1)
        info.add_metric([], {'instance_id': instance_id, **_names(target)})
    return [up, down, info]


def _names(target: Target) -> dict[str, str]:
    row = target.instance
    server = (row.server if row else None) or Server()
    return {
        'name': _label(target.name),
        'project_id': _label(row.project_id if row else None),
        'datastore': _label(row.datastore if row else None),
        'host': _label(server.host),
        'server_id': _label(server.id),
        'server_status': _label(server.status),
    }


def _labels_of_monitor(sample: Sample) -> dict[str, str]:
    return {
        name: value
        for name, value in sample.labels.items()
        if name not in arguments.OWN_LABELS
    }


def _label(text: str | None) -> str:
    return plaintext.one_line(text or '')


def _of_fleet(summary: Summary) -> list[core.Metric]:
    return _counts(summary.verdicts, summary.reasons)


def _unknown(guests: float | None) -> list[core.Metric]:
    """Return the counts while nothing is known of any guest.

    :param guests: how many there are; None: not even that is known. All 0
        would look like a cloud without guests.
    """
    if guests is None:
        return _counts(None, None)
    return _counts({Verdict.UNKNOWN: guests}, {Reason.NOT_ASKED: guests})


def _counts(
    by_verdict: Mapping[Verdict, float] | None,
    by_reason: Mapping[Reason, float] | None,
) -> list[core.Metric]:
    verdicts = core.GaugeMetricFamily(
        _GUESTS,
        'Guests of the last sweep, by verdict. After a sweep that failed, '
        'those of the last good one, as unknown. Absent before the first.',
        labels=['verdict'],
    )
    if by_verdict is not None:
        for verdict in Verdict:
            verdicts.add_metric([verdict.value], by_verdict.get(verdict, 0))
    reasons = core.GaugeMetricFamily(
        f'{_GUESTS}_by_reason',
        'Guests that the last sweep did not reach, by reason.',
        labels=['reason'],
    )
    if by_reason is not None:
        for reason in Reason:
            reasons.add_metric([reason.value], by_reason.get(reason, 0))
    return [verdicts, reasons]
