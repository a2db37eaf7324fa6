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

from troveclient_rpcping import durations
from troveclient_rpcping.verdict import Verdict
from troveclient_rpcping.web import server
from troveclient_rpcping.web.board import Board
from troveclient_rpcping.web.board import Event
from troveclient_rpcping.web.board import Guest
from troveclient_rpcping.web.board import RoundTrips
from troveclient_rpcping.web.board import Status

_STYLE = """
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --text: #16191d; --dim: #5b6470;
  --line: #dde1e6; --good: #14804a; --bad: #c5221f; --warn: #8a5a00;
  --p50: #1a73c7; --p95: #b0620a }
@media (prefers-color-scheme: dark) { :root {
  --page: #111417; --card: #1a1e22; --text: #e8eaed; --dim: #9aa3ad;
  --line: #2e343b; --good: #4cc38a; --bad: #ff7b72; --warn: #f0b72f;
  --p50: #6cb6ff; --p95: #f69d50 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.45 system-ui, sans-serif; overflow-wrap: anywhere }
main, header, footer { max-width: 80rem; margin: 0 auto; padding: 0 1rem }
header, footer { display: flex; flex-wrap: wrap; gap: 0 1.5rem;
  color: var(--dim); padding-top: .75rem; padding-bottom: .75rem }
header b { color: var(--text); margin-right: auto }
a { color: inherit }
section, .big { background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; padding: 1rem; margin-bottom: 1rem }
.big { border-left: .6rem solid var(--dim) }
.big h1 { font-size: clamp(1.6rem, 5vw, 2.8rem); line-height: 1.15; margin: 0 }
.big p { margin: .5rem 0 0 }
.good { border-left-color: var(--good) } .good h1 { color: var(--good) }
.bad { border-left-color: var(--bad) } .bad h1, .stale { color: var(--bad) }
.warn { border-left-color: var(--warn) } .warn h1 { color: var(--warn) }
h2 { font-size: 1.1rem; margin: 0 0 .75rem }
.counts { display: grid; gap: 1rem; margin: 0 0 1rem;
  grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)) }
.counts div { background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; padding: .6rem 1rem }
.counts dt { color: var(--dim) }
.counts dd { margin: 0; font-size: 1.7rem; font-variant-numeric: tabular-nums }
.reachable { color: var(--good) } .unreachable, .error { color: var(--bad) }
.unknown, .failing { color: var(--warn) } .ok { color: var(--good) }
.zero { color: var(--dim) }
table { border-collapse: collapse; width: 100%; table-layout: fixed }
th:nth-child(1) { width: 29% } th:nth-child(2) { width: 33% }
th:nth-child(3) { width: 12% }
th { text-align: left; color: var(--dim); font-weight: normal }
th, td { padding: .45rem .75rem .45rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line) }
tr:last-child td { border-bottom: 0 }
small { display: block; color: var(--dim); font-size: .82rem }
code, .id, td:last-child { font: .75rem/1.5 ui-monospace, monospace }
time { white-space: nowrap; font-variant-numeric: tabular-nums }
svg { display: block; width: 100%; height: 7rem }
svg path { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke }
.p50 { stroke: var(--p50); color: var(--p50) }
.p95 { stroke: var(--p95); color: var(--p95) }
.grid { stroke: var(--line) }
figure { margin: 0 } figcaption { color: var(--dim); margin-bottom: .5rem }
ol { list-style: none; margin: 0; padding: 0 }
li { padding: .4rem 0; border-bottom: 1px solid var(--line) }
li:last-child { border-bottom: 0 }
@media (max-width: 48rem) {
  thead { display: none }
  tr, td { display: block } td { border: 0; padding: .1rem 0 }
  tr { border-bottom: 1px solid var(--line); padding: .6rem 0 }
  tr:last-child { border-bottom: 0 }
  td[data-label]::before { content: attr(data-label) " "; color: var(--dim) }
  td[data-label] small { display: inline } td:empty { display: none } }
.old .counts, .old section { opacity: .85 }
"""

# The colour of the icon in the tab of the browser.
_ICONS = {
    'good': '#14804a',
    'bad': '#c5221f',
    'warn': '#d29922',
    '': '#80868b',
}

_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

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

# Seconds until a browser loads the page anew: not more often than this, and
# not less often than that.
_REFRESH = (5, 60)

# The drawing of the round-trip times, in its own units.
_WIDTH, _HEIGHT = 600, 100


def pages(
    board: Board, clock: Callable[[], datetime.datetime]
) -> dict[str, server.Page]:
    """Return the page of each path.

    :param board: has the state of the guests.
    :param clock: returns the time, in UTC.
    """

    def html_page(accept: str) -> server.Answer:
        text = _html(board.status, clock())
        return _answer(text, 'text/html; charset=utf-8')

    def json_page(accept: str) -> server.Answer:
        text = _json(board.status, clock())
        return _answer(text, 'application/json')

    def health_page(accept: str) -> server.Answer:
        status, now = board.status, clock()
        age = status.age(now)
        last = 'none yet' if age is None else f'{durations.compact(age)} ago'
        return _answer(
            f'last good sweep: {last}\n',
            'text/plain; charset=utf-8',
            http.HTTPStatus.SERVICE_UNAVAILABLE
            if status.is_stale(now)
            else http.HTTPStatus.OK,
        )

    return {
        '/': html_page,
        '/status.json': json_page,
        '/-/healthy': health_page,
    }


def _answer(
    text: str, kind: str, status: http.HTTPStatus = http.HTTPStatus.OK
) -> server.Answer:
    return server.Answer(text.encode(), kind, status, _HEADERS)


def _json(status: Status, now: datetime.datetime) -> str:
    head = headline(status, now)
    record = {
        'time': now,
        'headline': head.text,
        'note': head.note,
        'stale': status.is_stale(now),
        **dataclasses.asdict(status),
    }
    return json.dumps(record, ensure_ascii=False, default=_stamp) + '\n'


def _stamp(when: datetime.datetime) -> str:
    return f'{when:%Y-%m-%dT%H:%M:%SZ}'


@dataclasses.dataclass(frozen=True, slots=True)
class Headline:
    """What to know at first sight.

    :param tone: ``good``, ``warn``, ``bad``, or empty for none.
    :param text: a few words.
    :param note: a sentence or two more; may be empty.
    """

    tone: str
    text: str
    note: str = ''


def headline(status: Status, now: datetime.datetime) -> Headline:
    """Return what to know at first sight.

    :param status: the state of the guests.
    :param now: the time, in UTC.
    """
    known = 'Nothing is known of the guests yet.'
    if status.swept is not None:
        swept = _clock(status.swept, now)
        known = f'Below is what was last known, at {swept}.'
    failing = status.failing
    if failing is not None and failing.widespread:
        return Headline(
            'warn',
            f'Control plane failing since {_clock(failing.since, now)}',
            f'{failing.why[:1].upper()}{failing.why[1:]}. {known}',
        )
    if status.swept is None:
        return Headline('', 'Waiting for the end of the first sweep')
    if status.is_stale(now):
        age = durations.compact(status.age(now) or 0.0)
        return Headline('bad', f'No sweep for {age}', known)
    note = ''
    if failing is not None:
        note = (
            f'Control plane failing in part since '
            f'{_clock(failing.since, now)}: {failing.why}.'
        )
    return _verdict(status, note)


def _verdict(status: Status, note: str) -> Headline:
    reachable = status.verdicts[Verdict.REACHABLE]
    unknown = status.verdicts[Verdict.UNKNOWN] - status.off
    if status.off:
        off = f'{_guests(status.off)} in a server that is off.'
        note = f'{note} {off}'.lstrip()
    if status.down:
        return Headline('bad', f'{_guests(status.down)} down', note)
    if unknown:
        return Headline('warn', f'{_guests(unknown)} unknown', note)
    if reachable == 1:
        return Headline('good', '1 guest reachable', note)
    if reachable:
        return Headline('good', f'All {_guests(reachable)} reachable', note)
    return Headline('', 'No guests', note)


def _guests(count: int) -> str:
    return '1 guest' if count == 1 else f'{count:,} guests'


def _html(status: Status, now: datetime.datetime) -> str:
    head = headline(status, now)
    is_old = status.is_stale(now) or (
        status.failing is not None and status.failing.widespread
    )
    shortest, longest = _REFRESH
    refresh = round(min(max(status.interval, shortest), longest))
    parts = [
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f'<meta http-equiv="refresh" content="{refresh}">',
        f'<title>{_text(head.text)} – Trove guest RPC</title>',
        '<link rel="icon" href="data:image/svg+xml,'
        '%3Csvg xmlns=%22http://www.w3.org/2000/svg%22 viewBox=%220 0 2 2%22'
        f'%3E%3Ccircle cx=%221%22 cy=%221%22 r=%221%22 fill=%22'
        f'{_ICONS[head.tone].replace("#", "%23")}%22/%3E%3C/svg%3E">',
        f'<style>{_STYLE}</style>',
        _header(status, now),
        f'<main{" class=old" if is_old else ""}>',
        f'<div class="big {head.tone}"><h1>{_text(head.text)}</h1>',
        f'<p>{_text(head.note)}</p>' if head.note else '',
        f'<p>{_text(status.common)}</p>' if status.common else '',
        '</div>',
        _counts(status),
        _list(status, now),
        _round_trips(status.round_trips),
        _events(status.events, now),
        '</main><footer>',
        '<a href="/status.json">status.json</a><a href="/metrics">metrics</a>',
        f'<span>loads anew every {refresh} s</span></footer></html>\n',
    ]
    return '\n'.join(filter(None, parts))


def _text(text: str) -> str:
    return html.escape(text)


def _header(status: Status, now: datetime.datetime) -> str:
    labels = ', '.join(f'{k} {v}' for k, v in status.labels.items())
    title = f'Trove guest RPC{": " if labels else ""}{labels}'
    swept = 'no sweep yet'
    age = status.age(now)
    if status.swept is not None and age is not None:
        stale = ' class="stale"' if status.is_stale(now) else ''
        swept = (
            f'swept <span{stale}>{durations.compact(age)} ago</span>, in '
            f'{durations.human(status.seconds)}'
        )
    return (
        f'<header><b>{_text(title)}</b><span>{swept}</span>'
        f'<time>{now:%Y-%m-%d %H:%M:%S} UTC</time></header>'
    )


def _counts(status: Status) -> str:
    if status.swept is None:
        return ''
    return (
        '<dl class="counts">'
        + ''.join(
            f'<div><dt>{each}</dt><dd class="{each if count else "zero"}">'
            f'{count:,}</dd></div>'
            for each, count in status.verdicts.items()
        )
        + '</dl>'
    )


def _list(status: Status, now: datetime.datetime) -> str:
    if not status.guests:
        return ''
    rows = ''.join(_row(guest, now) for guest in status.guests)
    more = ''
    if status.more:
        more = (
            f'<p>and {_guests(status.more)} more: <code>openstack database '
            'instance rpc ping --all --failed-only --long</code> lists all</p>'
        )
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
    top = max(max(each.p50, each.p95) for each in times) or 1.0
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
