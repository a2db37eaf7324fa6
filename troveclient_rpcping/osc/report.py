# SPDX-License-Identifier: Apache-2.0

"""The sentences on stderr: what the outcomes of a sweep mean for people."""

from __future__ import annotations

from collections.abc import Sequence

from troveclient_rpcping import durations
from troveclient_rpcping import plaintext
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.cli import advice
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.outcomes import shared

_DEAF = (
    'It is ACTIVE, and its last heartbeat was {age} old when Trove listed it: '
    'look at the agent, and at its queue on the message bus, before the '
    'server.'
)
_ALL_DEAF = (
    '{count} of {guests}: unreachable, though ACTIVE, and with a last '
    'heartbeat that was at most {age} old when Trove listed them: look at the '
    'agents, and at their queues on the message bus, before the servers.'
)


def counts(summary: outcomes.Summary) -> str:
    """Return the number of guests for each verdict."""
    words = ', '.join(f'{summary.by_verdict[v]} {v}' for v in verdicts.Verdict)
    return f'{outcomes.guests_in_words(summary.guests)}: {words}'


def detail(outcome: outcomes.Outcome) -> str:
    """Return why a guest is not reachable, and how many pings were lost."""
    series = outcome.series
    missed = '' if series.is_awaited else _missed(series)
    return ': '.join(filter(None, (missed, outcome.result.detail)))


def conclusions(findings: outcomes.Findings, seconds: float) -> list[str]:
    """Say what the outcomes of a sweep mean."""
    guests = findings.outcomes
    if not guests:
        return ['The file names no instance: nothing was pinged.']
    if len(guests) > 1:
        return [
            summary_line(findings.summary, seconds),
            *loss(guests),
            *pattern(findings),
        ]
    (outcome,) = guests
    if not outcome.result.ok:
        return [sentence(outcome)]
    if outcome.series.is_awaited:
        after = durations.human(seconds)
        end = _notes(outcome.target)
        return [f'Guest {_guest(outcome)} is reachable after {after}{end}.']
    return loss(guests)


def sentence(outcome: outcomes.Outcome) -> str:
    """Say which guest is not reachable, why, and what to look at next."""
    target, result = outcome.target, outcome.result
    is_error = result.verdict is verdicts.Verdict.ERROR
    state = 'in error' if is_error else result.verdict
    said = f'Guest {_guest(outcome)} is {state}: '
    if missed := _missed(outcome.series):
        said += f'{missed}. '
    if target.instance_id is None:
        # The name is the mistake.
        said += f'{result.detail.rstrip(".")}.'
    else:
        said += advice.explanation(result)
    age = _deaf(outcome)
    if age is not None:
        said += f' {_DEAF.format(age=durations.human(age))}'
    return said + _notes(target, result.request_id)


def summary_line(summary: outcomes.Summary, seconds: float) -> str:
    """Sum up a sweep in a line."""
    line = f'{counts(summary)} in {durations.human(seconds)}'
    if summary.rtts:
        rtts = ', '.join(
            f'{label} {durations.human(summary.percentile(percent))}'
            for label, percent in outcomes.PERCENTILES
        )
        line += f' (RTT {rtts})'
    return line


def loss(guests: Sequence[outcomes.Outcome]) -> list[str]:
    """Say how many pings were lost or failed, if some were repeated."""
    every = [each.series for each in guests]
    sent = sum(series.sent for series in every)
    if sent <= len(every) or any(series.is_awaited for series in every):
        return []
    lost = sum(series.lost for series in every)
    failed = sum(series.failed for series in every)
    said = f'{sent} pings: {sent - lost - failed} answered, {lost} lost'
    return [f'{said}, {failed} failed' if failed else said]


def pattern(findings: outcomes.Findings) -> list[str]:
    """Say what the outcomes of several guests have in common."""
    total = findings.summary.guests
    common = shared.common_trait(findings.outcomes)
    found = [f'{common.text}.'] if common else []
    ages = [
        age for each in findings.outcomes if (age := _deaf(each)) is not None
    ]
    if ages:
        found.append(
            _ALL_DEAF.format(
                count=len(ages),
                guests=outcomes.guests_in_words(total),
                age=durations.human(max(ages)),
            )
        )
    # The rows say enough about the other reasons.
    for reason in verdicts.CONTROL_PLANE:
        count = findings.summary.by_reason[reason]
        if count:
            results = (each.result for each in findings.outcomes)
            first = next(each for each in results if each.reason is reason)
            why = advice.explanation(first)
            found.append(f'{count} of {total} guests: {why}')
    return found


def _missed(series: outcomes.Series) -> str:
    """Say how many of several pings were lost, and how many failed."""
    if series.sent < 2 or series.received == series.sent:
        return ''
    if not series.failed:
        return f'{series.lost} of {series.sent} pings lost'
    if not series.lost:
        return f'{series.failed} of {series.sent} pings failed'
    return f'{series.lost} of {series.sent} pings lost, {series.failed} failed'


def _guest(outcome: outcomes.Outcome) -> str:
    target = outcome.target
    return plaintext.guest(target.instance_id, target.name)


def _notes(target: outcomes.Target, request_id: str | None = None) -> str:
    """Return the end of a sentence about a guest: its name comes last.

    :param request_id: the request ID in the reply to its ping, if any.
    """
    found = []
    if request_id:
        found.append(f'request ID {plaintext.word(request_id)}')
    if target.instance_id and target.name:
        found.append(f'name {plaintext.quoted(target.name)}')
    return f' ({", ".join(found)})' if found else ''


def _deaf(outcome: outcomes.Outcome) -> float | None:
    """Return the age of the heartbeat of a dead guest, if it is fresh.

    :returns: seconds; None for any other guest.
    """
    row = outcome.target.instance
    is_dead = outcome.result.verdict is verdicts.Verdict.UNREACHABLE
    if is_dead and row and row.status == 'ACTIVE' and row.is_fresh:
        return row.heartbeat_age
    return None
