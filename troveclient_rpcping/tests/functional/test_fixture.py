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

    def test_the_replies_are_those_of_trove(self) -> None:
        """The status, the header fields and the JSON are the same."""
        unready, deleted = map(self.id_of, ('db-unready', 'db-deleted'))
        for reply, guest, cloud in (
            (fixture.reachable(), 'db-healthy', 'sandbox'),
            (fixture.agent_timeout(), 'db-dead', 'sandbox'),
            (fixture.no_such_method(), 'db-old', 'sandbox'),
            (fixture.not_ready(unready), 'db-unready', 'sandbox'),
            (fixture.not_found(deleted), 'db-deleted', 'sandbox'),
            (fixture.denied(), 'db-healthy', 'sandbox-member'),
        ):
            self.assert_alike(reply, self.real(guest, cloud))

    def test_an_agent_that_raises(self) -> None:
        """The text is that of the agent, with its traceback."""
        real = self.real('db-failing')
        text = (real.fault or '').partition(': ')[2]
        self.assertIn('Traceback (most recent call last)', text)
        self.assert_alike(fixture.agent_error(text), real)

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
