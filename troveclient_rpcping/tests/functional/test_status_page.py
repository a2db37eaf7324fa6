# SPDX-License-Identifier: Apache-2.0

"""The status page in the real Chromium. The tests need Chromium.

To see the pages, set the environment variable ``STATUS_PAGE_PICTURES`` to a
folder.
"""

from __future__ import annotations

import os
import pathlib
import unittest

from troveclient_rpcping.tests import base
from troveclient_rpcping.tests.functional import chromium
from troveclient_rpcping.tests.functional import test_prometheus
from troveclient_rpcping.tests.unit import test_status_page
from troveclient_rpcping.web import server as web_server

# The widths of a phone, of a small window and of a large window.
WIDTHS = (390, 1024, 1920)

H1 = 'document.querySelector("h1").innerText'

needs_chromium = unittest.skipUnless(
    chromium.PROGRAM, 'Chromium is not installed: apt-get install chromium'
)


@needs_chromium
class PageTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.browser = self.enterContext(chromium.Chromium())

    def url(self, monitor: test_status_page.Monitor) -> str:
        """Serve the pages of a monitor; return the URL."""
        served = self.enterContext(
            web_server.Server(monitor.pages, '127.0.0.1', 0)
        )
        return f'http://127.0.0.1:{served.server_port}'

    def assert_fits(
        self, name: str, monitor: test_status_page.Monitor
    ) -> None:
        """Check a page in all sizes and colours."""
        url = self.url(monitor)
        folder = os.environ.get('STATUS_PAGE_PICTURES')
        for width in WIDTHS:
            colours = set()
            for scheme in ('dark', 'light'):
                self.browser.show(width, scheme)
                self.browser.load(url)
                # No part of the page is beyond the right edge.
                self.assertEqual(
                    width,
                    self.browser.value(
                        'Math.max(innerWidth, document.body.scrollWidth, '
                        'document.documentElement.scrollWidth)'
                    ),
                )
                colours.add(
                    self.browser.value(
                        'getComputedStyle(document.body).backgroundColor'
                    )
                )
                if folder:
                    file = f'{name}-{width}-{scheme}.png'
                    self.browser.picture(pathlib.Path(folder, file))
            self.assertEqual(2, len(colours))
        self.assertEqual([], self.browser.messages)

    def test_the_page_fits_with_any_number_of_guests_down(self) -> None:
        """The list has 200 of these guests, at the most."""
        for down, headline in (
            (0, 'All 150 guests reachable'),
            (20, '20 guests down'),
            (5000, '5,000 guests down'),
        ):
            monitor = test_status_page.Monitor({'cloud': 'north'})
            monitor.hosts = ['compute-17'] * min(down, 100)
            some = down // 4
            for minute in range(40):
                silent, full = (
                    (test_status_page.SILENT, test_status_page.FULL)
                    if minute > 30
                    else [test_status_page.REACHABLE] * 2
                )
                monitor.sweep(
                    *[silent] * (down - some),
                    *[full] * some,
                    *[test_status_page.REACHABLE] * 150,
                    rtt=0.03 + minute % 7 / 1000,
                )
            self.assert_fits(str(down), monitor)
            self.assertEqual(headline, self.browser.value(H1))
            rows = 'document.querySelectorAll("tbody tr").length'
            self.assertEqual(min(down, 200), self.browser.value(rows))

    def test_the_control_plane_fails(self) -> None:
        """The page shows the last known verdicts."""
        monitor = test_status_page.Monitor()
        monitor.sweep(test_status_page.SILENT, test_status_page.REACHABLE)
        monitor.fail('Trove answered 503: "No server is available"')
        self.assert_fits('failing', monitor)
        self.assertEqual(
            'Control plane failing since 03:02 UTC', self.browser.value(H1)
        )

    def test_no_text_runs_or_loads_anything(self) -> None:
        """A hostile text stays in its place."""
        for text in test_status_page.HOSTILE[:6]:
            monitor = test_status_page.Monitor(text=text)
            monitor.sweep(test_status_page.REACHABLE)
            monitor.sweep(test_status_page.FULL, test_status_page.GATEWAY)
            self.assert_fits('hostile', monitor)
            self.assertEqual(
                0,
                self.browser.value(
                    'document.querySelectorAll("script, img, [onerror], '
                    '[onmouseover], body style").length'
                ),
            )

    def test_the_browser_enforces_the_policy(self) -> None:
        """An added script or style has no effect."""
        self.browser.load(self.url(test_status_page.Monitor()))
        for tag, text in (
            ('script', 'window.ran = true'),
            ('style', 'body { color: red }'),
        ):
            self.browser.value(
                f'document.body.append(Object.assign('
                f'document.createElement("{tag}"), {{textContent: "{text}"}}))'
            )
        self.assertIsNone(self.browser.value('window.ran'))
        self.assertNotEqual(
            'rgb(255, 0, 0)',
            self.browser.value('getComputedStyle(document.body).color'),
        )
        self.assertEqual(2, len(self.browser.messages))
        for message in self.browser.messages:
            self.assertIn('Content Security Policy', message)


@needs_chromium
class MonitorTest(test_prometheus.TestCase):
    """The real monitor sweeps the sandbox, and serves the page."""

    def test_the_browser_shows_each_sweep_by_itself(self) -> None:
        """The page shows a guest that dies, without a click."""
        url = self.start_monitor()
        self.assertIn('ago', test_prometheus.get(f'{url}/-/healthy'))
        browser = self.enterContext(chromium.Chromium())
        browser.load(url)
        self.assertEqual('2 guests down', browser.value(H1))
        self.sandbox.set_guest('db-healthy', 'dead')
        test_prometheus.wait_for(
            'page', lambda: browser.value(H1) == '3 guests down'
        )
