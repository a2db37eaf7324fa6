# SPDX-License-Identifier: Apache-2.0

"""The line that says why a login failed, and what to do."""

from __future__ import annotations

import json
from typing import Any

from keystoneauth1 import exceptions as ksa_exceptions
from keystoneauth1 import session as ksa_session
from keystoneauth1.identity import generic
from keystoneauth1.identity import v3

from troveclient_rpcping.cli import login_failure
from troveclient_rpcping.tests import base


class MissingTest(base.TestCase):
    def said(self, auth_type: str = 'password', **auth: Any) -> str | None:
        failure = login_failure.missing(auth_type, auth)
        if failure is None:
            return None
        self.assertTrue(failure.mistake)
        return failure.text

    def test_a_lack_of_all_credentials_is_explained(self) -> None:
        """The line has every way to give credentials."""
        for auth in ({}, {'project_name': 'x'}, {'auth_url': ''}):
            said = self.said(**auth) or ''
            for word in ('--os-cloud', 'OS_CLOUD', 'OS_AUTH_URL'):
                self.assertIn(word, said)

    def test_missing_credentials_are_named(self) -> None:
        """The line has the missing variables, and no other ones."""
        url = 'https://keystone'
        for auth, names in (
            ({'auth_url': url}, 'OS_USERNAME, OS_PASSWORD'),
            ({'auth_url': url, 'username': 'x'}, 'OS_PASSWORD'),
            ({'auth_url': url, 'user_id': 'x'}, 'OS_PASSWORD'),
            ({'auth_url': url, 'password': 'x'}, 'OS_USERNAME'),
            ({'username': 'x', 'password': 'x'}, 'OS_AUTH_URL'),
        ):
            self.assertEqual(
                f'credentials are missing. Set {names}.', self.said(**auth)
            )

    def test_a_url_without_a_scheme_is_explained(self) -> None:
        """keystoneauth would take the URL for the name of a service."""
        said = self.said(auth_url='keystone:5000/v3', username='x')
        self.assertIn('does not begin with http:// or https://', said or '')

    def test_complete_credentials_are_not_a_mistake(self) -> None:
        """Other kinds of login need other credentials."""
        for auth_type, auth in (
            ('password', {'username': 'x', 'password': 'x'}),
            ('v3applicationcredential', {'application_credential_id': 'x'}),
            ('v3token', {'token': 'x'}),
        ):
            auth['auth_url'] = 'http://keystone'
            self.assertIsNone(self.said(auth_type, **auth))
        self.assertIsNone(self.said('none'))
        self.assertIsNone(
            self.said('admin_token', token='x', endpoint='http://trove')  # noqa: S106
        )


class ExplainedTest(base.TestCase):
    def login(self, url: str, kind: Any = v3.Password) -> str:
        """Log in there, which must fail; return the explanation."""
        auth = {'auth_url': url, 'username': 'joe', 'password': 'secret'}
        error = self.assertRaises(
            ksa_exceptions.ClientException,
            ksa_session.Session(
                auth=kind(**auth, project_name='x'), timeout=2
            ).get_token,
        )
        failure = login_failure.explained(error, 'password', auth)
        assert failure is not None
        self.assertFalse(failure.mistake)
        self.assertNotIn('secret', failure.text)
        return failure.text

    def test_a_failed_login_says_what_keystone_answered(self) -> None:
        """The line also says which server that was, and what to check."""
        for answer, message, words in (
            (
                '401 Unauthorized',
                'The password is expired.',
                r'refuses these credentials: The password is expired\. '
                r'\(HTTP 401\)\. Check the user, the password, ',
            ),
            (
                '404 Not Found',
                'Could not find Application Credential: x.',
                'refuses these credentials: Could not find Application ',
            ),
            ('404 Not Found', '', r'is not there \(HTTP 404\)\. Check that'),
            ('503 Service Unavailable', '', 'answered: .*HTTP 503'),
            ('', '', 'does not answer. Check that Keystone runs'),
        ):
            reply = base.raw(
                answer,
                json.dumps({'error': {'message': message}}).encode(),
                {'Content-Type': 'application/json'} if message else None,
            )
            url = self.serve(reply if answer else b'').url
            self.assertRegex(self.login(url), rf'\AKeystone at {url} {words}')

    def test_a_keystone_that_is_gone_is_explained_in_few_words(self) -> None:
        """The same holds while keystoneauth looks up the API version."""
        server = self.serve(base.PONG)
        server.stop()
        for kind in (v3.Password, generic.Password):
            self.assertTrue(
                self.login(server.url, kind).startswith(
                    f'Keystone at {server.url} cannot be reached: Connection '
                    'refused. Check that Keystone runs, '
                )
            )

    def test_a_name_without_an_address_is_explained(self) -> None:
        """The line has the words of the name server."""
        self.assertIn(
            'Keystone at http://nosuch.invalid cannot be reached: ',
            self.login('http://nosuch.invalid'),
        )

    def test_an_option_that_is_missing_or_does_not_fit_is_named(self) -> None:
        """The line has the words of the library that found the mistake."""
        for error, mistake, words in (
            (
                ksa_exceptions.EndpointNotFound('in North region not found'),
                False,
                'in North region not found. Check the region (OS_REGION_NAME)',
            ),
            # A token without a project has no catalog.
            (ksa_exceptions.EmptyCatalog(), True, 'Set OS_PROJECT_NAME'),
            (
                Exception('Missing value auth-url required for auth plugin x'),
                True,
                'Set OS_AUTH_URL',
            ),
            (
                TypeError("f() got an unexpected keyword argument 'tenant'"),
                True,
                'a login of the type token does not take tenant',
            ),
        ):
            failure = login_failure.explained(error, 'token', {'token': 'x'})
            assert failure is not None
            self.assertEqual(mistake, failure.mistake)
            self.assertIn(words, failure.text)

    def test_other_errors_have_no_explanation(self) -> None:
        """A bug or a failed listing is not a failed login."""
        for error in (ValueError('a bug'), OSError('no'), TypeError('no')):
            self.assertIsNone(
                login_failure.explained(error, 'token', {'token': 'x'})
            )
