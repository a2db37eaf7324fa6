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

"""What the ping commands tell people on stderr: sentences, no data."""

from __future__ import annotations

from collections.abc import Sequence

from troveclient_rpcping import durations
from troveclient_rpcping import plaintext
from troveclient_rpcping.cli.targets import PROJECT_HINT
from troveclient_rpcping.cli.targets import Target
from troveclient_rpcping.outcomes.series import Series
from troveclient_rpcping.outcomes.summary import PERCENTILES
from troveclient_rpcping.outcomes.summary import Summary
from troveclient_rpcping.verdict import CONTROL_PLANE
from troveclient_rpcping.verdict import is_about_project
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict

_DEAF = (
    'It is ACTIVE, and its last heartbeat was {age} old when Trove listed it: '
    'look at the agent, and at its queue on the message bus, before the '
    'server.'
)
_ALL_DEAF = (
    '{count} of {guests} are unreachable, though they are ACTIVE and their '
    'last heartbeat was not older than {age} when Trove listed them: look at '
    'the agents, and at their queues on the message bus, before the servers.'
)

_STATES = {
    Verdict.REACHABLE: 'reachable',
    Verdict.UNREACHABLE: 'unreachable',
    Verdict.ERROR: 'in error',
    Verdict.UNKNOWN: 'unknown',
}

# What is wrong, and what to look at next.
_EXPLANATIONS = {
    Reason.AGENT_TIMEOUT: (
        'Trove asked, and the guest agent did not answer in time. Check that '
        'the server runs, that the agent runs in it, and that it is connected '
        'to the message bus.'
    ),
    Reason.NO_SUCH_METHOD: (
        'The guest agent answered that it does not know the ping: its image '
        'is old. RPC works.'
    ),
    Reason.AGENT_ERROR: (
        'The guest agent failed the ping: "{detail}". '
        'Look into the log of the agent in the guest.'
    ),
    Reason.NOT_FOUND: 'There is no such instance, or it was deleted.',
    Reason.NOT_READY: (
        'Trove cannot ask it now: "{detail}". It is being built or changed, '
        'or its server is gone: compare with "openstack server list '
        '--all-projects".'
    ),
    Reason.DENIED: (
        'The API refuses this user: "{detail}". Only an administrator may '
        'ping; check the credentials in use.'
    ),
    Reason.RATE_LIMITED: (
        'The rate limit of the API refused the ping, and the guest was not '
        'asked. Try again in a minute.'
    ),
    Reason.COMPUTE_ERROR: (
        'Trove could not look up the server in Nova, so the guest was never '
        'asked: "{detail}". Look at Nova, not at the guest.'
    ),
    Reason.API_ERROR: (
        'The Trove API failed, and the guest may not have been asked: '
        '"{detail}". Look for the ID of the guest in the log of trove-api.'
    ),
    Reason.GATEWAY: (
        'What stands in front of the Trove API answered in its place: '
        '"{detail}". Check that trove-api runs, and that it reaches Keystone.'
    ),
    Reason.TIMEOUT: '{detail}. The guest may be well.',
    Reason.MESSAGE_BUS: (
        '{detail}. The guest may be well: look at the workers of trove-api '
        'and at the nodes of the message bus (RabbitMQ), and repair no guest.'
    ),
    Reason.CONNECTION: (
        'The Trove API cannot be reached: "{detail}". Check that trove-api '
        'runs, the endpoint in the catalog, and the way there: proxies and '
        'certificates.'
    ),
    Reason.BAD_RESPONSE: (
        'The answer is not one that Trove gives: "{detail}". Check what '
        'stands between here and the Trove API.'
    ),
    Reason.NOT_ASKED: 'Not asked to the end: "{detail}".',
}

# Where the status tells more than the reason.
_EXPLANATIONS_OF_STATUS = {
    # Trove itself answers 401 to a user who is not an administrator.
    403: (
        'The API, or a proxy in front of it, refuses the request: "{detail}". '
        'Check the credentials in use, and what stands between here and the '
        'Trove API.'
    ),
    504: (
        'What stands in front of the Trove API did not wait for its answer: '
        '"{detail}". Let it wait longer than Trove does for a dead guest '
        '(agent_call_low_timeout); and check the message bus (RabbitMQ), '
        'without which trove-api hangs.'
    ),
}


def guests(count: int) -> str:
    """Return how many guests there are, in words."""
    return '1 guest' if count == 1 else f'{count} guests'


def counts(summary: Summary) -> str:
    """Return how many guests have which verdict."""
    verdicts = ', '.join(f'{summary.verdicts[v]} {v}' for v in Verdict)
    return f'{guests(summary.guests)}: {verdicts}'


def detail(result: PingResult, series: Series) -> str:
    """Return why a guest is not reachable, and how many pings were lost.

    :param result: what came of all pings.
    :param series: the pings that it came of.
    """
    missed = '' if series.awaited else _missed(series)
    return ': '.join(filter(None, (missed, result.detail)))


def _missed(series: Series) -> str:
    """Say how many of several pings were lost, and how many failed."""
    if series.sent < 2 or series.received == series.sent:
        return ''
    if not series.failed:
        return f'{series.lost} of {series.sent} pings lost'
    if not series.lost:
        return f'{series.failed} of {series.sent} pings failed'
    return f'{series.lost} of {series.sent} pings lost, {series.failed} failed'


def sentence(target: Target, result: PingResult, series: Series) -> str:
    """Say which guest is not reachable, why, and what to look at next.

    :param target: what was asked for.
    :param result: what came of it; not ``reachable``.
    :param series: the pings that it came of.
    """
    guest = plaintext.guest(target.instance_id, target.name)
    said = f'Guest {guest} is {_STATES[result.verdict]}: '
    missed = _missed(series)
    if missed:
        said += f'{missed}. '
    if target.instance_id is None:
        # Its name is the trouble.
        said += f'{plaintext.one_line(result.detail).rstrip(".")}.'
    else:
        said += _explanation(result)
    age = _deaf(target, result)
    if age is not None:
        said += f' {_DEAF.format(age=durations.human(age))}'
    return said + notes(target, result.request_id)


def notes(target: Target, request_id: str | None = None) -> str:
    """Return what ends a sentence about a guest: its name comes last.

    :param target: which guest.
    :param request_id: the ID that the reply to its ping bears. trove-api has
        another one in its log.
    """
    found = []
    if request_id:
        found.append(f'request ID {plaintext.word(request_id)}')
    if target.instance_id and target.name:
        found.append(f'name {plaintext.quoted(target.name)}')
    return f' ({", ".join(found)})' if found else ''


def loss(all_series: Sequence[Series]) -> list[str]:
    """Say how many pings were lost or failed, if some were repeated."""
    sent = sum(series.sent for series in all_series)
    if sent <= len(all_series):
        return []
    lost = sum(series.lost for series in all_series)
    failed = sum(series.failed for series in all_series)
    said = f'{sent} pings: {sent - lost - failed} answered, {lost} lost'
    return [f'{said}, {failed} failed' if failed else said]


def summary_line(summary: Summary, seconds: float) -> str:
    """Sum up a sweep in a line.

    :param summary: its numbers.
    :param seconds: how long it took.
    """
    line = f'{counts(summary)} in {durations.human(seconds)}'
    if summary.rtts:
        rtts = ', '.join(
            f'{label} {durations.human(summary.percentile(percent))}'
            for label, percent in PERCENTILES
        )
        line += f' (RTT {rtts})'
    return line


def advice(
    asked: Sequence[Target], results: Sequence[PingResult], summary: Summary
) -> list[str]:
    """Say what the pattern of all results suggests, if there is one.

    :param asked: what was asked for: more than one guest.
    :param results: what came of it, in the same order.
    :param summary: their numbers.
    """
    found = []
    ages = [
        age
        for target, result in zip(asked, results, strict=True)
        if (age := _deaf(target, result)) is not None
    ]
    if ages:
        found.append(
            _ALL_DEAF.format(
                count=len(ages),
                guests=guests(summary.guests),
                age=durations.human(max(ages)),
            )
        )
    # Other reasons need no word beside the rows.
    for reason in CONTROL_PLANE:
        count = summary.reasons[reason]
        if count:
            first = next(r for r in results if r.reason is reason)
            found.append(
                f'{count} of {summary.guests} guests: {_explanation(first)}'
            )
    return found


def _deaf(target: Target, result: PingResult) -> float | None:
    """Return the age of the heartbeat of a dead guest, if it is a fresh one.

    :returns: seconds; None if the listing shows nothing of the kind.
    """
    row = target.instance
    if result.verdict is not Verdict.UNREACHABLE or row is None:
        return None
    if row.status != 'ACTIVE' or not row.is_fresh:
        return None
    return row.heartbeat_age


def _explanation(result: PingResult) -> str:
    if result.reason is None:
        raise ValueError('a reachable guest needs no explanation')
    detail = plaintext.escaped(result.detail).rstrip('.')
    text = _EXPLANATIONS_OF_STATUS.get(
        result.http_status or 0, _EXPLANATIONS[result.reason]
    )
    if result.message.startswith('This machine has no '):
        text = 'The API was not asked: "{detail}".'
    if is_about_project(result.message):
        text = f'The API refuses the request: "{{detail}}". {PROJECT_HINT}'
    return text.format(detail=detail)
