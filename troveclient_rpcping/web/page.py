# SPDX-License-Identifier: Apache-2.0

"""The status page of the monitor: HTML without scripts, JSON, and health.

The texts of tenants, guests and servers are on the page. So each text is
escaped, and the Content-Security-Policy forbids everything but the icon and
the style sheet in ``page.css``. ``page.html`` has the parts of the page. Its
``bdi`` isolates a name: a right-to-left name must not turn the text beside it.
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
import re
import string
from typing import NamedTuple

from troveclient_rpcping import durations
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.web import board as boards
from troveclient_rpcping.web import server as web_server

_FOLDER = pathlib.Path(__file__).parent
_STYLE = (_FOLDER / 'page.css').read_text('utf-8')
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

# The name of each part stands in a comment above the part.
_, *_PIECES = re.split(
    r'<!-- (\w+) -->\n', (_FOLDER / 'page.html').read_text('utf-8')
)
_PARTS = dict(
    zip(_PIECES[::2], map(string.Template, _PIECES[1::2]), strict=True)
)

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
    """Return a part of the page. Only HTML, or a list of it, is unescaped."""
    texts = {}
    for name, value in values.items():
        if isinstance(value, list):
            value = _Html(''.join(value))
        if not isinstance(value, _Html):
            value = html.escape('' if value is None else str(value))
        texts[name] = value
    return _Html(_PARTS[part].substitute(texts))


def _section(part: str, items: list[_Html], **values: object) -> str:
    """Return a part of the page around items; nothing without items."""
    return _fill(part, items=items, **values) if items else ''


def pages(
    board: boards.Board, clock: Callable[[], datetime.datetime]
) -> dict[str, web_server.Page]:
    """Return the page of each path; the clock returns the time in UTC."""
    return {
        '/': lambda accept: _html(board.status, clock()),
        '/status.json': lambda accept: _json(board.status, clock()),
        '/-/healthy': lambda accept: _health(board.status, clock()),
    }


def _health(
    status: boards.Status, now: datetime.datetime
) -> web_server.Answer:
    age = status.age(now)
    last = 'none yet' if age is None else f'{durations.compact(age)} ago'
    stale = status.is_stale(now)
    return web_server.Answer(
        f'last good sweep: {last}\n'.encode(),
        status=http.HTTPStatus(503 if stale else 200),
        headers=_HEADERS,
    )


def _json(status: boards.Status, now: datetime.datetime) -> web_server.Answer:
    head = headline(status, now)
    record = {
        'time': now,
        'headline': head.text,
        'note': head.note,
        'stale': status.is_stale(now),
        **dataclasses.asdict(status),
    }
    text = json.dumps(
        record,
        ensure_ascii=False,
        default=lambda when: f'{when:%Y-%m-%dT%H:%M:%SZ}',
    )
    return web_server.Answer(
        f'{text}\n'.encode(), 'application/json', headers=_HEADERS
    )


class Headline(NamedTuple):
    """What to know at first sight; the tone is good, warn, bad or empty."""

    tone: str
    text: str
    note: str = ''


def headline(status: boards.Status, now: datetime.datetime) -> Headline:
    """Return what to know at first sight."""
    known = 'Nothing is known of the guests yet.'
    if status.swept is not None:
        swept = _clock(status.swept, now)
        known = f'Below is what was last known, at {swept}.'
    note = ''
    if status.failing:
        why, begun = status.failing['why'], status.failing['since']
        since = f'since {_clock(begun, now)}'
        if status.swept is not None and status.swept >= begun:
            # The numbers are those of a sweep during the failure.
            known = 'The list of guests is what was last known.'
        if status.failing['widespread']:
            return Headline(
                'warn',
                f'Control plane failing {since}',
                f'{why[:1].upper()}{why[1:]}. {known}',
            )
        note = f'Control plane failing in part {since}: {why}. '
    if status.swept is None:
        return Headline('', 'Waiting for the end of the first sweep')
    if status.is_stale(now):
        age = durations.compact(status.age(now) or 0.0)
        return Headline('bad', f'No sweep for {age}', known)
    if status.off:
        note += f'{_guests(status.off)} in a server that is off.'
    return Headline(*_of_guests(status), note.rstrip())


def _of_guests(status: boards.Status) -> tuple[str, str]:
    """Return the tone and the text for the guests of a fresh sweep."""
    down = sum(status.verdicts[each] for each in outcomes.BAD)
    reachable = status.verdicts[verdicts.Verdict.REACHABLE]
    unknown = status.verdicts[verdicts.Verdict.UNKNOWN] - status.off
    if down:
        return 'bad', f'{_guests(down)} down'
    if unknown:
        return 'warn', f'{_guests(unknown)} unknown'
    if reachable:
        all_ = 'All ' if reachable > 1 else ''
        return 'good', f'{all_}{_guests(reachable)} reachable'
    return '', 'All guests are off' if status.off else 'No guests'


def _guests(count: int) -> str:
    return '1 guest' if count == 1 else f'{count:,} guests'


def _html(status: boards.Status, now: datetime.datetime) -> web_server.Answer:
    head, stale = headline(status, now), status.is_stale(now)
    notes = filter(None, (head.note, status.common))
    more = ''
    if status.more:
        more = _fill('more', guests=_guests(status.more))
    failing = status.failing and status.failing['widespread']
    shortest, longest = _REFRESH
    labels = ', '.join(f'{k} {v}' for k, v in status.labels.items())
    text = _fill(
        'page',
        headline=head.text,
        tone=head.tone,
        icon=_ICONS[head.tone],
        notes=[_fill('note', text=each) for each in notes],
        labels=f': {labels}' if labels else '',
        old='old' if failing or stale else '',
        refresh=round(min(max(status.interval, shortest), longest)),
        style=_Html(_STYLE),
        time=f'{now:%Y-%m-%d %H:%M:%S}',
        stale='stale' if status.swept and stale else '',
        swept=_swept(status, now),
        counts=_section('counts', _counts(status)),
        guests=_section(
            'guests',
            [_guest(each, now) for each in status.guests],
            more=more,
        ),
        round_trips=_round_trips(status.round_trips),
        events=_section(
            'events', [_event(each, now) for each in status.events]
        ),
    )
    return web_server.Answer(
        text.encode(), 'text/html; charset=utf-8', headers=_HEADERS
    )


def _swept(status: boards.Status, now: datetime.datetime) -> str:
    age = status.age(now)
    if age is None:
        return 'no sweep yet'
    took = durations.human(status.seconds)
    return f'swept {durations.compact(age)} ago, in {took}'


def _counts(status: boards.Status) -> list[_Html]:
    if status.swept is None:
        return []
    return [
        _fill(
            'count',
            verdict=verdict,
            color=verdict if count else 'zero',
            count=f'{count:,}',
        )
        for verdict, count in status.verdicts.items()
    ]


def _guest(guest: boards.Record, now: datetime.datetime) -> _Html:
    lasts = max(0.0, (now - guest['since']).total_seconds())
    shown = {
        'since': _clock(guest['since'], now),
        'lasts': durations.compact(lasts),
        # On a narrow page, a cell with a text has a label.
        'on': 'on' if guest['host'] else '',
        'project': 'project' if guest['project_id'] else '',
    }
    return _fill('guest', **{**guest, **shown})


def _round_trips(times: Sequence[boards.Record]) -> str:
    if not times:
        return ''
    top = max(each['p95'] for each in times) or 1.0
    return _fill(
        'round_trips',
        p50=durations.human(times[-1]['p50']),
        p95=durations.human(times[-1]['p95']),
        sweeps='sweep' if len(times) == 1 else f'{len(times)} sweeps',
        top=durations.human(top),
        p50_line=_line([each['p50'] / top for each in times]),
        p95_line=_line([each['p95'] / top for each in times]),
    )


def _line(heights: list[float]) -> str:
    # A single sweep is a line, too.
    heights = heights * 2 if len(heights) == 1 else heights
    step = _WIDTH / (len(heights) - 1)
    return 'L'.join(
        f'{number * step:.1f} {(1 - height) * (_HEIGHT - 4) + 2:.1f}'
        for number, height in enumerate(heights)
    )


def _event(event: boards.Record, now: datetime.datetime) -> _Html:
    seconds = event['seconds']
    lasted = '' if seconds is None else f' after {durations.compact(seconds)}'
    shown = {
        'when': _clock(event['when'], now),
        'subject': event['name'] or event['instance_id'] or 'control plane',
        'lasted': lasted,
    }
    return _fill('event' if event['after'] else 'wave', **{**event, **shown})


def _clock(when: datetime.datetime, now: datetime.datetime) -> str:
    """Return a moment as a clock shows it, with the date of another day."""
    day = '' if when.date() == now.date() else f'{when:%b} {when.day}, '
    return f'{day}{when:%H:%M} UTC'
