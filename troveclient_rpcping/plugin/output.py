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

"""What a monitoring plugin says: its state, its line, its performance data.

By the guidelines of the monitoring plugins
(https://www.monitoring-plugins.org/doc/guidelines.html). Names and texts that
tenants, guests and servers wrote stand in none of it but as clean text: a
line break would forge a line, a pipe performance data.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
import dataclasses

from troveclient_rpcping import durations
from troveclient_rpcping import plaintext
from troveclient_rpcping.cli.targets import Target
from troveclient_rpcping.outcomes.summary import PERCENTILES
from troveclient_rpcping.outcomes.summary import Summary
from troveclient_rpcping.plugin.thresholds import State
from troveclient_rpcping.plugin.thresholds import Thresholds
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict

_SERVICE = 'TROVE GUEST RPC'

# How much of a sentence stands in the first line, in characters. NRPE of old
# hands 1 KiB on in all, and the performance data come last.
_SENTENCE_LIMIT = 400

_BAD = (Verdict.UNREACHABLE, Verdict.ERROR)

# From which level of -v on a guest has a line of its own.
_SHOWN_FROM = {
    Verdict.UNREACHABLE: 1,
    Verdict.ERROR: 1,
    Verdict.UNKNOWN: 2,
    Verdict.REACHABLE: 3,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What the plugin says of the guests that it asked for.

    :param asked: what was asked for.
    :param results: what came of it, in the same order.
    :param thresholds: what makes a state of it.
    :param seconds: how long the plugin took, in all.
    """

    asked: Sequence[Target]
    results: Sequence[PingResult]
    thresholds: Thresholds
    seconds: float

    @property
    def _summary(self) -> Summary:
        return Summary.of(self.results)

    @property
    def _bad(self) -> int:
        return sum(self._summary.verdicts[verdict] for verdict in _BAD)

    @property
    def state(self) -> State:
        """The state of the service.

        Guests that are known to be bad outweigh any number of unknown ones,
        if there are enough of them to be critical. A warning would also say
        that it is no worse, so it does not.
        """
        summary = self._summary
        bad = self._bad
        unknown = summary.verdicts[Verdict.UNKNOWN]
        if self.thresholds.critical.alerts(bad):
            return State.CRITICAL
        if (
            unknown >= self.thresholds.unknown
            # Who puts up with unknown guests puts up with those that gave no
            # answer, not with a check that was not made, or that knows
            # nothing at all.
            or summary.reasons[Reason.NOT_ASKED]
            or unknown == summary.guests
        ):
            return State.UNKNOWN
        warning = self.thresholds.warning
        if warning is not None and warning.alerts(bad):
            return State.WARNING
        return State.OK

    @property
    def sentence(self) -> str:
        """How many guests are how, and why."""
        verdicts = self._summary.verdicts
        said = (
            f'{verdicts[Verdict.REACHABLE]} of {len(self.results)} guests '
            'reachable'
        )
        for name, among in (('bad', _BAD), ('unknown', (Verdict.UNKNOWN,))):
            some = [
                result for result in self.results if result.verdict in among
            ]
            if some:
                said += f', {len(some)} {name} ({_reasons(some)})'
        said += self._why_unknown()
        mistake = self.thresholds.mistake
        return f'{said}; {mistake}' if mistake else said

    def _why_unknown(self) -> str:
        """One of the texts, for those unknown guests that count."""
        if self.state is not State.UNKNOWN:
            return ''
        unknown = [
            result
            for result in self.results
            if result.verdict is Verdict.UNKNOWN
        ]
        # Why the pings ended early is what all the rest follows from.
        unknown.sort(key=lambda result: result.reason is not Reason.NOT_ASKED)
        return f': {unknown[0].detail}'

    @property
    def performance(self) -> str:
        """The performance data: counts of guests, and durations."""
        summary, thresholds = self._summary, self.thresholds
        warning = thresholds.warning.text if thresholds.warning else ''
        counts = {
            'bad': self._bad,
            **{
                verdict.value: summary.verdicts[verdict]
                for verdict in reversed(Verdict)
            },
        }
        data = []
        for label, count in counts.items():
            limits = ';'
            if label == 'bad':
                limits = f'{warning};{thresholds.critical.text}'
            data.append(f'{label}={count};{limits};0;{summary.guests}')
        if summary.rtts:
            data += [
                f'rtt_{label}={summary.percentile(percent):.6f}s;;;0'
                for label, percent in PERCENTILES
            ]
        data.append(f'duration={self.seconds:.3f}s;;;0')
        return ' '.join(data)

    def guests(self, verbosity: int) -> list[str]:
        """Return a line for each guest that is worth one.

        :param verbosity: how many times -v was given: the bad guests from 1
            on, the unknown ones from 2 on, all from 3 on.
        """
        return [
            _guest(target, result)
            for target, result in zip(self.asked, self.results, strict=True)
            if verbosity >= _SHOWN_FROM[result.verdict]
        ]


def first_line(state: State, sentence: str, performance: str = '') -> str:
    """Return the line that the monitoring system shows.

    :param state: the state.
    :param sentence: why. Cleaned here.
    :param performance: the performance data, if there are any.
    """
    said = f'{_SERVICE} {state.name} - {clean(sentence, _SENTENCE_LIMIT)}'
    return f'{said} | {performance}' if performance else said


def clean(text: str, limit: int = plaintext.LINE_LIMIT) -> str:
    """Return *text* as one clean line without performance data.

    :param limit: the longest line to return, in characters.
    """
    return _without_pipe(plaintext.one_line(text, limit))


def _without_pipe(text: str) -> str:
    # Performance data stand behind one.
    return text.replace('|', '¦')


def _reasons(results: Sequence[PingResult]) -> str:
    counts = collections.Counter(
        result.reason for result in results if result.reason
    )
    return ', '.join(
        f'{count} {reason}' for reason, count in counts.most_common()
    )


def _guest(target: Target, result: PingResult) -> str:
    # The ID comes first, and the name last, in quotes: a tenant chose it.
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
