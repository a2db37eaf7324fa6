# SPDX-License-Identifier: Apache-2.0

"""The status page of the monitor: HTML, JSON, and health."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import html
import http
import json
import re
from typing import Any

import testtools

from troveclient_rpcping import fixture
from troveclient_rpcping import inventory
from troveclient_rpcping import plaintext
from troveclient_rpcping import reply as replies
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.outcomes import changes as outcomes_changes
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.tests import base
from troveclient_rpcping.web import board as boards
from troveclient_rpcping.web import page
from troveclient_rpcping.web import server as web_server

#: When the monitor of the tests starts.
START = datetime.datetime(2026, 11, 28, 3, 0, tzinfo=datetime.UTC)
INTERVAL = 60.0

REACHABLE = fixture.reachable()
SILENT = fixture.agent_timeout()
FULL = fixture.agent_error('disk is full')
BUILDS = fixture.not_ready()
OFF = fixture.for_reason(verdicts.Reason.SERVER_OFF)
GATEWAY = fixture.gateway(503)

HOSTILE = [
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '</small></style><style>body { display: none }',
    '&lt;b&gt;',
    'x' * 10_000,
    '\x1b]0;title\x07 \u202e gnol \ud800',
]


class Monitor:
    """Reports sweeps, one a minute, to a board that has a page.

    :param labels: those of the monitor.
    :param text: the name, the host and so on of every guest; empty for
        ordinary ones.
    """

    def __init__(
        self, labels: dict[str, str] | None = None, text: str = ''
    ) -> None:
        self.board = boards.Board(INTERVAL, labels)
        self.now = START
        self.pages = page.pages(self.board, lambda: self.now)
        self._watch = outcomes_changes.Watch()
        self.text = text
        #: The hosts of the first guests; each other one has a host of its own.
        self.hosts: list[str] = []

    @property
    def _seconds(self) -> float:
        return (self.now - START).total_seconds()

    def sweep(
        self, *answers: replies.Reply | replies.NoReply, rtt: float = 0.031
    ) -> None:
        """Let a minute pass and a sweep end: guest 0, guest 1 and so on.

        :param rtt: that of guest 0. The others take up to twice as long.
        """
        targets = [self._target(number) for number in range(len(answers))]
        results = [
            dataclasses.replace(
                fixture.ping_result(
                    reply, str(target.instance_id), rtt * (1 + at % 20 / 20)
                ),
                request_id=self.text or f'req-{target.instance_id}',
            )
            for at, (target, reply) in enumerate(
                zip(targets, answers, strict=True)
            )
        ]
        self.find(base.findings(targets, results))

    def find(self, findings: outcomes.Findings) -> None:
        """Let a minute pass and a sweep end with these findings."""
        self.now += datetime.timedelta(minutes=1)
        self.board.swept(
            self._watch,
            findings,
            self._watch.swept(findings, self._seconds),
            seconds=6.4,
            now=self._seconds,
            when=self.now,
        )

    def fail(self, why: str = 'No listing') -> None:
        """Let a minute pass and a sweep fail."""
        self.now += datetime.timedelta(minutes=1)
        changes = self._watch.failed(why, self._seconds)
        self.board.failed(self._watch, changes, when=self.now)

    def _target(self, number: int) -> outcomes.Target:
        # The number first: a long text is cut.
        id_ = f'{number}{self.text}'
        host = dict(enumerate(self.hosts)).get(number, f'compute-{number}')
        row = inventory.Instance(
            id=id_,
            name=self.text or f'db-{number}',
            project_id=self.text or 'project',
            datastore=self.text or 'mysql 8.0',
            server=inventory.Server('s', self.text or host, 'ACTIVE'),
        )
        return outcomes.Target(id_, row.name, row)

    def page(self, path: str = '/') -> web_server.Answer:
        return self.pages[path]('')

    def html(self) -> str:
        return self.page().body.decode()

    def shown(self) -> str:
        """Return the text of the page in one line."""
        body = re.sub('(?s)<title.*</style>', '', self.html())
        return ' '.join(html.unescape(re.sub('<[^>]*>', ' ', body)).split())

    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.page('/status.json').body))

    def headline(self) -> tuple[str, str]:
        """Return the big line, and the text below it."""
        return page.headline(self.board.status, self.now)[1:]


class HeadlineTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.monitor = Monitor()

    def assert_said(self, text: str, note: str = '') -> None:
        """Check the big line, and the text below it."""
        self.assertEqual((text, note), self.monitor.headline())

    def test_it_counts_the_guests_that_are_down(self) -> None:
        """A guest in error is down, and an unknown guest is not.

        Before the first sweep it does not say that all is well. A guest that
        is off is no trouble.
        """
        self.assert_said('Waiting for the end of the first sweep')
        for judged, text in (
            ([], 'No guests'),
            ([REACHABLE], '1 guest reachable'),
            ([REACHABLE] * 1200, 'All 1,200 guests reachable'),
            ([REACHABLE, BUILDS], '1 guest unknown'),
            ([REACHABLE, BUILDS, SILENT], '1 guest down'),
            ([SILENT, FULL, SILENT], '3 guests down'),
        ):
            self.monitor.sweep(*judged)
            self.assert_said(text)
        self.monitor.sweep(REACHABLE, REACHABLE, OFF)
        off = '1 guest in a server that is off.'
        self.assert_said('All 2 guests reachable', off)
        self.monitor.sweep(OFF)
        self.assert_said('All guests are off', off)

    def test_a_failing_control_plane_comes_before_the_guests(self) -> None:
        """The line keeps the time of the first failure."""
        self.monitor.fail('No login')
        self.assert_said(
            'Control plane failing since 03:01 UTC',
            'No sweep: No login. Nothing is known of the guests yet.',
        )
        self.monitor.sweep(REACHABLE, SILENT)
        for _ in range(3):
            self.monitor.fail('No listing: 503')
        self.assert_said(
            'Control plane failing since 03:03 UTC',
            'No sweep: No listing: 503. Below is what was last known, at '
            '03:02 UTC.',
        )
        self.monitor.sweep(REACHABLE, SILENT)
        self.assert_said('1 guest down')

    def test_a_failure_for_some_guests_stands_below_the_line(self) -> None:
        """A failure for most of them is the line.

        The numbers are those of the sweep, and the list is older.
        """
        self.monitor.sweep(REACHABLE, GATEWAY, GATEWAY, GATEWAY)
        self.assert_said(
            'Control plane failing since 03:01 UTC',
            '3 of 4 guests unknown, gateway: HTTP 503 without an error '
            'message of Trove. The list of guests is what was last known.',
        )
        self.monitor.sweep(REACHABLE, OFF, REACHABLE, SILENT, GATEWAY)
        self.assert_said(
            '1 guest down',
            'Control plane failing in part since 03:01 UTC: 1 of 5 guests '
            'unknown, gateway: HTTP 503 without an error message of Trove. 1 '
            'guest in a server that is off.',
        )

    def test_a_sweep_that_is_overdue_comes_before_its_guests(self) -> None:
        """The monitor may hang. A time of another day has its date."""
        self.monitor.sweep(REACHABLE)
        self.monitor.now += datetime.timedelta(minutes=12)
        known = 'Below is what was last known, at {}03:01 UTC.'
        self.assert_said('No sweep for 12m', known.format(''))
        self.monitor.now += datetime.timedelta(days=1)
        self.assert_said('No sweep for 1d', known.format('Nov 28, '))


class TextTest(testtools.TestCase):
    """The page from its top to its bottom."""

    head = 'Trove guest RPC: cloud north, site b'
    foot = 'status.json metrics loads anew every 60 s'

    def setUp(self) -> None:
        super().setUp()
        self.monitor = Monitor({'cloud': 'north', 'site': 'b'})

    def test_before_the_first_sweep_it_has_a_head_alone(self) -> None:
        """It is neither stale nor pale: there is nothing to show."""
        self.assertEqual(
            f'{self.head} no sweep yet 2026-11-28 03:00:00 UTC '
            f'Waiting for the end of the first sweep {self.foot}',
            self.monitor.shown(),
        )
        self.assertIn('<span class="">', self.monitor.html())

    def test_it_shows_numbers_guests_times_and_changes(self) -> None:
        """A number other than 0 has the colour of its verdict."""
        self.monitor.sweep(REACHABLE, rtt=0.02)
        self.monitor.sweep(REACHABLE, FULL, rtt=0.04)
        parts = (
            '1 guest down reachable 1 unreachable 0 error 1 unknown 0 '
            'Guests that are not reachable Guest Why Since Where Project '
            'db-1 1 error agent-error disk is full req-1 03:02 UTC for 0s '
            'compute-1 mysql 8.0 project '
            'Round-trip times p50 40 ms , p95 40 ms in the last sweep that '
            'reached a guest; below, the last 2 sweeps that did, up to 40 ms '
            'Last changes 03:02 UTC db-1 new → error agent-error: disk is '
            f'full 1 {self.foot}'
        )
        self.assertEqual(
            f'{self.head} swept 0s ago, in 6.4 s 2026-11-28 03:02:00 UTC '
            f'{parts}',
            self.monitor.shown(),
        )
        shown = self.monitor.html()
        for line in (
            '<main class="">',
            '<div class="big bad">',
            '<dd class="error">1</dd>',
            '<dd class="zero">0</dd>',
            '<td data-label="on">',
            '<td data-label="project">',
            'class="p95" d="M0.0 50.0L600.0 2.0"',
        ):
            self.assertIn(line, shown)

    def test_what_is_only_the_last_known_state_is_pale(self) -> None:
        """So is a page without a sweep for a long time; its age is red."""
        self.monitor.sweep(REACHABLE)
        self.monitor.sweep(SILENT)
        pale, stale = '<main class="old">', '<span class="stale">'
        self.monitor.fail('No login')
        self.assertIn(
            'Last changes 03:03 UTC control plane ok → failing no sweep: No '
            'login 03:02 UTC db-0 reachable → unreachable after 1m 0 ',
            self.monitor.shown(),
        )
        shown = self.monitor.html()
        self.assertEqual((True, False), (pale in shown, stale in shown))
        self.monitor.sweep(SILENT, REACHABLE, REACHABLE, GATEWAY)
        self.assertNotIn(pale, self.monitor.html())
        self.monitor.now += datetime.timedelta(minutes=4)
        shown = self.monitor.html()
        self.assertEqual((True, True), (pale in shown, stale in shown))


class ListTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.monitor = Monitor({'cloud': 'north'})

    def test_a_guest_has_all_that_helps_to_find_it(self) -> None:
        """Since when is that of its verdict, not of the last sweep."""
        self.monitor.sweep(REACHABLE)
        self.monitor.sweep(FULL)
        self.monitor.sweep(FULL)
        guest = {
            'instance_id': '0',
            'name': 'db-0',
            'verdict': 'error',
            'reason': 'agent-error',
            'detail': 'disk is full',
            'since': '2026-11-28T03:02:00Z',
            'project_id': 'project',
            'datastore': 'mysql 8.0',
            'host': 'compute-0',
            'request_id': 'req-0',
        }
        self.assertEqual([guest], self.monitor.json()['guests'])

    def test_of_a_guest_without_a_listing_only_the_id_is_known(self) -> None:
        """Not every server puts the ID of the request into its reply."""
        result = dataclasses.replace(
            fixture.ping_result(BUILDS, '7'), request_id=None
        )
        self.monitor.find(base.findings([outcomes.Target('7')], [result]))
        [guest] = self.monitor.json()['guests']
        for key in ('name', 'project_id', 'datastore', 'host', 'request_id'):
            self.assertEqual('', guest.pop(key), key)
        self.assertNotIn('None', self.monitor.html())
        self.assertNotIn('data-label="on"', self.monitor.html())
        self.assertIn('03:01 UTC 7 new → unknown', self.monitor.shown())

    def test_guests_that_are_down_come_first_and_the_latest_of_them(
        self,
    ) -> None:
        """Guests that are off come last."""
        self.monitor.sweep(OFF, BUILDS, SILENT, REACHABLE, REACHABLE)
        self.monitor.sweep(OFF, BUILDS, SILENT, FULL, REACHABLE)
        self.assertEqual(
            ['3', '2', '1', '0'],
            [each['instance_id'] for each in self.monitor.json()['guests']],
        )

    def test_the_list_of_5000_guests_is_cut(self) -> None:
        """It says how many more there are."""
        self.monitor.sweep(*[SILENT] * 5000)
        shown = self.monitor.html()
        self.assertEqual(
            200,
            shown.count(
                '<b class="unreachable">unreachable</b> agent-timeout'
            ),
        )
        self.assertIn('and 4,800 guests more', shown)
        self.assertIn('5,000 guests down', shown)
        self.assertEqual(4800, self.monitor.json()['more'])
        self.assertLess(len(shown), 150_000)

    def test_the_common_trait_of_bad_guests_stands_below_the_line(
        self,
    ) -> None:
        """The page says nothing if nothing stands out."""
        self.assertEqual('', self.monitor.json()['common'])
        # Those that are silent are all guests on one host.
        self.monitor.hosts = ['compute-17'] * 5
        self.monitor.sweep(*[SILENT] * 5, *[REACHABLE] * 45)
        common = self.monitor.json()['common']
        self.assertIn('compute-17', common)
        self.assertIn(f'<p>{common}</p>', self.monitor.html())

    def test_changes_stand_with_the_latest_first(self) -> None:
        """The changes are those of guests, and of the control plane.

        A failed sweep keeps the guests.
        """
        self.monitor.sweep(REACHABLE)
        self.monitor.sweep(FULL)
        before = self.monitor.json()
        self.monitor.fail('No login')
        after = self.monitor.json()
        for key in ('guests', 'verdicts', 'swept'):
            self.assertEqual(before[key], after[key], key)
        guest = {
            'when': '2026-11-28T03:02:00Z',
            'instance_id': '0',
            'name': 'db-0',
            'before': 'reachable',
            'after': 'error',
            'seconds': 60.0,
            'why': 'agent-error: disk is full',
        }
        plane = {
            'when': '2026-11-28T03:03:00Z',
            'instance_id': None,
            'name': '',
            'before': 'ok',
            'after': 'failing',
            'seconds': None,
            'why': 'no sweep: No login',
        }
        self.assertEqual([plane, guest], after['events'])

    def test_the_page_has_the_last_50_changes(self) -> None:
        """What many guests have in common comes first."""
        self.monitor.sweep(*[REACHABLE] * 200)
        self.monitor.hosts = ['compute-17'] * 60
        self.monitor.sweep(*[SILENT] * 60, *[REACHABLE] * 140)
        self.assertEqual(50, self.monitor.html().count('<li>'))
        first, second, *_ = self.monitor.json()['events']
        self.assertIn(f'03:02 UTC {first["why"]} 03:02', self.monitor.shown())
        self.assertIn('compute-17', first['why'])
        self.assertEqual(second.keys(), first.keys())
        self.assertEqual('0', second['instance_id'])

    def test_the_last_60_sweeps_are_drawn(self) -> None:
        """A single sweep is a line; without sweeps there is no drawing.

        A sweep that reaches no guest has no round-trip times.
        """
        self.assertNotIn('<svg', self.monitor.html())
        for sweeps, points in ((1, 2), (1, 2), (1, 3), (100, 60)):
            for _ in range(sweeps):
                self.monitor.sweep(REACHABLE)
            paths = re.findall(
                r'class="p[59][05]" d="M(.*?)"', self.monitor.html()
            )
            self.assertEqual(
                [points] * 2, [len(path.split('L')) for path in paths]
            )
        self.monitor.sweep(*[REACHABLE] * 20)
        self.monitor.sweep(GATEWAY)
        self.assertRegex(
            self.monitor.html(),
            r'p50 45 ms</b>, <b class="p95">p95 59 ms</b> in the last\s+'
            'sweep that reached a guest; below, the last 60 sweeps that did',
        )


class HostileTest(testtools.TestCase):
    def test_no_text_becomes_html(self) -> None:
        """The page has each text escaped, and never as it is."""
        for text in HOSTILE:
            monitor = Monitor({'cloud': HOSTILE[0]}, text)
            monitor.sweep(REACHABLE, REACHABLE)
            monitor.sweep(fixture.agent_error(text), SILENT)
            monitor.fail(plaintext.first_line(text))
            shown = monitor.html()
            self.assertIn(html.escape(plaintext.one_line(text, 80)), shown)
            self.assertNotIn(text, shown)
            self.assertTrue(shown.replace('\n', '').isprintable(), repr(text))
            self.assertNotIn(HOSTILE[0], shown)

    def test_the_page_may_load_nothing_and_run_nothing(self) -> None:
        """The policy names the only style sheet by its hash."""
        answer = Monitor().page()
        shown = answer.body.decode()
        headers = dict(answer.headers)
        [style] = re.findall('<style>(.*?)</style>', shown, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest())
        policy = headers['Content-Security-Policy']
        self.assertIn("default-src 'none'", policy)
        self.assertIn(f"style-src 'sha256-{digest.decode()}'", policy)
        self.assertNotIn('unsafe', policy)
        self.assertNotIn(' style=', shown)
        self.assertEqual('nosniff', headers['X-Content-Type-Options'])
        self.assertEqual('text/html; charset=utf-8', answer.kind)
        self.assertEqual(
            'application/json', Monitor().page('/status.json').kind
        )

    def test_the_page_loads_itself_anew_with_each_sweep(self) -> None:
        """It does so every 5 to 60 seconds."""
        for interval, seconds in ((0.2, 5), (30.0, 30), (3600.0, 60)):
            board = boards.Board(interval)
            body = page.pages(board, lambda: START)['/']('').body
            self.assertIn(
                f'http-equiv="refresh" content="{seconds}"'.encode(), body
            )


class HealthTest(testtools.TestCase):
    def test_it_is_healthy_while_the_last_good_sweep_is_fresh(self) -> None:
        """A load balancer then sends people to this monitor."""
        monitor = Monitor()
        self.assert_health(monitor, 503, 'none yet')
        monitor.sweep(SILENT)
        self.assert_health(monitor, 200, '0s ago')
        # Three intervals, and no longer.
        monitor.now += datetime.timedelta(minutes=3)
        self.assert_health(monitor, 200, '3m ago')
        monitor.fail()
        self.assert_health(monitor, 503, '4m ago')

    def assert_health(self, monitor: Monitor, status: int, age: str) -> None:
        answer = monitor.page('/-/healthy')
        self.assertEqual(http.HTTPStatus(status), answer.status)
        self.assertEqual(f'last good sweep: {age}\n', answer.body.decode())
        self.assertEqual(status != 200, monitor.json()['stale'])
