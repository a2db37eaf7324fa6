# SPDX-License-Identifier: Apache-2.0

"""TLS, for a sweep and for a single ping alike."""

import pathlib
import shutil
import ssl
import subprocess
from typing import Any

import fixtures
from keystoneauth1 import exceptions as ksa_exceptions
import trustme

from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.tests import base


class TLSTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for name in ('REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE'):
            self.useFixture(fixtures.EnvironmentVariable(name))
        self.ca = trustme.CA()
        self.bundle = self.file('ca.pem', self.ca.cert_pem)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert('127.0.0.1').configure_cert(self.tls)

    def file(self, name: str, blob: trustme.Blob) -> str:
        blob.write_to_path(str(self.folder / name))
        return str(self.folder / name)

    def sweep(self, **session: Any) -> verdicts.PingResult:
        self.server = self.serve(base.PONG, self.tls)
        trove = self.connect(self.server.url, **session)
        (result,) = trove.mgmt_instances.rpc_ping_each([base.GUEST])
        return result

    def assert_reachable(self, **session: Any) -> None:
        self.assertEqual(
            verdicts.Verdict.REACHABLE, self.sweep(**session).verdict
        )
        trove = self.connect(self.server.url, **session)
        trove.mgmt_instances.rpc_ping(base.GUEST)

    def assert_refused(self, **session: Any) -> None:
        result = self.sweep(**session)
        self.assertEqual(
            (verdicts.Verdict.UNKNOWN, verdicts.Reason.CONNECTION),
            (result.verdict, result.reason),
        )
        self.assertEqual([], self.server.requests)
        trove = self.connect(self.server.url, **session)
        self.assertRaises(
            ksa_exceptions.ClientException,
            trove.mgmt_instances.rpc_ping,
            base.GUEST,
        )

    def test_a_private_ca_is_trusted_where_it_is_named(self) -> None:
        """``--os-cacert`` names a file."""
        self.assert_reachable(verify=self.bundle)

    def test_a_folder_of_cas_is_as_good_as_a_file(self) -> None:
        """The folder has the form that OpenSSL's ``rehash`` makes."""
        if not shutil.which('openssl'):
            self.skipTest('openssl is not installed')
        folder = self.folder / 'cas'
        folder.mkdir()
        self.ca.cert_pem.write_to_path(str(folder / 'ca.pem'))
        subprocess.run(['openssl', 'rehash', folder], check=True)
        self.assert_reachable(verify=str(folder))

    def test_the_bundle_of_the_environment_is_used(self) -> None:
        """requests uses the same variables."""
        self.useFixture(
            fixtures.EnvironmentVariable('REQUESTS_CA_BUNDLE', self.bundle)
        )
        self.assert_reachable(verify=True)

    def test_an_unknown_ca_is_refused(self) -> None:
        """The token is not sent."""
        other = self.file('other.pem', trustme.CA().cert_pem)
        for verify in (True, other):
            self.assert_refused(verify=verify)

    def test_the_certificate_of_another_host_is_refused(self) -> None:
        """The right CA alone does not suffice."""
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert('trove.example.org').configure_cert(self.tls)
        self.assert_refused(verify=self.bundle)

    def test_a_missing_bundle_is_an_error(self) -> None:
        """A missing bundle does not mean that every server is trusted."""
        result = self.sweep(verify=str(self.folder / 'missing'))
        self.assertEqual(verdicts.Reason.CONNECTION, result.reason)
        self.assertEqual([], self.server.requests)

    def test_insecure_asks_for_no_proof(self) -> None:
        """``--insecure`` sets this."""
        self.assert_reachable(verify=False)

    def test_a_client_certificate_is_shown(self) -> None:
        """``--os-cert`` and ``--os-key`` name one file or two."""
        self.tls.verify_mode = ssl.CERT_REQUIRED
        self.ca.configure_trust(self.tls)
        client = self.ca.issue_cert('operator@example.org')
        key = self.file('key.pem', client.private_key_pem)
        cert = self.file('cert.pem', client.cert_chain_pems[0])
        both = self.file('both.pem', client.private_key_and_cert_chain_pem)
        self.assert_reachable(verify=self.bundle, cert=(cert, key))
        self.assert_reachable(verify=self.bundle, cert=both)
        result = self.sweep(verify=self.bundle)
        self.assertEqual(verdicts.Verdict.UNKNOWN, result.verdict)

    def test_https_goes_through_a_proxy_by_connect(self) -> None:
        """The refusal of a proxy says nothing about the guest."""
        proxy = self.serve(base.raw('502 Bad Gateway', b'<html>'))
        self.useFixture(
            fixtures.EnvironmentVariable(
                'https_proxy', proxy.url.split('/v1.0')[0]
            )
        )
        result = self.sweep(verify=self.bundle)
        self.assertEqual(verdicts.Verdict.UNKNOWN, result.verdict)
        self.assertEqual(
            [self.server.url.split('/')[2]],
            [target for target, _ in proxy.requests],
        )
        self.assertEqual([], self.server.requests)
