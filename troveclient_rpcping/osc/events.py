# SPDX-License-Identifier: Apache-2.0

"""What the monitor prints: a line for each change."""

from __future__ import annotations

import dataclasses
import datetime
import json

from troveclient_rpcping import durations
from troveclient_rpcping import plaintext
from troveclient_rpcping.outcomes import changes as outcomes_changes
from troveclient_rpcping.outcomes import shared
from troveclient_rpcping.web import board as boards

# The time of an event, in UTC.
_STAMP = '%Y-%m-%dT%H:%M:%SZ'


def line(change: outcomes_changes.Change, when: datetime.datetime) -> str:
    """Return a change as a line, for people and for programs.

    The ID of the guest comes first. Its name comes last and in quotes, since
    a tenant chose it. The reason of the change stands before the name, in
    parentheses, unless the verdict has only one reason. The text of a server
    is in quotes, too.

    :param when: the end of the sweep, in UTC.
    """
    record = boards.event(change, when, plaintext.quoted)
    stamp, why = f'{when:{_STAMP}}', record['why']
    if isinstance(change, shared.CommonTrait):
        return f'{stamp} in common: {why}'
    subject, name = 'control plane', ''
    if isinstance(change, outcomes_changes.GuestChange):
        subject = plaintext.word(change.instance_id)
        name = f' {plaintext.quoted(change.name)}' if change.name else ''
    states = f'{record["before"]} -> {record["after"]}'
    if change.seconds is not None:
        states += f' after {durations.compact(change.seconds)}'
    if why:
        states += f' ({why})'
    return f'{stamp} {subject} {states}{name}'


def json_line(change: outcomes_changes.Change, when: datetime.datetime) -> str:
    """Return a change as one JSON object in a line.

    :param when: the end of the sweep, in UTC.
    """
    event: dict[str, object] = {'time': f'{when:{_STAMP}}'}
    if isinstance(change, shared.CommonTrait):
        event |= {
            'event': 'in-common',
            **dataclasses.asdict(change),
            'detail': change.text,
        }
    elif isinstance(change, outcomes_changes.GuestChange):
        result = change.result
        event |= {
            'event': 'guest',
            'id': change.instance_id,
            'name': change.name or '',
            'from': change.before,
            'to': change.after,
            'reason': result.reason if result else None,
            'detail': result.detail if result else '',
            'request_id': result.request_id if result else None,
        }
    else:
        after = change.after
        event |= {
            'event': 'control-plane',
            'from': 'failing' if change.before else 'ok',
            'to': 'failing' if after else 'ok',
            'reason': after.reason if after else None,
            'detail': after.detail if after else '',
            'unknown': after.unknown if after else 0,
            'guests': after.guests if after else None,
        }
    if not isinstance(change, shared.CommonTrait):
        seconds = change.seconds
        event['seconds'] = None if seconds is None else round(seconds, 3)
    return json.dumps(event, ensure_ascii=False)
