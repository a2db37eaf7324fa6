# SPDX-License-Identifier: Apache-2.0

"""The replies of the fixture are those of a real Trove."""

from typing import Any

from openstack import config as sdk_config

from troveclient_rpcping import client
from troveclient_rpcping import fixture
from troveclient_rpcping import reply as replies
from troveclient_rpcping import transport
from troveclient_rpcping.tests.functional import base

# These fields differ between requests, or between servers.
_OF_ITS_OWN = {'date', 'x-openstack-request-id', 'connection', 'server'}


class FixtureTest(base.TestCase):
    def real(self, guest: str, cloud: str = 'sandbox') -> replies.Reply:
        """Ping a guest, and return the reply of the real Trove."""
        config = sdk_config.OpenStackConfig(
            config_files=[str(self.sandbox.clouds_yaml)], load_envvars=False
        )
        session = config.get_one(cloud).get_session()
        trove = client.Client(session=session, region_name='RegionOne')
        path = transport.ping_path(self.id_of(guest))
        reply = transport.get(trove, path, 30)
        self.assertTrue((reply.request_id or '').startswith('req-'))
        return reply

    def assert_alike(
        self, expected: replies.Reply, real: replies.Reply
    ) -> None:
        self.assertEqual(
            (expected.status, expected.json()), (real.status, real.json())
        )
        self.assertEqual(_fields(expected), _fields(real))

    def test_live_and_dead_guests(self) -> None:
        """The fixture has the 204 and the timeout."""
        self.assert_alike(fixture.reachable(), self.real('db-healthy'))
        self.assert_alike(fixture.agent_timeout(), self.real('db-dead'))

    def test_failing_guests(self) -> None:
        """The fixture has an old agent and an agent that raises."""
        self.assert_alike(fixture.no_such_method(), self.real('db-old'))
        real = self.real('db-failing')
        text = (real.fault or '').partition(': ')[2]
        self.assertIn('Traceback (most recent call last)', text)
        self.assert_alike(fixture.agent_error(text), real)

    def test_guests_that_trove_cannot_ask(self) -> None:
        """The fixture has a guest without a server, and a deleted one."""
        for reply, name in (
            (fixture.not_ready, 'db-unready'),
            (fixture.not_found, 'db-deleted'),
        ):
            self.assert_alike(reply(self.id_of(name)), self.real(name))

    def test_a_member_may_not_ping(self) -> None:
        """The fixture has the refusal."""
        real = self.real('db-healthy', cloud='sandbox-member')
        self.assert_alike(fixture.denied(), real)

    def test_a_broken_nova(self) -> None:
        """The reply has the words of Nova."""
        self.sandbox.set_nova('broken')
        real = self.real('db-healthy')
        self.assertRegex(real.fault or '', r'\(HTTP 500\)')
        self.assert_alike(fixture.compute_error(real.fault or ''), real)

    def test_something_unforeseen(self) -> None:
        """Only the number in the text differs."""
        self.sandbox.kill('cloud')
        real, expected = self.real('db-healthy'), fixture.api_error()
        self.assertEqual(expected.status, real.status)
        self.assertEqual(
            (expected.fault or '').partition('(')[0],
            (real.fault or '').partition('(')[0],
        )


def _fields(reply: replies.Reply) -> dict[str, Any]:
    """Return the header fields that are the same in each such reply."""
    return {
        # The URL of Keystone differs.
        name: value.partition('uri=')[0]
        for name, value in reply.headers.items()
        # The JSON may have other spaces.
        if name not in _OF_ITS_OWN | {'content-length'}
    }
