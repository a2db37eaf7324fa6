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

"""What came of one transfer of libcurl."""

from troveclient_rpcping.fleet.access import Access
from troveclient_rpcping.fleet.handle import Handle
from troveclient_rpcping.reply import NoReply
from troveclient_rpcping.tests import base


class HandleTest(base.TestCase):
    def test_an_error_without_a_text_is_named(self) -> None:
        """libcurl has none for some errors of GnuTLS."""
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
