# SPDX-License-Identifier: Apache-2.0


"""The judging function: each row of the table of facts, and the rest."""

import dataclasses
import json
from typing import Any

import testtools

from troveclient_rpcping import fixture
from troveclient_rpcping import reply as replies
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.tests import base

ASKED = base.GUEST
TIMEOUT = 'Timeout trying to connect to the Guest Agent.'
TIMEOUT_2014 = (
    'Timeout while waiting on RPC response - topic: "guestagent.{id}", '
    'RPC method: "rpc_ping" info: "<unknown>".'
)
BUS_TIMEOUT = 'Timed out waiting for a reply to message ID '
TOO_OLD = 'Endpoint does not support RPC method rpc_ping.'
TRACEBACK = '\nTraceback (most recent call last):\n  File "x.py"'

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


def trove(status: int, message: str) -> replies.Reply:
    body = json.dumps({'error': {'code': status, 'message': message}})
    return replies.Reply(
        status, {'content-type': 'application/json'}, body.encode()
    )


def guest_error(text: str) -> replies.Reply:
    return trove(
        400, f'An error occurred communicating with the guest: {text}'
    )


class JudgeTest(testtools.TestCase):
    def assert_judged(
        self,
        reply: replies.Reply | replies.NoReply,
        verdict: verdicts.Verdict,
        reason: verdicts.Reason | None,
    ) -> verdicts.PingResult:
        result = verdicts.judge(reply, ASKED)
        self.assertEqual(
            (verdict, reason), (result.verdict, result.reason), str(reply)
        )
        return result

    def assert_unknown(
        self, reply: replies.Reply | replies.NoReply, reason: verdicts.Reason
    ) -> verdicts.PingResult:
        return self.assert_judged(reply, verdicts.Verdict.UNKNOWN, reason)

    def assert_unreachable(self, reply: replies.Reply) -> verdicts.PingResult:
        return self.assert_judged(
            reply, verdicts.Verdict.UNREACHABLE, verdicts.Reason.AGENT_TIMEOUT
        )

    def assert_error(self, text: str) -> verdicts.PingResult:
        """Expect an error for this text of a guest."""
        return self.assert_judged(
            guest_error(text),
            verdicts.Verdict.ERROR,
            verdicts.Reason.AGENT_ERROR,
        )

    def test_a_clean_204_is_reachable(self) -> None:
        """Proxies drop its Content-Length, as HTTP demands.

        A 204 that has or announces a body is not Trove's.
        """
        for headers in ({}, {'content-length': '0'}):
            reply = replies.Reply(204, headers)
            self.assert_judged(reply, verdicts.Verdict.REACHABLE, None)
        for reply in (
            replies.Reply(204, {'content-length': '2'}),
            replies.Reply(204, {}, b'{}'),
            replies.Reply(204, {'transfer-encoding': 'chunked'}),
            replies.Reply(204, {'content-length': '0'}, complete=False),
        ):
            self.assert_unknown(reply, verdicts.Reason.BAD_RESPONSE)

    def test_each_timeout_of_trove_is_unreachable(self) -> None:
        """Releases have different words, two from oslo.messaging."""
        result = self.assert_unreachable(trove(400, TIMEOUT))
        self.assertEqual(TIMEOUT, result.detail)
        number = '91656c6618944e559e258a79aaa9300e'
        for text in (
            TIMEOUT_2014.format(id=ASKED),
            f'{BUS_TIMEOUT}{number}.',
            "('Timed out waiting for a reply %(reply_q)s to message ID "
            f"%(msg_id)s.', {{'msg_id': '{number}', "
            f"'reply_q': 'reply_{number}'}}).",
        ):
            self.assert_unreachable(guest_error(text))

    def test_the_timeout_as_the_specification_prints_it(self) -> None:
        """Line breaks in the JSON do not hide the timeout."""
        body = (
            '{"badRequest": {"message": "An error occurred communicating\n'
            ' with the guest: Timeout while waiting on RPC response -\n'
            f' topic: \\"guestagent.{ASKED}\\",\n'
            ' RPC method: \\"rpc_ping\\" info: \\"<unknown>\\".", '
            '"code": 400}}'
        )
        self.assert_unreachable(replies.Reply(400, {}, body.encode()))

    def test_a_guest_that_quotes_the_words_of_trove_is_in_error(self) -> None:
        """Only the pinged guest can be dead, and only in Trove's words."""
        words = BUS_TIMEOUT + 'a' * 32
        for text in (
            TIMEOUT,
            TIMEOUT_2014.format(id=base.OTHER),
            TIMEOUT_2014.format(id=ASKED) + TRACEBACK,
            f'{words}.{TRACEBACK}',
            f'disk is full: {words}.',
            f'{BUS_TIMEOUT}x.',
            'Endpoint does not support RPC method backup.',
            f'disk is full: {TOO_OLD}',
            *(text + TRACEBACK for text in BUS_ERRORS),
            *(f'backup failed: {text}' for text in BUS_ERRORS),
        ):
            self.assert_error(text)

    def test_the_words_count_only_where_trove_has_them(self) -> None:
        """The words of an agent or the bus need Trove's introduction."""
        for text in (f'{TIMEOUT} Not.', TOO_OLD, *BUS_ERRORS, 'Something new'):
            self.assert_unknown(trove(400, text), verdicts.Reason.API_ERROR)

    def test_an_old_agent_is_reachable(self) -> None:
        """The agent answers that it does not know the ping: RPC works."""
        for text in (
            TOO_OLD,
            'Endpoint does not support RPC version 1.3. Attempted method: '
            'rpc_ping',
        ):
            self.assert_judged(
                guest_error(text),
                verdicts.Verdict.REACHABLE,
                verdicts.Reason.NO_SUCH_METHOD,
            )

    def test_a_bus_that_trove_cannot_use_is_unknown(self) -> None:
        """Trove reports an error of a guest that it never asked."""
        for text in BUS_ERRORS:
            result = self.assert_unknown(
                guest_error(text), verdicts.Reason.MESSAGE_BUS
            )
            self.assertIn(result.detail, text)

    def test_an_exception_of_the_agent_is_an_error(self) -> None:
        """Its detail is the first line, without Trove's introduction."""
        result = self.assert_error(f'disk is full{TRACEBACK}')
        self.assertEqual('disk is full', result.detail)
        self.assertIn('Traceback', result.message)

    def test_a_guest_that_trove_cannot_ask_is_unknown(self) -> None:
        """Nova is broken or lacks the server, or Trove lacks the instance."""
        for status, text, reason in (
            (400, 'nova is broken (HTTP 500)', verdicts.Reason.COMPUTE_ERROR),
            (400, 'Unknown Error (HTTP 503)', verdicts.Reason.COMPUTE_ERROR),
            (
                400,
                'x (HTTP 500) (Request-ID: req-1)',
                verdicts.Reason.COMPUTE_ERROR,
            ),
            (
                422,
                f'Instance {ASKED} is not ready.',
                verdicts.Reason.NOT_READY,
            ),
            (
                404,
                f'Resource {ASKED} cannot be found.',
                verdicts.Reason.NOT_FOUND,
            ),
            # A wrong endpoint knows nothing of instances.
            (
                404,
                'The resource could not be found.',
                verdicts.Reason.API_ERROR,
            ),
            # These words count with their status alone.
            (500, 'nova is broken (HTTP 500)', verdicts.Reason.API_ERROR),
            (
                400,
                f'Resource {ASKED} cannot be found.',
                verdicts.Reason.API_ERROR,
            ),
        ):
            self.assert_unknown(trove(status, text), reason)

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
            self.assert_unknown(
                replies.Reply(400, {}, body), verdicts.Reason.BAD_RESPONSE
            )

    def test_some_statuses_have_one_reason(self) -> None:
        """The sender and the body do not matter."""
        for status, reason in {
            401: verdicts.Reason.DENIED,
            403: verdicts.Reason.DENIED,
            413: verdicts.Reason.RATE_LIMITED,
            429: verdicts.Reason.RATE_LIMITED,
            500: verdicts.Reason.API_ERROR,
            502: verdicts.Reason.GATEWAY,
            503: verdicts.Reason.GATEWAY,
            504: verdicts.Reason.GATEWAY,
        }.items():
            for body in (b'', b'<html>', b'{"x": {"message": "y"}}', b'[1]'):
                self.assert_unknown(replies.Reply(status, {}, body), reason)

    def test_a_reply_that_is_not_troves_is_a_bad_response(self) -> None:
        """A reply counts as Trove's only with an error status."""
        for status, reason in {
            200: verdicts.Reason.BAD_RESPONSE,
            399: verdicts.Reason.BAD_RESPONSE,
            402: verdicts.Reason.API_ERROR,
            404: verdicts.Reason.API_ERROR,
            500: verdicts.Reason.API_ERROR,
            501: verdicts.Reason.API_ERROR,
        }.items():
            result = self.assert_unknown(trove(status, 'words'), reason)
            self.assertEqual('words', result.message)
            reason = (
                verdicts.Reason.API_ERROR
                if status == 500
                else verdicts.Reason.BAD_RESPONSE
            )
            result = self.assert_unknown(
                replies.Reply(status, {}, b'<html>'), reason
            )
            self.assertEqual(
                f'HTTP {status} without an error message of Trove',
                result.message,
            )

    def test_the_dead_guests_text_counts_in_a_400_alone(self) -> None:
        """With any other status, nothing is known of the guest."""
        for status in {*range(100, 600), 999} - {204, 400}:
            for reply in (
                trove(status, TIMEOUT),
                replies.Reply(status, {}, b'{}'),
            ):
                verdict = verdicts.judge(reply, ASKED).verdict
                self.assertEqual(
                    verdicts.Verdict.UNKNOWN, verdict, str(status)
                )

    def test_a_redirect_says_where_it_leads(self) -> None:
        """The detail names the server in one clean line."""
        for status, location, shown in (
            (301, 'https://trove:8779/v1.0/p/mgmt', 'https://trove:8779'),
            (302, '/elsewhere', '/elsewhere'),
            (303, '/elsewhere', '/elsewhere'),
            (307, 'http://[', 'http://['),
            (308, 'https://a\x1b[31m"b/', 'https://a"b/'),
        ):
            reply = replies.Reply(status, {'location': location})
            self.assertEqual(
                f'HTTP {status} redirects to {shown} and is not followed: set '
                'this address in the endpoint',
                self.assert_unknown(
                    reply, verdicts.Reason.BAD_RESPONSE
                ).detail,
            )
        for reply in (
            replies.Reply(301),
            replies.Reply(200, {'location': 'http://x'}),
        ):
            self.assertNotIn('redirects', verdicts.judge(reply, ASKED).detail)

    def test_a_400_counts_whole_or_not_at_all(self) -> None:
        """A body whose end is in doubt proves nothing."""
        dead = trove(400, TIMEOUT)
        right = str(len(dead.body))
        for headers in (
            {},
            {'content-length': right},
            {'content-length': f' {right} '},
            {'transfer-encoding': 'chunked'},
            {'transfer-encoding': ' Chunked '},
        ):
            self.assert_unreachable(dataclasses.replace(dead, headers=headers))
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
            result = self.assert_unknown(reply, verdicts.Reason.BAD_RESPONSE)
            self.assertEqual('HTTP 400 with a broken body', result.detail)
        self.assert_unknown(
            dataclasses.replace(dead, complete=False),
            verdicts.Reason.BAD_RESPONSE,
        )

    def test_failures_without_a_reply_are_unknown(self) -> None:
        """The kind of the failure is the reason, and its text is kept."""
        for kind in replies.Failure:
            self.assertEqual(
                verdicts.unknown(ASKED, verdicts.Reason(kind.value), 'why'),
                verdicts.judge(replies.NoReply(kind, 'why'), ASKED, 0.5),
            )


class ResultTest(testtools.TestCase):
    def test_a_result_has_the_facts_of_its_reply(self) -> None:
        """The facts are the time, the status and the ID of the request."""
        reply = replies.Reply(204, {'x-openstack-request-id': 'req-7'})
        self.assertEqual(
            verdicts.PingResult(
                instance_id=ASKED,
                verdict=verdicts.Verdict.REACHABLE,
                rtt=0.5,
                http_status=204,
                request_id='req-7',
            ),
            verdicts.judge(reply, ASKED, 0.5),
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
        result = verdicts.PingResult(
            instance_id=ASKED, verdict=verdicts.Verdict.REACHABLE
        )
        for value, name in (
            (result, 'instance_id'),
            (replies.Reply(204), 'status'),
            (replies.NoReply(replies.Failure.TIMEOUT), 'kind'),
        ):
            self.assertRaises(
                dataclasses.FrozenInstanceError, setattr, value, name, 'x'
            )
            self.assertFalse(hasattr(value, '__dict__'), repr(value))
        new: Any = verdicts.PingResult
        self.assertRaises(TypeError, new, ASKED, verdicts.Verdict.REACHABLE)
