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

"""What the monitor prints: a line for each change."""

from __future__ import annotations

import datetime
import json

from troveclient_rpcping import durations
from troveclient_rpcping import plaintext
from troveclient_rpcping.outcomes.changes import Change
from troveclient_rpcping.outcomes.changes import ControlPlaneChange
from troveclient_rpcping.outcomes.changes import Failure
from troveclient_rpcping.outcomes.changes import GuestChange
from troveclient_rpcping.outcomes.changes import Wave
from troveclient_rpcping.outcomes.shared import CommonTrait
from troveclient_rpcping.verdict import Reason


def line(change: Change, when: datetime.datetime) -> str:
    """Return a change as a line, for people and for programs.

    The ID of the guest comes first. Its name comes last and in quotes, since
    a tenant chose it. The reason of the change stands before the name, in
    parentheses, unless the verdict has only one reason. The text of a server
    is in quotes, too.

    :param change: the change.
    :param when: the end of the sweep, in UTC.
    """
    if isinstance(change, Wave):
        return f'{_stamp(when)} in common: {change.common.text}'
    words = (
        _guest(change) if isinstance(change, GuestChange) else _plane(change)
    )
    if change.seconds is not None:
        words += f' after {durations.compact(change.seconds)}'
    why = _why(change)
    if why:
        words += f' ({why})'
    if isinstance(change, GuestChange) and change.name:
        words += f' {plaintext.quoted(change.name)}'
    return f'{_stamp(when)} {words}'


def json_line(change: Change, when: datetime.datetime) -> str:
    """Return a change as one JSON object in a line.

    :param change: the change.
    :param when: the end of the sweep, in UTC.
    """
    event: dict[str, object] = {'time': _stamp(when)}
    if isinstance(change, Wave):
        return _json(event | _common(change.common))
    if isinstance(change, GuestChange):
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
    event['seconds'] = (
        None if change.seconds is None else round(change.seconds, 3)
    )
    return _json(event)


def failure(what: Failure) -> str:
    """Say how the control plane fails, in a line."""
    detail = plaintext.quoted(what.detail)
    if what.reason is None:
        return f'no sweep: {detail}'
    guests = f'{what.unknown} of {what.guests} guests unknown'
    return f'{guests}, {what.reason}: {detail}'


def _common(common: CommonTrait) -> dict[str, object]:
    return {
        'event': 'in-common',
        'verdict': common.verdict,
        'trait': common.trait,
        'value': common.value,
        'bad_here': common.bad_here,
        'bad': common.bad,
        'here': common.here,
        'detail': common.text,
    }


def _json(event: dict[str, object]) -> str:
    return json.dumps(event, ensure_ascii=False)


def _guest(change: GuestChange) -> str:
    before = change.before or 'new'
    guest = plaintext.word(change.instance_id)
    return f'{guest} {before} -> {change.after or "gone"}'


def _plane(change: ControlPlaneChange) -> str:
    before, after = (
        'failing' if each else 'ok' for each in (change.before, change.after)
    )
    return f'control plane {before} -> {after}'


def _why(change: GuestChange | ControlPlaneChange) -> str:
    if isinstance(change, ControlPlaneChange):
        return failure(change.after) if change.after else ''
    result = change.result
    # An unreachable guest has one reason, and Trove one sentence for it.
    if result is None or result.reason in (None, Reason.AGENT_TIMEOUT):
        return ''
    return f'{result.reason}: {plaintext.quoted(result.detail)}'


def _stamp(when: datetime.datetime) -> str:
    return f'{when:%Y-%m-%dT%H:%M:%SZ}'
