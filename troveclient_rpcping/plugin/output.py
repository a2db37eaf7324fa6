# SPDX-License-Identifier: Apache-2.0

"""The text that the plugin prints: state, sentence and performance data.

The text follows the guidelines of the monitoring plugins
(https://www.monitoring-plugins.org/doc/guidelines.html). A line break in a
name would forge a line, and a pipe would forge performance data. So every text
of a tenant, a guest or a server is cleaned here.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
import dataclasses

from troveclient_rpcping import durations
from troveclient_rpcping import plaintext
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.plugin import thresholds

_SERVICE = 'TROVE GUEST RPC'

# The longest sentence in the first line, in characters. Old releases of NRPE
# cut the output at 1 KiB, and the performance data come last.
_SENTENCE_LIMIT = 400

# The percentile of the round-trip times that has thresholds.
_WATCHED = 'p95'

# The least number of -v with which a guest has a line of its own.
_SHOWN_FROM = {
    verdicts.Verdict.UNREACHABLE: 1,
    verdicts.Verdict.ERROR: 1,
    verdicts.Verdict.UNKNOWN: 2,
    verdicts.Verdict.REACHABLE: 3,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """The report on the guests of a check that took *seconds* in all."""

    findings: outcomes.Findings
    limits: thresholds.Thresholds
    seconds: float

    @property
    def state(self) -> thresholds.State:
        """The state of the service.

        If enough guests are known to be bad, the state is CRITICAL, however
        many others are unknown. UNKNOWN outranks WARNING, because WARNING
        would say that the state is not CRITICAL.
        """
        limits = self.limits
        if self._is_bad(limits.critical) or self._is_slow(limits.rtt_critical):
            return thresholds.State.CRITICAL
        if self._is_unknown:
            return thresholds.State.UNKNOWN
        if self._is_bad(limits.warning) or self._is_slow(limits.rtt_warning):
            return thresholds.State.WARNING
        return thresholds.State.OK

    @property
    def sentence(self) -> str:
        """The number of guests with each verdict, and the reasons."""
        reachable = self._summary.by_verdict[verdicts.Verdict.REACHABLE]
        said = f'{reachable} of {self._summary.guests} guests reachable'
        unknown = self._with(verdicts.Verdict.UNKNOWN)
        for name, some in (
            ('bad', self._with(*outcomes.BAD)),
            ('unknown', unknown),
        ):
            if some:
                said += f', {len(some)} {name} ({_reasons(some)})'
        if self.state is thresholds.State.UNKNOWN:
            # The reason why the pings ended early explains the other details.
            first = min(
                unknown,
                key=lambda each: each.reason is not verdicts.Reason.NOT_ASKED,
            )
            said += f': {first.detail}'
        return '; '.join([said, *self._why_slow(), *self.limits.mistakes])

    @property
    def performance(self) -> str:
        """The performance data: counts of guests, and durations."""
        summary, limits = self._summary, self.limits
        # A threshold has the unit of its value, so not percent.
        warning, critical = map(self._of, (limits.warning, limits.critical))
        data = [f'bad={summary.bad};{warning};{critical};0;{summary.guests}']
        data += [
            f'{verdict}={summary.by_verdict[verdict]};;;0;{summary.guests}'
            for verdict in reversed(verdicts.Verdict)
        ]
        for label, percent in outcomes.PERCENTILES if summary.rtts else ():
            ends = ';'
            if label == _WATCHED:
                ends = f'{limits.rtt_warning};{limits.rtt_critical}'
            seconds = summary.percentile(percent)
            data.append(f'rtt_{label}={seconds:.6f}s;{ends};0')
        data.append(f'duration={self.seconds:.3f}s;;;0')
        return ' '.join(data)

    def guests(self, verbosity: int) -> list[str]:
        """Return a line for each guest that this number of -v shows."""
        return [
            _guest(each)
            for each in self.findings.outcomes
            if verbosity >= _SHOWN_FROM[each.result.verdict]
        ]

    @property
    def _summary(self) -> outcomes.Summary:
        return self.findings.summary

    def _with(self, *wanted: verdicts.Verdict) -> list[verdicts.PingResult]:
        """Return the results with these verdicts."""
        return [
            each.result
            for each in self.findings.outcomes
            if each.result.verdict in wanted
        ]

    @property
    def _rtt(self) -> float:
        """The watched round-trip time of a check with a reachable guest."""
        return self._summary.percentile(dict(outcomes.PERCENTILES)[_WATCHED])

    def _of(self, threshold: thresholds.Range) -> thresholds.Range:
        """Return a threshold in numbers of guests."""
        return threshold.of(self._summary.guests)

    def _is_bad(self, threshold: thresholds.Range) -> bool:
        return self._of(threshold).alerts(self._summary.bad)

    def _is_slow(self, threshold: thresholds.Range) -> bool:
        return bool(self._summary.rtts) and threshold.alerts(self._rtt)

    @property
    def _is_unknown(self) -> bool:
        summary = self._summary
        unknown = summary.by_verdict[verdicts.Verdict.UNKNOWN]
        off = summary.by_reason[verdicts.Reason.SERVER_OFF]
        return (
            self._of(self.limits.unknown).alerts(unknown - off)
            # Some unknown guests may be tolerable. But a check that did not
            # ask a guest, or that knows nothing about any guest, has failed.
            or summary.by_reason[verdicts.Reason.NOT_ASKED] > 0
            or unknown == summary.guests
        )

    def _why_slow(self) -> list[str]:
        """Return which threshold the round-trip times reach, if any."""
        for option, threshold in (
            ('--rtt-critical', self.limits.rtt_critical),
            ('--rtt-warning', self.limits.rtt_warning),
        ):
            if self._is_slow(threshold):
                shown = durations.human(self._rtt)
                return [f'RTT {_WATCHED} {shown} ({option} {threshold.text})']
        return []


def first_line(
    state: thresholds.State, sentence: str, performance: str = ''
) -> str:
    """Return the line that the monitoring system shows.

    :param sentence: the reason for the state. It is cleaned here.
    """
    said = f'{_SERVICE} {state.name} - {clean(sentence, _SENTENCE_LIMIT)}'
    return f'{said} | {performance}' if performance else said


def clean(text: str, limit: int = plaintext.LINE_LIMIT) -> str:
    """Return *text* as one clean line of at most *limit* characters."""
    return _without_pipe(plaintext.one_line(text, limit))


def _without_pipe(text: str) -> str:
    # Performance data begin behind a pipe.
    return text.replace('|', '¦')


def _reasons(results: Sequence[verdicts.PingResult]) -> str:
    counts = collections.Counter(
        result.reason for result in results if result.reason
    )
    return ', '.join(
        f'{count} {reason}' for reason, count in counts.most_common()
    )


def _guest(outcome: outcomes.Outcome) -> str:
    target, result = outcome.target, outcome.result
    # The name comes last, and in quotes, because a tenant chose it.
    id_ = plaintext.word(target.instance_id) if target.instance_id else '-'
    said = f'{id_} {result.verdict}'
    if result.reason is not None:
        said += f': {result.reason}: {plaintext.quoted(result.detail)}'
        if result.request_id:
            said += f' (request ID {plaintext.word(result.request_id)})'
    elif result.rtt is not None:
        said += f': {durations.human(result.rtt)}'
    if target.name:
        said += f' {plaintext.quoted(target.name)}'
    return _without_pipe(said)
