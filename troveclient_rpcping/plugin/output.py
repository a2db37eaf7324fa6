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

"""The output of a monitoring plugin: state, line and performance data.

By the guidelines of the monitoring plugins
(https://www.monitoring-plugins.org/doc/guidelines.html). Tenants, guests and
servers wrote the names and texts, so these are cleaned: a line break would
forge a line, and a pipe would forge performance data.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

from troveclient_rpcping import durations
from troveclient_rpcping import plaintext
from troveclient_rpcping.outcomes.outcome import Findings
from troveclient_rpcping.outcomes.outcome import Outcome
from troveclient_rpcping.outcomes.outcome import PERCENTILES
from troveclient_rpcping.plugin.thresholds import State
from troveclient_rpcping.plugin.thresholds import Thresholds
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict

_SERVICE = 'TROVE GUEST RPC'

# The longest sentence in the first line, in characters. An old NRPE passes on
# 1 KiB in all, and the performance data come last.
_SENTENCE_LIMIT = 400

_BAD = (Verdict.UNREACHABLE, Verdict.ERROR)

# From this level of -v on a guest has a line of its own.
_SHOWN_FROM = {
    Verdict.UNREACHABLE: 1,
    Verdict.ERROR: 1,
    Verdict.UNKNOWN: 2,
    Verdict.REACHABLE: 3,
}


class Report:
    """What the plugin reports about the guests.

    :param findings: their outcomes.
    :param thresholds: the thresholds of the states.
    :param seconds: how long the plugin took, in all.
    """

    def __init__(
        self, findings: Findings, thresholds: Thresholds, seconds: float
    ):
        self._findings = findings
        self._summary = findings.summary
        self._results = [each.result for each in findings.outcomes]
        self._thresholds = thresholds
        self._seconds = seconds
        #: The state of the service.
        self.state = self._state()

    def _state(self) -> State:
        """Return the state of the service.

        Enough bad guests for CRITICAL outweigh any number of unknown guests.
        A WARNING does not: it would also say that nothing is worse.
        """
        warning, critical = self._thresholds.warning, self._thresholds.critical
        bad = self._summary.bad
        if critical.alerts(bad):
            return State.CRITICAL
        if self._is_unknown():
            return State.UNKNOWN
        if warning is not None and warning.alerts(bad):
            return State.WARNING
        return State.OK

    def _is_unknown(self) -> bool:
        """Whether too little is known.

        A threshold for unknown guests tolerates guests without an answer. It
        does not tolerate a check that ended early, or that learnt nothing. It
        does not count guests whose server is off.
        """
        unknown = self._summary.verdicts[Verdict.UNKNOWN]
        off = self._summary.reasons[Reason.SERVER_OFF]
        return (
            unknown - off >= self._thresholds.unknown
            or self._summary.reasons[Reason.NOT_ASKED] > 0
            or unknown == self._summary.guests
        )

    @property
    def sentence(self) -> str:
        """How many guests have which verdict, and why."""
        reachable = self._summary.verdicts[Verdict.REACHABLE]
        said = f'{reachable} of {self._summary.guests} guests reachable'
        for name, among in (('bad', _BAD), ('unknown', (Verdict.UNKNOWN,))):
            some = [each for each in self._results if each.verdict in among]
            if some:
                said += f', {len(some)} {name} ({_reasons(some)})'
        said += self._why_unknown()
        mistake = self._thresholds.mistake
        return f'{said}; {mistake}' if mistake else said

    def _why_unknown(self) -> str:
        """Return the text of one unknown guest if they make the state."""
        if self.state is not State.UNKNOWN:
            return ''
        unknown = [
            each for each in self._results if each.verdict is Verdict.UNKNOWN
        ]
        # Everything else follows from an early end.
        unknown.sort(key=lambda result: result.reason is not Reason.NOT_ASKED)
        return f': {unknown[0].detail}'

    @property
    def performance(self) -> str:
        """The performance data: counts of guests, and durations."""
        summary, thresholds = self._summary, self._thresholds
        warning = thresholds.warning.text if thresholds.warning else ''
        limits = f'{warning};{thresholds.critical.text}'
        data = [f'bad={summary.bad};{limits};0;{summary.guests}']
        data += [
            f'{verdict}={summary.verdicts[verdict]};;;0;{summary.guests}'
            for verdict in reversed(Verdict)
        ]
        if summary.rtts:
            data += [
                f'rtt_{label}={summary.percentile(percent):.6f}s;;;0'
                for label, percent in PERCENTILES
            ]
        data.append(f'duration={self._seconds:.3f}s;;;0')
        return ' '.join(data)

    def guests(self, verbosity: int) -> list[str]:
        """Return a line for each guest at this verbosity.

        :param verbosity: how many times -v was given: the bad guests from 1
            on, the unknown guests from 2 on, all from 3 on.
        """
        return [
            _guest(each)
            for each in self._findings.outcomes
            if verbosity >= _SHOWN_FROM[each.result.verdict]
        ]


def first_line(state: State, sentence: str, performance: str = '') -> str:
    """Return the line that the monitoring system shows.

    :param state: the state.
    :param sentence: why; cleaned here.
    :param performance: the performance data; empty for none.
    """
    said = f'{_SERVICE} {state.name} - {clean(sentence, _SENTENCE_LIMIT)}'
    return f'{said} | {performance}' if performance else said


def clean(text: str, limit: int = plaintext.LINE_LIMIT) -> str:
    """Return *text* as one clean line that has no pipe.

    :param limit: the longest line to return, in characters.
    """
    return _without_pipe(plaintext.one_line(text, limit))


def _without_pipe(text: str) -> str:
    # Performance data follow a pipe.
    return text.replace('|', '¦')


def _reasons(results: Sequence[PingResult]) -> str:
    counts = collections.Counter(
        result.reason for result in results if result.reason
    )
    return ', '.join(
        f'{count} {reason}' for reason, count in counts.most_common()
    )


def _guest(outcome: Outcome) -> str:
    target, result = outcome.target, outcome.result
    # The ID comes first. The name comes last and in quotes, since a tenant
    # chose it.
    id_ = plaintext.word(target.instance_id) if target.instance_id else '-'
    said = f'{id_} {result.verdict}'
    if result.reason is not None:
        said += f': {result.reason}: {plaintext.quoted(result.detail)}'
    elif result.rtt is not None:
        said += f': {durations.human(result.rtt)}'
    if result.request_id and result.reason is not None:
        said += f' (request ID {plaintext.word(result.request_id)})'
    if target.name:
        said += f' {plaintext.quoted(target.name)}'
    return _without_pipe(said)
