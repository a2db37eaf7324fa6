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

"""The judging function: each row of the table of facts, and the rest."""

import dataclasses
import json
from typing import Any

import testtools

from troveclient_rpcping import fixture
from troveclient_rpcping.reply import Failure
from troveclient_rpcping.reply import NoReply
from troveclient_rpcping.reply import Reply
from troveclient_rpcping.tests import base
from troveclient_rpcping.verdict import judge
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import unknown
from troveclient_rpcping.verdict import Verdict

ASKED = base.GUEST


def trove(status: int, message: str, name: str = 'badRequest') -> Reply:
    body = json.dumps({name: {'code': status, 'message': message}})
    return Reply(status, {'content-type': 'application/json'}, body.encode())


def guest_error(text: str) -> Reply:
    return trove(
        400, f'An error occurred communicating with the guest: {text}'
    )


TIMEOUT_2014 = (
    'Timeout while waiting on RPC response - topic: "guestagent.{id}", '
    'RPC method: "rpc_ping" info: "<unknown>".'
)

# Observed texts of kombu, amqp and oslo.messaging.
BUS_ERRORS = (
    "Exchange.declare: (403) ACCESS_REFUSED - access to exchange 'x' in vhost "
    "'/' refused for user 'y'.",
    "Queue.declare: (404) NOT_FOUND - no queue 'reply_1' in vhost '/'.",
    '(0, 0): (403) ACCESS_REFUSED - Login was refused using authentication '
    'mechanism AMQPLAIN.',
    'Unable to connect to AMQP server on 127.0.0.1:5672 after 1 tries: '
    '[Errno 111] ECONNREFUSED.',
    'Server unexpectedly closed connection',
    'Socket closed',
    'Too many heartbeats missed',
    'basic_publish: timed out',
    'connection already closed',
    'Connection was closed by the broker',
    '[Errno 111] ECONNREFUSED',
    '[Errno 104] Connection reset by peer',
    '[Errno 113] No route to host',
    '[Errno 32] Broken pipe',
)


class JudgeTest(testtools.TestCase):
    def assert_judged(
        self, reply: Reply | NoReply, verdict: Verdict, reason: Reason | None
    ) -> PingResult:
        judgement = judge(reply, ASKED)
        self.assertEqual(
            (verdict, reason), (judgement.verdict, judgement.reason)
        )
        return judgement

    def assert_unknown(
        self, reply: Reply | NoReply, reason: Reason
    ) -> PingResult:
        return self.assert_judged(reply, Verdict.UNKNOWN, reason)

    def test_a_clean_204_is_reachable(self) -> None:
        """A 204 without a body is the agent's answer."""
        reply = Reply(204, {'content-length': '0'})
        self.assert_judged(reply, Verdict.REACHABLE, None)

    def test_a_204_without_a_length_is_reachable(self) -> None:
        """Proxies drop the Content-Length of a 204, as HTTP demands."""
        self.assert_judged(Reply(204), Verdict.REACHABLE, None)

    def test_a_204_with_a_body_is_unknown(self) -> None:
        """A 204 that has or announces a body is not Trove's."""
        for reply in (
            Reply(204, {'content-length': '2'}),
            Reply(204, {}, b'{}'),
            Reply(204, {'transfer-encoding': 'chunked'}),
            Reply(204, {'content-length': '0'}, complete=False),
        ):
            self.assert_unknown(reply, Reason.BAD_RESPONSE)

    def test_the_timeout_of_today_is_unreachable(self) -> None:
        """Trove's GuestTimeout says that the agent did not answer."""
        judgement = self.assert_judged(
            trove(400, 'Timeout trying to connect to the Guest Agent.'),
            Verdict.UNREACHABLE,
            Reason.AGENT_TIMEOUT,
        )
        self.assertEqual(
            'Timeout trying to connect to the Guest Agent.', judgement.detail
        )

    def test_the_timeout_of_2014_is_unreachable(self) -> None:
        """The specification has the same text."""
        reply = guest_error(TIMEOUT_2014.format(id=ASKED))
        self.assert_judged(reply, Verdict.UNREACHABLE, Reason.AGENT_TIMEOUT)

    def test_the_timeout_until_trove_25_is_unreachable(self) -> None:
        """The words are those of oslo.messaging, in two forms."""
        number = '91656c6618944e559e258a79aaa9300e'
        for text in (
            f'Timed out waiting for a reply to message ID {number}.',
            "('Timed out waiting for a reply %(reply_q)s to message ID "
            f"%(msg_id)s.', {{'msg_id': '{number}', "
            f"'reply_q': 'reply_{number}'}}).",
        ):
            self.assert_judged(
                guest_error(text), Verdict.UNREACHABLE, Reason.AGENT_TIMEOUT
            )

    def test_a_guest_that_quotes_the_message_bus_is_alive(self) -> None:
        """Its exception has more text than the words of the bus."""
        words = 'Timed out waiting for a reply to message ID ' + 'a' * 32
        for text in (
            f'{words}.\nTraceback (most recent call last):\n',
            f'disk is full: {words}.',
            'Timed out waiting for a reply to message ID x.',
        ):
            self.assert_judged(
                guest_error(text), Verdict.ERROR, Reason.AGENT_ERROR
            )

    def test_the_timeout_as_the_specification_prints_it(self) -> None:
        """Line breaks in the JSON do not hide the timeout."""
        body = (
            '{"badRequest": {"message": "An error occurred communicating\n'
            ' with the guest: Timeout while waiting on RPC response -\n'
            f' topic: \\"guestagent.{ASKED}\\",\n'
            ' RPC method: \\"rpc_ping\\" info: \\"<unknown>\\".", '
            '"code": 400}}'
        )
        reply = Reply(400, {}, body.encode())
        self.assert_judged(reply, Verdict.UNREACHABLE, Reason.AGENT_TIMEOUT)

    def test_the_timeout_of_another_guest_is_an_error(self) -> None:
        """Only the pinged guest can be dead."""
        reply = guest_error(TIMEOUT_2014.format(id=base.OTHER))
        self.assert_judged(reply, Verdict.ERROR, Reason.AGENT_ERROR)

    def test_a_text_that_only_begins_like_a_timeout_is_an_error(
        self,
    ) -> None:
        """A guest that quotes the timeout in its exception is alive."""
        traceback = '\nTraceback (most recent call last):\n  File "x.py"'
        for text in (
            TIMEOUT_2014.format(id=ASKED) + traceback,
            'Timeout trying to connect to the Guest Agent.',
        ):
            self.assert_judged(
                guest_error(text), Verdict.ERROR, Reason.AGENT_ERROR
            )
        self.assert_unknown(
            trove(400, 'Timeout trying to connect to the Guest Agent. Not.'),
            Reason.API_ERROR,
        )

    def test_an_old_agent_is_reachable(self) -> None:
        """The agent answers that it does not know the ping: RPC works."""
        for text in (
            'Endpoint does not support RPC method rpc_ping.',
            'Endpoint does not support RPC version 1.3. Attempted method: '
            'rpc_ping',
        ):
            self.assert_judged(
                guest_error(text), Verdict.REACHABLE, Reason.NO_SUCH_METHOD
            )

    def test_only_the_words_for_the_ping_make_an_agent_old(self) -> None:
        """Other methods, or other text around the words, do not."""
        old = 'Endpoint does not support RPC method rpc_ping.'
        for text in (
            'Endpoint does not support RPC method backup.',
            f'disk is full: {old}',
        ):
            self.assert_judged(
                guest_error(text), Verdict.ERROR, Reason.AGENT_ERROR
            )
        self.assert_unknown(trove(400, old), Reason.API_ERROR)

    def test_a_bus_that_trove_cannot_use_is_unknown(self) -> None:
        """Trove reports an error of a guest that it never asked."""
        for text in BUS_ERRORS:
            judgement = self.assert_unknown(
                guest_error(text), Reason.MESSAGE_BUS
            )
            self.assertIn(judgement.detail, text)

    def test_a_guest_that_quotes_a_broken_bus_is_in_error(self) -> None:
        """The guest's text has a traceback, or words before the quote."""
        traceback = '\nTraceback (most recent call last):\n  File "x.py"'
        for text in BUS_ERRORS:
            for quoted in (text + traceback, f'backup failed: {text}'):
                self.assert_judged(
                    guest_error(quoted), Verdict.ERROR, Reason.AGENT_ERROR
                )

    def test_the_words_of_the_bus_count_only_in_troves_reply(self) -> None:
        """Trove's own introduction must come before the words."""
        for text in BUS_ERRORS:
            self.assert_unknown(trove(400, text), Reason.API_ERROR)

    def test_an_exception_of_the_agent_is_an_error(self) -> None:
        """Its detail is the first line, without Trove's introduction."""
        judgement = self.assert_judged(
            guest_error('disk is full\nTraceback (most recent call last):\n'),
            Verdict.ERROR,
            Reason.AGENT_ERROR,
        )
        self.assertEqual('disk is full', judgement.detail)
        self.assertIn('Traceback', judgement.message)

    def test_a_broken_nova_is_unknown(self) -> None:
        """Trove answers 400 for Nova's errors, and never asked the guest."""
        for text in (
            'nova is broken (HTTP 500)',
            'Unknown Error (HTTP 503)',
            'x (HTTP 500) (Request-ID: req-1234)',
        ):
            self.assert_unknown(trove(400, text), Reason.COMPUTE_ERROR)

    def test_an_unforeseen_400_is_unknown(self) -> None:
        """Any Trove error without a mapping is a 400."""
        self.assert_unknown(
            trove(400, 'Something new happened.'), Reason.API_ERROR
        )

    def test_a_400_that_is_not_troves_is_unknown(self) -> None:
        """Proxies answer 400, too."""
        for body in (
            b'',
            b'<html>Timeout trying to connect to the Guest Agent.</html>',
            b'{}',
            b'[]',
            b'null',
            b'"Timeout trying to connect to the Guest Agent."',
            b'{"error": "x"}',
            b'{"error": {"message": null}}',
            b'{"error": {"message": ["a"]}}',
            b'{"a": {"message": "x"}, "b": {"message": "y"}}',
            b'\xff\xfe{',
            b'[' * 100_000,
        ):
            self.assert_unknown(Reply(400, {}, body), Reason.BAD_RESPONSE)

    def test_nova_without_the_server_is_not_ready(self) -> None:
        """A 422 says that Trove cannot ask the guest yet."""
        self.assert_unknown(
            trove(
                422,
                f'Instance {ASKED} is not ready.',
                'unprocessableEntity',
            ),
            Reason.NOT_READY,
        )

    def test_a_missing_instance_is_not_found(self) -> None:
        """Trove's own 404 says that the instance does not exist."""
        self.assert_unknown(
            trove(404, f'Resource {ASKED} cannot be found.', 'itemNotFound'),
            Reason.NOT_FOUND,
        )

    def test_a_404_of_another_kind_does_not_deny_the_instance(self) -> None:
        """A wrong endpoint, or a proxy, knows nothing of instances."""
        self.assert_unknown(
            Reply(404, {}, b'<html>Not Found</html>'), Reason.BAD_RESPONSE
        )
        self.assert_unknown(
            trove(404, 'The resource could not be found.', 'itemNotFound'),
            Reason.API_ERROR,
        )

    def test_some_statuses_have_one_reason(self) -> None:
        """The sender and the body do not matter."""
        for status, reason in {
            401: Reason.DENIED,
            403: Reason.DENIED,
            413: Reason.RATE_LIMITED,
            429: Reason.RATE_LIMITED,
            500: Reason.API_ERROR,
            502: Reason.GATEWAY,
            503: Reason.GATEWAY,
            504: Reason.GATEWAY,
        }.items():
            for body in (b'', b'<html>', b'{"x": {"message": "y"}}', b'[1]'):
                self.assert_unknown(Reply(status, {}, body), reason)

    def test_other_successes_and_redirects_are_unknown(self) -> None:
        """Only a 204 is an answer of the guest agent."""
        for status in (200, 202, 205, 206, 301, 302, 304, 307, 399, 999):
            verdict = judge(Reply(status, {}, b'{}'), ASKED).verdict
            self.assertEqual(Verdict.UNKNOWN, verdict, str(status))

    def test_a_redirect_says_where_it_leads(self) -> None:
        """The detail names the server in one clean line."""
        for location, shown in (
            ('https://trove:8779/v1.0/p/mgmt', 'https://trove:8779'),
            ('/elsewhere', '/elsewhere'),
            ('http://[', 'http://['),
            ('https://a\x1b[31m"b/', 'https://a"b/'),
        ):
            said = judge(Reply(301, {'location': location}), ASKED)
            self.assertEqual(Reason.BAD_RESPONSE, said.reason)
            self.assertEqual(
                f'HTTP 301 redirects to {shown} and is not followed: set '
                'this address in the endpoint',
                said.detail,
            )
        for reply in (Reply(301), Reply(200, {'location': 'http://x'})):
            self.assertNotIn('redirects', judge(reply, ASKED).detail)

    def test_a_400_counts_whole_or_not_at_all(self) -> None:
        """A body whose end is in doubt proves nothing."""
        dead = trove(400, 'Timeout trying to connect to the Guest Agent.')
        right = str(len(dead.body))
        for headers in (
            {},
            {'content-length': right},
            {'content-length': f' {right} '},
            {'transfer-encoding': 'chunked'},
            {'transfer-encoding': ' Chunked '},
        ):
            reply = dataclasses.replace(dead, headers=headers)
            self.assert_judged(
                reply, Verdict.UNREACHABLE, Reason.AGENT_TIMEOUT
            )
        for headers in (
            {'content-length': '9'},
            {'content-length': f'-{right}'},
            {'content-length': f'{right}, {right}'},
            {'content-length': ''},
            {'transfer-encoding': 'identity'},
            {'transfer-encoding': 'chunked', 'content-length': right},
            {'transfer-encoding': 'gzip', 'content-length': right},
        ):
            reply = dataclasses.replace(dead, headers=headers)
            judgement = self.assert_unknown(reply, Reason.BAD_RESPONSE)
            self.assertEqual('HTTP 400 with a broken body', judgement.detail)
        self.assert_unknown(
            dataclasses.replace(dead, complete=False), Reason.BAD_RESPONSE
        )

    def test_a_reply_that_is_not_troves_is_a_bad_response(self) -> None:
        """A reply counts as Trove's only with an error status."""
        for status, reason in {
            200: Reason.BAD_RESPONSE,
            399: Reason.BAD_RESPONSE,
            402: Reason.API_ERROR,
            500: Reason.API_ERROR,
            501: Reason.API_ERROR,
        }.items():
            judgement = self.assert_unknown(trove(status, 'words'), reason)
            self.assertEqual('words', judgement.message)
            judgement = judge(Reply(status, {}, b'<html>'), ASKED)
            self.assertEqual(
                f'HTTP {status} without an error message of Trove',
                judgement.message,
            )

    def test_a_result_has_the_facts_of_its_reply(self) -> None:
        """Without a reply there is neither a time nor a status."""
        reply = Reply(204, {'x-openstack-request-id': 'req-7'})
        self.assertEqual(
            PingResult(
                instance_id=ASKED,
                verdict=Verdict.REACHABLE,
                rtt=0.5,
                http_status=204,
                request_id='req-7',
            ),
            judge(reply, ASKED, 0.5),
        )
        lost = NoReply(Failure.CONNECTION, 'refused')
        self.assertEqual(
            unknown(ASKED, Reason.CONNECTION, 'refused'),
            judge(lost, ASKED, 0.5),
        )

    def test_a_result_becomes_plain_values_with_no_hostile_text(self) -> None:
        """``detail`` is clean, and the message itself is left out."""
        text = '\x1b[1mdisk\x1b[0m is full\nTraceback'
        result = fixture.ping_result(fixture.agent_error(text), ASKED)
        self.assertEqual(
            {
                'instance_id': ASKED,
                'ok': False,
                'verdict': 'error',
                'reason': 'agent-error',
                'detail': 'disk is full',
                'rtt': result.rtt,
                'http_status': 400,
                'request_id': fixture.REQUEST_ID,
                'lost': 0,
            },
            json.loads(json.dumps(result.to_dict())),
        )

    def test_a_result_cannot_be_changed(self) -> None:
        """A sweep has one small frozen result for each guest."""
        result = PingResult(instance_id=ASKED, verdict=Verdict.REACHABLE)
        for value, name in (
            (result, 'instance_id'),
            (Reply(204), 'status'),
            (NoReply(Failure.TIMEOUT), 'kind'),
        ):
            self.assertRaises(
                dataclasses.FrozenInstanceError, setattr, value, name, 'x'
            )
            self.assertFalse(hasattr(value, '__dict__'), repr(value))
        new: Any = PingResult
        self.assertRaises(TypeError, new, ASKED, Verdict.REACHABLE)

    def test_the_dead_guests_text_counts_in_a_400_alone(self) -> None:
        """The same text with another status is not Trove's."""
        text = 'Timeout trying to connect to the Guest Agent.'
        for status in [*range(100, 400), *range(401, 600)]:
            if status != 204:
                verdict = judge(trove(status, text), ASKED).verdict
                self.assertEqual(Verdict.UNKNOWN, verdict, str(status))

    def test_failures_without_a_reply_are_unknown(self) -> None:
        """The kind of the failure is the reason, and its text is kept."""
        kinds: dict[Any, Reason] = {
            Failure.TIMEOUT: Reason.TIMEOUT,
            Failure.CONNECTION: Reason.CONNECTION,
            Failure.BAD_RESPONSE: Reason.BAD_RESPONSE,
            Failure.NOT_ASKED: Reason.NOT_ASKED,
        }
        for kind, reason in kinds.items():
            judgement = self.assert_unknown(NoReply(kind, 'why'), reason)
            self.assertEqual('why', judgement.message)
