# SPDX-License-Identifier: Apache-2.0

"""The login of the commands, in the real ``openstack`` shell."""

import io
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import fixtures
from keystoneauth1 import fixture as ksa_fixture
from openstackclient import shell

from troveclient_rpcping import fixture
from troveclient_rpcping import reply as replies
from troveclient_rpcping.plugin import timed_check
from troveclient_rpcping.tests import base

PING = ('database', 'instance', 'rpc', 'ping')
MONITOR = ('database', 'instance', 'rpc', 'monitor')

CREDENTIALS = {
    'OS_USERNAME': 'admin',
    'OS_PASSWORD': 'secret',
    'OS_PROJECT_NAME': 'admin',
    'OS_USER_DOMAIN_ID': 'default',
    'OS_PROJECT_DOMAIN_ID': 'default',
}

# Seconds. A login that takes this long has no bound.
LONG = 30.0


def keystone(trove: str, login: replies.Reply | None = None) -> Any:
    """Return how a Keystone answers whose catalog has one Trove.

    :param trove: the URL of the endpoint.
    :param login: how it answers a login; None for a token.
    """
    token = ksa_fixture.V3Token()
    token.set_project_scope(id=base.PROJECT)
    service = token.add_service('database', name='trove')
    service.add_standard_endpoints(public=trove, region='RegionOne')

    def answer(request: base.Request) -> replies.Reply:
        if request.target.endswith('/auth/tokens'):
            body = json.dumps(token).encode()
            return login or replies.Reply(
                201, {'x-subject-token': 'token-1'}, body
            )
        # The body of a login looks like another request.
        url = f'http://{request.headers.get("host")}{request.target}'
        version = ksa_fixture.V3Discovery(url)
        return replies.Reply(
            200, {}, json.dumps({'version': version}).encode()
        )

    return answer


class TestCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in [name for name in os.environ if name.startswith('OS_')]:
            self.useFixture(fixtures.EnvironmentVariable(name))
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.setenv(HOME=str(self.folder))
        self.trove = fixture.Trove()
        self.trove.start()
        self.addCleanup(self.trove.stop)
        self.trove.add(base.GUEST)

    def setenv(self, **variables: str) -> None:
        for name, value in variables.items():
            self.useFixture(fixtures.EnvironmentVariable(name, value))

    def log_in_at(self, url: str) -> None:
        """Give credentials for a Keystone."""
        self.setenv(**CREDENTIALS, OS_AUTH_URL=f'{url}/v3')

    def serve_keystone(
        self, login: replies.Reply | None = None
    ) -> base.Server:
        """Start a Keystone, and give credentials for it.

        :param login: how it answers a login; None for a token.
        """
        server = self.serve(keystone(self.trove.url, login))
        self.log_in_at(server.url)
        return server

    def write_cloud(self, keystone_url: str, **settings: Any) -> None:
        """Write a clouds.yaml, and choose its cloud."""
        auth = {
            name.removeprefix('OS_').lower(): value
            for name, value in CREDENTIALS.items()
        }
        auth['auth_url'] = f'{keystone_url}/v3'
        file = self.folder / 'clouds.yaml'
        # JSON is YAML.
        clouds = {'one': {'auth': auth, **settings}}
        file.write_text(json.dumps({'clouds': clouds}))
        self.setenv(OS_CLIENT_CONFIG_FILE=str(file), OS_CLOUD='one')

    def openstack(self, *arguments: str) -> tuple[int, str, str]:
        """Run the shell here; return its status and what it printed."""
        stdout, stderr = io.StringIO(), io.StringIO()
        # The shell configures the log of the whole process.
        self.useFixture(fixtures.FakeLogger(level=logging.INFO))
        with (
            fixtures.MonkeyPatch('sys.stdout', stdout),
            fixtures.MonkeyPatch('sys.stderr', stderr),
            fixtures.MonkeyPatch('sys.stdin', io.StringIO()),
        ):
            status = shell.main(list(arguments))
        return status, stdout.getvalue(), stderr.getvalue()

    def assert_no_login(self, words: str, *arguments: str) -> None:
        """Run both commands; expect one line that says why, and status 1."""
        for command in (PING, MONITOR):
            status, stdout, stderr = self.openstack(
                *command, base.GUEST, *arguments
            )
            self.assertEqual((1, ''), (status, stdout))
            self.assertRegex(stderr, rf'\ANo login: {words}\n\Z')
        self.assertEqual([], self.trove.requests)


class LoginTest(TestCase):
    def test_a_command_logs_in_by_itself(self) -> None:
        """The command logs in once."""
        server = self.serve_keystone()
        status, stdout, stderr = self.openstack(
            *PING, base.GUEST, '-f', 'value', '-c', 'Verdict'
        )
        self.assertEqual((0, 'reachable\n', ''), (status, stdout, stderr))
        logins = [
            each
            for each in server.requests
            if each.target.endswith('/auth/tokens')
        ]
        self.assertEqual(1, len(logins))
        (request,) = self.trove.requests
        self.assertEqual('token-1', request.headers['x-auth-token'])

    def test_without_credentials_a_line_says_what_to_give(self) -> None:
        """All credentials may be missing, or one."""
        self.assert_no_login(
            'there are no credentials. Name a cloud .* OS_PROJECT_NAME.'
        )
        self.setenv(**CREDENTIALS)
        self.assert_no_login('credentials are missing. Set OS_AUTH_URL.')
        self.setenv(OS_AUTH_URL='http://127.0.0.1:9', OS_USERNAME='')
        self.assert_no_login('credentials are missing. Set OS_USERNAME.')

    def test_a_wrong_password_is_a_line(self) -> None:
        """The line has the URL without its password."""
        server = self.serve_keystone(fixture.fault(401, 'error', 'No'))
        url = server.url.replace('http://', 'http://me:secret@')
        self.log_in_at(url)
        self.assert_no_login(
            rf'Keystone at {server.url}/v3 refuses these credentials: '
            r'No \(HTTP 401\) .*\. Check the user, the password.*'
        )

    def test_a_silent_keystone_ends_with_the_deadline(self) -> None:
        """Keystone accepts connections here, and does not answer."""
        server = self.serve(lambda request: fixture.silence())
        self.log_in_at(server.url)
        began = time.monotonic()
        status, stdout, stderr = self.openstack(
            *PING, base.GUEST, '--deadline', '3'
        )
        self.assertLess(time.monotonic() - began, LONG)
        self.assertEqual((1, ''), (status, stdout))
        self.assertRegex(
            stderr,
            rf'\ANo login: Keystone at {server.url}/v3 did not answer '
            r'within \d\.\d s\.\n\Z',
        )

    def test_a_shorter_time_of_the_user_is_obeyed(self) -> None:
        """clouds.yaml may set a timeout for each request."""
        server = self.serve(lambda request: fixture.silence())
        self.write_cloud(server.url, api_timeout=0.2)
        self.assert_no_login(r'Keystone at .* does not answer\. Check that .*')

    def test_a_signal_ends_a_login_that_hangs(self) -> None:
        """Ctrl-C and SIGTERM end it at once, and print nothing."""
        for command, number, status in (
            (PING, signal.SIGINT, 130),
            (MONITOR, signal.SIGTERM, 143),
        ):
            server = self.serve(lambda request: fixture.silence())
            self.log_in_at(server.url)
            process = subprocess.Popen(
                [
                    *(sys.executable, '-m', 'openstackclient.shell'),
                    *(*command, base.GUEST),
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            self.addCleanup(process.communicate)
            self.addCleanup(process.kill)
            while not server.requests:
                self.assertIsNone(process.poll())
                time.sleep(0.05)
            process.send_signal(number)
            self.assertEqual((b'', b''), process.communicate(timeout=LONG))
            self.assertEqual(status, process.returncode)

    def test_wrong_usage_is_found_before_the_login(self) -> None:
        """Keystone gets no request."""
        server = self.serve_keystone()
        self.assertEqual(2, self.openstack(*PING)[0])
        self.assertEqual([], server.requests)


class SettingsTest(TestCase):
    """clouds.yaml has settings for each service, and Trove is one."""

    def set_up_cloud(self, **settings: Any) -> None:
        server = self.serve(keystone('http://127.0.0.1:9/v1.0/nobody'))
        self.write_cloud(server.url, region_name='RegionOne', **settings)

    def assert_reachable(self) -> None:
        """Ping by the command and by the plugin."""
        status, _, stderr = self.openstack(*PING, base.GUEST)
        self.assertEqual((0, ''), (status, stderr))
        check = timed_check.Check([base.GUEST], time.monotonic())
        state, lines = check.outcome()
        self.assertEqual(0, state, str(lines))
        self.assertEqual(2, len(self.trove.pinged))

    def test_a_configured_endpoint_is_used(self) -> None:
        """keystoneauth fills in the project for all services."""
        url = self.trove.url.replace(base.PROJECT, '%(project_id)s')
        self.assertNotEqual(url, self.trove.url)
        for setting in (self.trove.url, url):
            self.trove.pinged.clear()
            self.set_up_cloud(database_endpoint_override=setting)
            self.assert_reachable()

    def test_a_login_without_a_catalog_needs_an_endpoint(self) -> None:
        """troveclient's exception would be an empty line."""
        self.set_up_cloud(auth_type='none', auth={})
        status, stdout, stderr = self.openstack(*PING, base.GUEST)
        self.assertEqual((1, ''), (status, stdout))
        self.assertRegex(stderr, r'\A.* set database_endpoint_override .*\n\Z')

    def test_the_kind_and_the_interface_of_the_service_are_obeyed(
        self,
    ) -> None:
        """Each one is set for the database service alone."""
        for setting, value in (
            ('database_service_type', 'rds'),
            ('database_interface', 'internal'),
            ('database_region_name', 'RegionTwo'),
        ):
            self.set_up_cloud(**{setting: value})
            status, stdout, stderr = self.openstack(*PING, base.GUEST)
            # The catalog has none of this kind.
            self.assertEqual((1, ''), (status, stdout))
            self.assertRegex(stderr, rf'\A.*{value}.* not found\n\Z')
