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

"""One request on one libcurl handle."""

from typing import Any
from unittest import mock

import pycurl

from troveclient_rpcping.engine.access import Access
from troveclient_rpcping.engine.handle import Handle
from troveclient_rpcping.engine.loop import Loop
from troveclient_rpcping.reply import Failure
from troveclient_rpcping.reply import NoReply
from troveclient_rpcping.reply import Reply
from troveclient_rpcping.tests import base

# CURLOPT_QUICK_EXIT, in curl.h since 7.87.
QUICK_EXIT = 322


class HandleTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = self.serve(base.PONG)
        self.access = Access(self.connect(self.server.url))
        self.loop = Loop()
        self.addCleanup(self.loop.close)

    def send(self, handle: Handle, **kwargs: Any) -> Reply | NoReply:
        """Send a request, and wait for its end."""
        handle.prepare(
            self.server.url,
            [],
            **{'timeout': base.LONG, 'limit': 1000, **kwargs},
        )
        self.loop.start(handle)
        [(ended, code, message)] = self.loop.wait(base.LONG)
        return ended.outcome(code, message)

    def test_a_connection_is_kept_for_the_next_request(self) -> None:
        """A request of the same handle, or of another one, uses it."""
        handle = Handle(self.access)
        for _ in range(3):
            self.send(handle)
        self.send(Handle(self.access))
        self.assertEqual(1, self.server.connections)

    def test_a_fresh_request_has_a_connection_of_its_own(self) -> None:
        """The request takes no kept connection, and leaves none behind."""
        handle = Handle(self.access)
        self.send(handle, fresh=True)
        self.send(handle)
        self.assertEqual(2, self.server.connections, 'none was left')
        self.send(handle, fresh=True)
        self.assertEqual(3, self.server.connections, 'none was taken')
        self.send(handle)
        self.assertEqual(3, self.server.connections, 'the second was kept')

    def test_a_timeout_says_whether_there_was_a_connection(self) -> None:
        """The API accepts a new or a kept connection, and keeps silent."""

        def silent(request: base.Request) -> None:
            self.server.done.wait()

        handle = Handle(self.access)
        self.send(handle)
        self.server.answer = silent
        for fresh in (False, True):
            self.assertEqual(
                NoReply(
                    Failure.TIMEOUT, 'No answer from the API within 0.5 s'
                ),
                self.send(handle, timeout=0.5, fresh=fresh),
            )

    def test_an_end_does_not_wait_for_a_silent_name_server(self) -> None:
        """An older libcurl does not know the option."""
        for supported in (True, False):
            curl = mock.Mock()

            def setopt(
                option: int, value: object, supported: bool = supported
            ) -> None:
                if option == QUICK_EXIT and not supported:
                    raise pycurl.error('unknown option')

            curl.setopt.side_effect = setopt
            self.patch(pycurl, 'Curl', lambda curl=curl: curl)
            Handle(self.access)
            self.assertIn(mock.call(QUICK_EXIT, 1), curl.setopt.call_args_list)

    def test_this_libcurl_knows_the_option(self) -> None:
        """The number of the option is right."""
        if pycurl.version_info()[2] < 0x075700:
            self.skipTest('libcurl is older than 7.87')
        pycurl.Curl().setopt(QUICK_EXIT, 1)

    def test_an_error_without_a_text_is_named(self) -> None:
        """libcurl has no text for some errors of GnuTLS."""
        api = self.connect(self.serve(base.PONG).url)
        handle = Handle(Access(api))
        for code, words in (
            (35, 'libcurl error 35 (ssl connect error)'),
            (56, 'libcurl error 56 (recv error)'),
            (999, 'libcurl error 999 (unnamed)'),
        ):
            outcome = handle.outcome(code, '')
            assert isinstance(outcome, NoReply)
            self.assertEqual(words, outcome.message)
            told = handle.outcome(code, 'reset by peer')
            assert isinstance(told, NoReply)
            self.assertEqual('reset by peer', told.message)
