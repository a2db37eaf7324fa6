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

"""The status page of the monitor: HTML without scripts, JSON, and health.

The texts of tenants, guests and servers are on the page. So each text is
escaped, and the Content-Security-Policy forbids everything but the one style
sheet below, and the icon.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import datetime
import hashlib
import html
import http
import json
import pathlib
import string

from troveclient_rpcping import durations
from troveclient_rpcping.verdict import Verdict
from troveclient_rpcping.web import server
from troveclient_rpcping.web.board import Board
from troveclient_rpcping.web.board import Event
from troveclient_rpcping.web.board import Guest
from troveclient_rpcping.web.board import RoundTrips
from troveclient_rpcping.web.board import Status

_FOLDER = pathlib.Path(__file__).parent
_PAGE = string.Template((_FOLDER / 'page.html').read_text('utf-8'))
_STYLE = (_FOLDER / 'page.css').read_text('utf-8')
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

# The colour of the icon in the tab of the browser.
_ICONS = {'good': '14804a', 'bad': 'c5221f', 'warn': 'd29922', '': '80868b'}

_HEADERS = (
    (
        'Content-Security-Policy',
        f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ('X-Content-Type-Options', 'nosniff'),
    ('Referrer-Policy', 'no-referrer'),
    ('Cache-Control', 'no-store'),
)

# The least and the most seconds until a browser loads the page anew.
_REFRESH = (5, 60)

# The drawing of the round-trip times, in its own units.
_WIDTH, _HEIGHT = 600, 100

_MORE = (
    '<p>and {} more: <code>openstack database instance rpc ping --all '
    '--failed-only --long</code> lists all</p>'
)


def pages(
    board: Board, clock: Callable[[], datetime.datetime]
) -> dict[str, server.Page]:
    """Return the page of each path; the clock returns the time in UTC."""

    def page(
        make: Callable[[Status, datetime.datetime], server.Answer],
    ) -> server.Page:
        return lambda accept: make(board.status, clock())

    return {
        '/': page(_html),
        '/status.json': page(_json),
        '/-/healthy': page(_health),
    }


def _health(status: Status, now: datetime.datetime) -> server.Answer:
    age = status.age(now)
    last = 'none yet' if age is None else f'{durations.compact(age)} ago'
    return server.Answer(
        f'last good sweep: {last}\n'.encode(),
        status=http.HTTPStatus.SERVICE_UNAVAILABLE
        if status.is_stale(now)
        else http.HTTPStatus.OK,
        headers=_HEADERS,
    )


def _json(status: Status, now: datetime.datetime) -> server.Answer:
    head = headline(status, now)
    record = {
        'time': now,
        'headline': head.text,
        'note': head.note,
        'stale': status.is_stale(now),
        **dataclasses.asdict(status),
    }
    text = json.dumps(record, ensure_ascii=False, default=_stamp)
    return server.Answer(
        f'{text}\n'.encode(), 'application/json', headers=_HEADERS
    )


def _stamp(when: datetime.datetime) -> str:
    return f'{when:%Y-%m-%dT%H:%M:%SZ}'


@dataclasses.dataclass(frozen=True, slots=True)
class Headline:
    """What to know at first sight: a few words, and perhaps a note.

    :param tone: ``good``, ``warn``, ``bad``, or empty for none.
    """

    tone: str
    text: str
    note: str = ''


def headline(status: Status, now: datetime.datetime) -> Headline:
    """Return what to know at first sight."""
    known = 'Nothing is known of the guests yet.'
    if status.swept is not None:
        swept = _clock(status.swept, now)
        known = f'Below is what was last known, at {swept}.'
    notes = []
    failing = status.failing
    if failing is not None:
        since = _clock(failing.since, now)
        if failing.widespread:
            return Headline(
                'warn',
                f'Control plane failing since {since}',
                f'{failing.why[:1].upper()}{failing.why[1:]}. {known}',
            )
        notes.append(
            f'Control plane failing in part since {since}: {failing.why}.'
        )
    if status.swept is None:
        return Headline('', 'Waiting for the end of the first sweep')
    if status.is_stale(now):
        age = durations.compact(status.age(now) or 0.0)
        return Headline('bad', f'No sweep for {age}', known)
    if status.off:
        notes.append(f'{_guests(status.off)} in a server that is off.')
    return Headline(*_of_guests(status), ' '.join(notes))


def _of_guests(status: Status) -> tuple[str, str]:
    """Return the tone and the text for the guests of a fresh sweep."""
    reachable = status.verdicts[Verdict.REACHABLE]
    unknown = status.verdicts[Verdict.UNKNOWN] - status.off
    if status.down:
        return 'bad', f'{_guests(status.down)} down'
    if unknown:
        return 'warn', f'{_guests(unknown)} unknown'
    if reachable:
        all_ = 'All ' if reachable > 1 else ''
        return 'good', f'{all_}{_guests(reachable)} reachable'
    return '', 'No guests'


def _guests(count: int) -> str:
    return '1 guest' if count == 1 else f'{count:,} guests'


def _html(status: Status, now: datetime.datetime) -> server.Answer:
    head = headline(status, now)
    is_old = status.is_stale(now) or (
        status.failing is not None and status.failing.widespread
    )
    shortest, longest = _REFRESH
    labels = ', '.join(f'{k} {v}' for k, v in status.labels.items())
    text = _PAGE.substitute(
        headline=_text(head.text),
        tone=head.tone,
        icon=_ICONS[head.tone],
        notes=''.join(
            f'<p>{_text(each)}</p>'
            for each in (head.note, status.common)
            if each
        ),
        labels=_text(f': {labels}' if labels else ''),
        old=' class=old' if is_old else '',
        refresh=round(min(max(status.interval, shortest), longest)),
        style=_STYLE,
        time=f'{now:%Y-%m-%d %H:%M:%S}',
        swept=_swept(status, now),
        counts=_counts(status),
        guests=_list(status, now),
        round_trips=_round_trips(status.round_trips),
        events=_events(status.events, now),
    )
    return server.Answer(
        text.encode(), 'text/html; charset=utf-8', headers=_HEADERS
    )


def _text(text: str) -> str:
    return html.escape(text)


def _swept(status: Status, now: datetime.datetime) -> str:
    age = status.age(now)
    if age is None:
        return 'no sweep yet'
    stale = ' class="stale"' if status.is_stale(now) else ''
    return (
        f'swept <span{stale}>{durations.compact(age)} ago</span>, in '
        f'{durations.human(status.seconds)}'
    )


def _counts(status: Status) -> str:
    if status.swept is None:
        return ''
    counts = ''.join(
        f'<div><dt>{each}</dt><dd class="{each if count else "zero"}">'
        f'{count:,}</dd></div>'
        for each, count in status.verdicts.items()
    )
    return f'<dl class="counts">{counts}</dl>'


def _list(status: Status, now: datetime.datetime) -> str:
    if not status.guests:
        return ''
    rows = ''.join(_row(guest, now) for guest in status.guests)
    more = _MORE.format(_guests(status.more)) if status.more else ''
    return (
        '<section><h2>Guests that are not reachable</h2><table><thead><tr>'
        '<th>Guest<th>Why<th>Since<th>Where<th>Project</thead>'
        f'<tbody>{rows}</tbody></table>{more}</section>'
    )


def _row(guest: Guest, now: datetime.datetime) -> str:
    lasts = max(0.0, (now - guest.since).total_seconds())
    request = f'<small class="id">{_text(guest.request_id)}</small>'
    return (
        f'<tr><td><b><bdi>{_text(guest.name)}</bdi></b>'
        f'<small class="id">{_text(guest.instance_id)}</small>'
        f'<td><b class="{guest.verdict}">{guest.verdict}</b> '
        f'{_text(guest.reason or "")}'
        f'<small>{_text(guest.detail)}</small>{request}'
        f'<td data-label="since"><time>{_clock(guest.since, now)}</time> '
        f'<small>for {durations.compact(lasts)}</small>'
        f'{_cell("on", guest.host)} <small>{_text(guest.datastore)}</small>'
        f'{_cell("project", guest.project_id)}'
    )


def _cell(label: str, text: str) -> str:
    """Begin a cell, with a label for a narrow page, unless it is empty."""
    return f'<td data-label="{label}">{_text(text)}' if text else '<td>'


def _round_trips(times: Sequence[RoundTrips]) -> str:
    if not times:
        return ''
    top = max(each.p95 for each in times) or 1.0
    grid = ''.join(
        f'<path class="grid" d="M0 {y}H{_WIDTH}"/>'
        for y in (1, _HEIGHT // 2, _HEIGHT - 1)
    )
    last = times[-1]
    sweeps = 'sweep' if len(times) == 1 else f'{len(times)} sweeps'
    return (
        '<section><h2>Round-trip times</h2><figure><figcaption>'
        f'<b class="p50">p50 {durations.human(last.p50)}</b>, '
        f'<b class="p95">p95 {durations.human(last.p95)}</b> in the last '
        f'sweep; below, the last {sweeps}, up to {durations.human(top)}'
        f'</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'preserveAspectRatio="none" role="img" aria-label="Round-trip times">'
        f'{grid}{_line("p95", [each.p95 for each in times], top)}'
        f'{_line("p50", [each.p50 for each in times], top)}</svg></figure>'
        '</section>'
    )


def _line(name: str, values: Sequence[float], top: float) -> str:
    # A single sweep is a line, too.
    values = [*values, *values] if len(values) == 1 else values
    step = _WIDTH / (len(values) - 1)
    points = 'L'.join(
        f'{number * step:.1f} {(1 - value / top) * (_HEIGHT - 4) + 2:.1f}'
        for number, value in enumerate(values)
    )
    return f'<path class="{name}" d="M{points}"/>'


def _events(events: Sequence[Event], now: datetime.datetime) -> str:
    if not events:
        return ''
    items = ''.join(_event(each, now) for each in events)
    return f'<section><h2>Last changes</h2><ol>{items}</ol></section>'


def _event(event: Event, now: datetime.datetime) -> str:
    when = f'<li><time>{_clock(event.when, now)}</time> '
    why = _text(event.why)
    if not event.after:
        return f'{when}{why}'
    after = ''
    if event.seconds is not None:
        after = f' after {durations.compact(event.seconds)}'
    subject, id_ = 'control plane', ''
    if event.instance_id is not None:
        subject = event.name or event.instance_id
        id_ = f'<small class="id">{_text(event.instance_id)}</small>'
    return (
        # Isolated: a right-to-left name must not turn the text beside it.
        f'{when}<bdi><b>{_text(subject)}</b></bdi> {event.before} → '
        f'<b class="{event.after}">{event.after}</b>{after}'
        f'{why and f"<small>{why}</small>"}{id_}'
    )


def _clock(when: datetime.datetime, now: datetime.datetime) -> str:
    """Return a moment as a clock shows it, with the date of another day."""
    day = '' if when.date() == now.date() else f'{when:%b} {when.day}, '
    return f'{day}{when:%H:%M} UTC'
