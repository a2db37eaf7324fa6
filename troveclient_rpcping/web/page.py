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
escaped, and the Content-Security-Policy forbids everything but the icon and
the style sheet in ``page.css``. ``page.html`` has the parts of the page. Its
``bdi`` isolates a name: a right-to-left name must not turn the text beside it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import datetime
import hashlib
import html
import http
import json
import pathlib
import re
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
_STYLE = (_FOLDER / 'page.css').read_text('utf-8')
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

# The name of each part stands in a comment above the part.
_, *_PIECES = re.split(
    r'<!-- (\w+) -->\n', (_FOLDER / 'page.html').read_text('utf-8')
)
_PARTS = {
    name: string.Template(text)
    for name, text in zip(_PIECES[::2], _PIECES[1::2], strict=True)
}

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

# The drawing of the round-trip times in page.html, in its own units.
_WIDTH, _HEIGHT = 600, 100


class _Html(str):
    """HTML, which stands on the page as it is."""


def _fill(part: str, **values: object) -> _Html:
    """Return a part of the page. Each text that is not HTML is escaped."""
    texts = {
        name: value if isinstance(value, _Html) else html.escape(str(value))
        for name, value in values.items()
    }
    return _Html(_PARTS[part].substitute(texts))


def _section(part: str, items: Iterable[_Html], **values: object) -> str:
    """Return a part of the page around items; nothing without items."""
    joined = _Html(''.join(items))
    return _fill(part, items=joined, **values) if joined else ''


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
    notes = filter(None, (head.note, status.common))
    text = _fill(
        'page',
        headline=head.text,
        tone=head.tone,
        icon=_ICONS[head.tone],
        notes=_section('notes', (_fill('note', text=each) for each in notes)),
        labels=f': {labels}' if labels else '',
        old='old' if is_old else '',
        refresh=round(min(max(status.interval, shortest), longest)),
        style=_Html(_STYLE),
        time=f'{now:%Y-%m-%d %H:%M:%S}',
        swept=_swept(status, now),
        counts=_section('counts', _counts(status)),
        guests=_section(
            'guests',
            (_guest(each, now) for each in status.guests),
            more=_more(status.more),
        ),
        round_trips=_round_trips(status.round_trips),
        events=_section(
            'events', (_event(each, now) for each in status.events)
        ),
    )
    return server.Answer(
        text.encode(), 'text/html; charset=utf-8', headers=_HEADERS
    )


def _swept(status: Status, now: datetime.datetime) -> str:
    age = status.age(now)
    if age is None:
        return 'no sweep yet'
    return _fill(
        'swept',
        stale='stale' if status.is_stale(now) else '',
        age=durations.compact(age),
        seconds=durations.human(status.seconds),
    )


def _counts(status: Status) -> Iterator[_Html]:
    if status.swept is not None:
        for verdict, count in status.verdicts.items():
            color = verdict if count else 'zero'
            yield _fill(
                'count', verdict=verdict, color=color, count=f'{count:,}'
            )


def _more(count: int) -> str:
    return _fill('more', guests=_guests(count)) if count else ''


def _guest(guest: Guest, now: datetime.datetime) -> _Html:
    lasts = max(0.0, (now - guest.since).total_seconds())
    values = dataclasses.asdict(guest) | {
        'reason': guest.reason or '',
        'since': _clock(guest.since, now),
        'lasts': durations.compact(lasts),
        # On a narrow page, a cell with a text has a label.
        'on': 'on' if guest.host else '',
        'project': 'project' if guest.project_id else '',
    }
    return _fill('guest', **values)


def _round_trips(times: Sequence[RoundTrips]) -> str:
    if not times:
        return ''
    top = max(each.p95 for each in times) or 1.0
    return _fill(
        'round_trips',
        p50=durations.human(times[-1].p50),
        p95=durations.human(times[-1].p95),
        sweeps='sweep' if len(times) == 1 else f'{len(times)} sweeps',
        top=durations.human(top),
        p50_line=_line([each.p50 for each in times], top),
        p95_line=_line([each.p95 for each in times], top),
    )


def _line(values: Sequence[float], top: float) -> str:
    # A single sweep is a line, too.
    values = [*values, *values] if len(values) == 1 else values
    step = _WIDTH / (len(values) - 1)
    return 'L'.join(
        f'{number * step:.1f} {(1 - value / top) * (_HEIGHT - 4) + 2:.1f}'
        for number, value in enumerate(values)
    )


def _event(event: Event, now: datetime.datetime) -> _Html:
    when = _clock(event.when, now)
    if not event.after:
        return _fill('wave', when=when, why=event.why)
    lasted = ''
    if event.seconds is not None:
        lasted = f' after {durations.compact(event.seconds)}'
    return _fill(
        'event',
        when=when,
        subject=event.name or event.instance_id or 'control plane',
        before=event.before,
        after=event.after,
        lasted=lasted,
        why=event.why,
        instance_id=event.instance_id or '',
    )


def _clock(when: datetime.datetime, now: datetime.datetime) -> str:
    """Return a moment as a clock shows it, with the date of another day."""
    day = '' if when.date() == now.date() else f'{when:%b} {when.day}, '
    return f'{day}{when:%H:%M} UTC'
