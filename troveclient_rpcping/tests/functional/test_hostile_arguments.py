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

"""The whole command with absurd and hostile arguments.

Each test has its own server, and needs no sandbox.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
from typing import Any

import fixtures

from troveclient_rpcping.tests import base as http
from troveclient_rpcping.tests.functional import base

# Seconds after which a test gives up a command.
LONG = 300


class TestCase(http.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        listing = json.dumps(
            {'instances': [{'id': http.GUEST, 'name': '-x'}]}
        ).encode()
        self.server = self.serve(
            lambda request: (
                http.PONG
                if request.target.endswith('/rpc_ping')
                else http.raw('200 OK', listing)
            )
        )

    def start(
        self, *arguments: str, url: str = '', token: str = ''
    ) -> subprocess.Popen[bytes]:
        """Start a ping."""
        kept = ('PATH', 'LANG', 'LC_ALL', 'PYTHONPATH')
        process = subprocess.Popen(
            [
                *(base.program('openstack'), '--os-auth-type', 'admin_token'),
                *('--os-token', token or 'x'),
                *('--os-endpoint', url or self.server.url),
                *(*base.PING, '-f', 'json', *arguments),
            ],
            env={
                **{key: os.environ[key] for key in kept if key in os.environ},
                'HOME': str(self.folder),
                'PYTHONUTF8': '1',
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def ping(
        self, *arguments: str, stdin: bytes = b'', **kwargs: Any
    ) -> base.Run:
        process = self.start(*arguments, **kwargs)
        stdout, stderr = process.communicate(stdin, timeout=LONG)
        return base.Run(
            process.returncode,
            stdout.decode(),
            stderr.decode('utf-8', 'backslashreplace'),
        )

    def assert_said(self, run: base.Run, status: int, words: str) -> None:
        """The mistake is one line, and there are no rows."""
        self.assertEqual((status, ''), (run.status, run.stdout), run.stderr)
        self.assertNotIn('Traceback', run.stderr)
        lines = run.stderr.splitlines()
        self.assertEqual(1, len(lines), run.stderr)
        self.assertIn(words, lines[0])


class ArgumentsTest(TestCase):
    def test_an_absurd_number_is_wrong_usage(self) -> None:
        """The exit status is 2, and one line says what to give."""
        for option, text in (
            ('--timeout', '1e400'),
            ('--concurrency', '１２'),
            ('--count', '1_000'),
        ):
            run = self.ping(f'{option}={text}', 'x')
            self.assert_said(run, 2, f'argument {option}: "{text}" is no')
        self.assertEqual([], self.server.requests)

    def test_hostile_names_are_rows(self) -> None:
        """So are names in another encoding, and names with a dash."""
        names = ['\udcff\udc80', '\x1b[31m\n', '../x', '\u202ex', '🐘']
        run = self.ping('--', *names, '-x')
        self.assertEqual(1, run.status, run.stderr)
        self.assertEqual(
            ['unknown'] * 5 + ['reachable'],
            [row['Verdict'] for row in run.rows],
        )
        self.assertNotRegex(run.stdout, '[\x1b\u202e]')
        # The listing, and the ping of the instance that exists.
        self.assertEqual(2, len(self.server.requests))

    def test_what_cannot_be_sent_says_what_to_do(self) -> None:
        """The endpoint or the token is not ASCII: the exit status is 1."""
        url = f'{self.server.url}/ä'
        self.assert_said(self.ping(http.GUEST, url=url), 1, '%C3%A4')
        run = self.ping(http.GUEST, token='tökén')  # noqa: S106 -- not a token
        self.assert_said(run, 1, '--os-token, OS_TOKEN')
        self.assertEqual([], self.server.requests)


class FilesTest(TestCase):
    def test_what_is_no_list_is_said(self) -> None:
        """A folder, an endless file and a binary file are errors."""
        program = self.folder / 'program'
        program.write_bytes(b'\x7fELF\x00\x00')
        for file, words in (
            (str(self.folder), 'Is a directory'),
            ('/dev/zero', 'too large'),
            (str(program), 'is not text in UTF-8: see line 1'),
            ('/no\nsuch', 'Cannot read /no such: No such file'),
        ):
            self.assert_said(self.ping('--from-file', file), 1, words)
        self.assertEqual([], self.server.requests)

    def test_a_hundred_thousand_names_come_from_stdin(self) -> None:
        """Each name is a row."""
        lines = ''.join(f'db-{number}\r\n' for number in range(100_000))
        run = self.ping('--from-file', '-', stdin=lines.encode('utf-8-sig'))
        self.assertEqual(1, run.status, run.stderr)
        self.assertEqual(100_000, len(run.rows))
        self.assertEqual('db-0', run.rows[0]['Name'])

    def test_a_pipe_that_nobody_writes_to_can_be_left(self) -> None:
        """Ctrl-C and SIGTERM end the command without output."""
        pipe = self.folder / 'pipe'
        os.mkfifo(pipe)
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = self.start('--from-file', str(pipe))
            with self.opened(pipe, process):
                process.send_signal(number)
                stdout, stderr = process.communicate(timeout=LONG)
            self.assertEqual((status, b''), (process.returncode, stdout))
            self.assertEqual(b'', stderr)

    @contextlib.contextmanager
    def opened(
        self, pipe: pathlib.Path, process: subprocess.Popen[bytes]
    ) -> Iterator[None]:
        """Wait until the command opens a pipe; hold its other end."""
        while True:
            self.assertIsNone(process.poll())
            try:
                writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                # The command has not opened the pipe yet.
                time.sleep(0.01)
            else:
                break
        try:
            yield
        finally:
            os.close(writer)
