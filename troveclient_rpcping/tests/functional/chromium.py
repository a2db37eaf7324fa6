# SPDX-License-Identifier: Apache-2.0

"""Chromium without a window, controlled by its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from typing import Any
from typing import Self

#: The path of Chromium; None if it is not installed.
PROGRAM = shutil.which('chromium')


class Chromium:
    """A browser with one page, for a ``with`` block."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # Chromium reads commands from descriptor 3, and writes events to 4.
        self._process = subprocess.Popen(
            [
                *('bash', '-c'),
                f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}',
                *('bash', str(PROGRAM), '--headless', '--no-sandbox'),
                *('--disable-gpu', '--hide-scrollbars'),
                '--remote-debugging-pipe',
                *('--no-proxy-server', f'--user-data-dir={self._folder.name}'),
            ],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._out = open(ours_out, 'wb', buffering=0)
        self._in = open(ours_in, 'rb')
        self._number = 0
        self._events: list[str] = []
        self._session: str | None = None
        #: The messages of the console, for example about the
        #: Content-Security-Policy.
        self.messages: list[str] = []
        target = self._ask('Target.createTarget', url='about:blank')
        self._session = self._ask(
            'Target.attachToTarget', targetId=target['targetId'], flatten=True
        )['sessionId']
        for domain in ('Page', 'Log', 'Runtime'):
            self._ask(f'{domain}.enable')
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()
        self._in.close()
        self._out.close()
        self._folder.cleanup()

    def show(self, width: int, scheme: str) -> None:
        """Set the width of the page in CSS pixels, and *light* or *dark*."""
        self._ask(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=844 if width < 500 else 900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self._ask(
            'Emulation.setEmulatedMedia',
            features=[{'name': 'prefers-color-scheme', 'value': scheme}],
        )

    def load(self, url: str) -> None:
        """Load a page, and wait for its load event."""
        self._events.clear()
        self._ask('Page.navigate', url=url)
        while 'Page.loadEventFired' not in self._events:
            self._read()

    def value(self, script: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        reply = self._ask(
            'Runtime.evaluate', expression=script, returnByValue=True
        )
        return reply['result'].get('value')

    def picture(self, path: pathlib.Path) -> None:
        """Save the page, or its first 6,000 lines of pixels, as PNG."""
        size = self._ask('Page.getLayoutMetrics')['cssContentSize']
        reply = self._ask(
            'Page.captureScreenshot',
            captureBeyondViewport=True,
            clip={
                'x': 0,
                'y': 0,
                'scale': 1,
                'width': size['width'],
                'height': min(size['height'], 6000),
            },
        )
        path.write_bytes(base64.b64decode(reply['data']))

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {'id': self._number, 'method': method, 'params': params}
        if self._session:
            message['sessionId'] = self._session
        self._out.write(json.dumps(message).encode() + b'\0')
        while True:
            reply = self._read()
            if reply.get('id') == self._number:
                assert 'result' in reply, reply
                return dict(reply['result'])

    def _read(self) -> dict[str, Any]:
        """Read the next message; note events."""
        data = bytearray()
        while not data.endswith(b'\0'):
            byte = self._in.read(1)
            assert byte, 'Chromium has ended'
            data += byte
        message: dict[str, Any] = json.loads(data[:-1])
        method = message.get('method', '')
        if method == 'Log.entryAdded':
            self.messages.append(message['params']['entry']['text'])
        if method:
            self._events.append(method)
        return message
