# SPDX-License-Identifier: Apache-2.0

"""``Management.rpc_ping``, over HTTP."""

import logging
from typing import Any
import uuid

import fixtures
from keystoneauth1 import exceptions as ksa_exceptions
from keystoneauth1 import session as ksa_session
from troveclient import extension
from troveclient.apiclient import exceptions as trove_exceptions
from troveclient.v1 import client as trove_client

from troveclient_rpcping import client
from troveclient_rpcping import exceptions
from troveclient_rpcping import fixture
from troveclient_rpcping import management
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.tests import base

HTML = {'Content-Type': 'text/html'}
JSON = {'Content-Type': 'application/json'}


class RpcPingTest(base.TestCase):
    def ping(
        self, answer: Any, instance: Any = base.GUEST, **kwargs: Any
    ) -> None:
        self.server = self.serve(answer)
        manager = self.connect(self.server.url).mgmt_instances
        manager.rpc_ping(instance, **kwargs)

    def assert_raises(self, answer: Any, cls: Any, **kwargs: Any) -> Any:
        return self.assertRaises(cls, self.ping, answer, **kwargs)

    def test_an_answering_guest_gives_none(self) -> None:
        """The GET goes to the instance's rpc_ping, with the token."""
        self.ping(base.PONG)
        ((target, headers),) = self.server.requests
        self.assertEqual(
            f'/v1.0/{base.PROJECT}/mgmt/instances/{base.GUEST}/rpc_ping',
            target,
        )
        self.assertEqual('token-1', headers['x-auth-token'])

    def test_an_instance_object_is_as_good_as_its_id(self) -> None:
        """Other methods of troveclient take both. An ID may be a UUID."""
        manager = management.Management(None)
        instance = manager.resource_class(manager, {'id': base.GUEST})
        for each in (instance, uuid.UUID(base.GUEST)):
            self.ping(base.PONG, each)
            self.assertIn(base.GUEST, self.server.requests[0][0])

    def test_a_dead_guest_raises_guest_unreachable(self) -> None:
        """It is troveclient's BadRequest, with the IDs of both."""
        error = self.assert_raises(base.DEAD, exceptions.GuestUnreachable)
        self.assertIsInstance(error, trove_exceptions.BadRequest)
        self.assertEqual(verdicts.Reason.AGENT_TIMEOUT, error.reason)
        self.assertEqual(400, error.http_status)
        self.assertEqual(
            (base.GUEST, f'req-{base.GUEST}'),
            (error.instance_id, error.request_id),
        )
        path = self.server.requests[0][0].removeprefix(f'/v1.0/{base.PROJECT}')
        self.assertEqual(self.server.url + path, error.url)
        self.assertIn('Timeout trying to connect', str(error))

    def test_a_failing_agent_raises_guest_error_with_all_of_its_text(
        self,
    ) -> None:
        """The exception keeps the traceback that a row has no room for."""
        text = 'disk is full\nTraceback (most recent call last):\n  x'
        error = self.assert_raises(
            base.bad_request(
                f'An error occurred communicating with the guest: {text}'
            ),
            exceptions.GuestError,
        )
        self.assertIsInstance(error, trove_exceptions.BadRequest)
        self.assertEqual(verdicts.Reason.AGENT_ERROR, error.reason)
        self.assertIn(text, error.message)

    def test_a_broken_nova_is_a_bad_request_only(
        self,
    ) -> None:
        """The error says nothing about the guest."""
        error = self.assert_raises(
            base.bad_request('nova is broken (HTTP 500)'),
            trove_exceptions.BadRequest,
        )
        self.assertIs(trove_exceptions.BadRequest, type(error))
        self.assertEqual(
            (verdicts.Reason.COMPUTE_ERROR, base.GUEST),
            (error.reason, error.instance_id),
        )

    def test_a_broken_line_of_the_head_hides_no_reason(self) -> None:
        """The body still has the words of Trove."""
        body = (
            b'{"itemNotFound": {"code": 404, "message": '
            b'"Resource x cannot be found."}}'
        )
        error = self.assert_raises(
            b'HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n'
            b'no colon\r\n\r\n%b' % (len(body), body),
            trove_exceptions.NotFound,
        )
        self.assertIs(verdicts.Reason.NOT_FOUND, error.reason)

    def test_malformed_replies_raise_troveclients_exceptions(self) -> None:
        """Each reply raises the exception of its status."""
        bodies = {
            'HTML': (b'<html>no</html>', HTML),
            'a text for an error': (b'{"error": "bad gateway"}', JSON),
            'a list': (b'[1, 2]', JSON),
            'no body': (b'', {}),
            'no UTF-8': (b'\xff\xfe\x80', JSON),
            'megabytes': (b'{"x": "' + b'y' * 4_000_000 + b'"}', JSON),
            'deep nesting': (b'[' * 200_000, JSON),
            'a wrong encoding': (b'x', {'Content-Encoding': 'gzip', **JSON}),
        }
        statuses: dict[str, type[Any]] = {
            '400 Bad Request': trove_exceptions.BadRequest,
            '401 Unauthorized': trove_exceptions.Unauthorized,
            '404 Not Found': trove_exceptions.NotFound,
            '413 Too Large': trove_exceptions.RequestEntityTooLarge,
            '418 Teapot': trove_exceptions.HTTPClientError,
            '429 Too Many Requests': trove_exceptions.HTTPClientError,
            '500 Error': trove_exceptions.InternalServerError,
            '502 Bad Gateway': trove_exceptions.BadGateway,
            '503 Unavailable': trove_exceptions.ServiceUnavailable,
            '599 Own': trove_exceptions.HttpServerError,
            '200 OK': trove_exceptions.HttpError,
            '302 Found': trove_exceptions.HttpError,
        }
        for status, cls in statuses.items():
            for what, (body, headers) in bodies.items():
                headers = {**headers, 'Retry-After': '7', 'Location': '/'}
                error = self.assert_raises(
                    base.raw(status, body, headers), cls
                )
                self.assertEqual(int(status[:3]), error.http_status, what)
                if status.startswith('413'):
                    # troveclient reads the pause from the header, too.
                    self.assertEqual(7, error.retry_after)

    def test_a_silent_server_ends_with_the_timeout(self) -> None:
        """The server accepts the request, and does not answer."""
        error = ksa_exceptions.ConnectTimeout
        self.assert_raises(fixture.silence(), error, timeout=0.2)

    def test_an_id_that_quoting_cannot_protect_is_refused(self) -> None:
        """Clients and proxies fold dots and unquote slashes."""
        for instance in ('', '.', '..', '../..', 'a/b', 'a\\b', '/', '...'):
            error = self.assert_raises(
                base.PONG, exceptions.InvalidInstanceID, instance=instance
            )
            self.assertEqual(
                (instance, None), (error.instance_id, error.request_id)
            )
            self.assertEqual([], self.server.requests)

    def test_what_is_not_an_instance_is_a_type_error(self) -> None:
        """It may be alone, in a list, or in the place of a list."""
        server = self.serve(base.PONG)
        manager = self.connect(server.url).mgmt_instances
        for wrong in (None, 7, True, b'x', ['x'], {'id': 'x'}, object()):
            self.assertRaises(TypeError, manager.rpc_ping, wrong)
            for method in (
                manager.rpc_ping_each,
                manager.rpc_ping_until_reachable,
            ):
                error = self.assertRaises(
                    TypeError, method, [base.GUEST, wrong]
                )
                self.assertIn('neither the ID of an instance', str(error))
                lazy = method(iter([wrong]))
                self.assertRaises(TypeError, next, lazy)
        for wrong in (base.GUEST, base.GUEST.encode(), None, 7):
            self.assertRaises(TypeError, manager.rpc_ping_each, wrong)
        self.assertEqual([], server.requests)

    def test_a_client_without_a_session_is_an_error(self) -> None:
        """The error comes with the call, not with the first result."""
        trove = trove_client.Client('user', 'secret', 'project', 'http://x')
        manager = management.Management(trove)
        for method, instances in (
            (manager.rpc_ping, base.GUEST),
            (manager.rpc_ping_each, [base.GUEST]),
        ):
            error = self.assertRaises(
                exceptions.SessionRequired, method, instances
            )
            self.assertIn('session', str(error))


class ClientTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = self.serve(base.PONG)
        self.session = ksa_session.Session(auth=base.Login(self.server.url))

    def test_troveclient_takes_the_method_as_an_extension(self) -> None:
        """The documentation shows this way for an own Client."""
        trove = trove_client.Client(
            session=self.session,
            extensions=[extension.Extension('mgmt_instances', management)],
        )
        self.assertIsNone(trove.mgmt_instances.rpc_ping(base.GUEST))

    def test_an_existing_client_can_be_wrapped(self) -> None:
        """The wrapped client itself is not changed."""
        trove = trove_client.Client(session=self.session)
        management.Management(trove).rpc_ping(base.GUEST)
        self.assertEqual(1, len(self.server.requests))
        self.assertFalse(hasattr(trove.mgmt_instances, 'rpc_ping'))

    def test_everything_else_of_the_client_is_unchanged(self) -> None:
        """Only mgmt_instances is new; it keeps its old methods.

        The caller's own extensions are loaded, too.
        """
        ours = client.Client(
            session=self.session,
            extensions=[extension.Extension('more', management)],
        )
        self.assertIsInstance(ours.more, management.Management)
        theirs = trove_client.Client(session=self.session)
        for name, manager in vars(theirs).items():
            expected = type(manager)
            if name == 'mgmt_instances':
                expected = management.Management
            self.assertIs(expected, type(getattr(ours, name)), name)
        self.assertTrue(
            issubclass(management.Management, type(theirs.mgmt_instances))
        )


class LogTest(base.TestCase):
    def test_the_log_has_the_reply_but_neither_token_nor_escapes(
        self,
    ) -> None:
        """With --debug the log has the guest's whole text, clean."""
        logger = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        server = self.serve(
            base.bad_request(
                'An error occurred communicating with the guest: '
                '\x1b[31mdisk\x07 is full\nTraceback\n  \u202eevil'
            )
        )
        self.assertRaises(
            exceptions.GuestError,
            self.connect(server.url).mgmt_instances.rpc_ping,
            base.GUEST,
        )
        self.assertIn('disk is full', logger.output)
        self.assertIn('| Traceback', logger.output)
        self.assertIn('| \ufffdevil', logger.output)
        self.assertNotIn('token-1', logger.output)
        self.assertNotRegex(logger.output, '[\x1b\x07\u202e]')
