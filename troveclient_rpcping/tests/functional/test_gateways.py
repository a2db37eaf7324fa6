# SPDX-License-Identifier: Apache-2.0

"""Faults between the client and the control plane: TLS, HAProxy, proxies."""

import re
from typing import Any
import unittest
import urllib.parse

import trustme

from troveclient_rpcping.tests.functional import base
from troveclient_rpcping.tests.functional import faults
from troveclient_rpcping.tests.functional import gateways
from troveclient_rpcping.tests.functional import test_sweep

# The sentence before the advice.
ANSWERED_IN_ITS_PLACE = (
    'A proxy or a filter in front of the Trove API answered in its place: '
    '"HTTP 50. without an error message of Trove".*'
)


def assert_fleet(test: base.TestCase, run: base.Run) -> None:
    """Check the verdicts of the default fleet."""
    test.assertEqual(
        test_sweep.FLEET, {row['Name']: row['Verdict'] for row in run.rows}
    )
    test.assertEqual(9, len(run.rows))
    test.assert_lines(run.stderr.splitlines(), [test_sweep.SUMMARY])
    test.assertEqual(3, run.status)


@unittest.skipUnless(gateways.haproxy(), 'HAProxy is not installed')
class HAProxyTest(faults.SweepTest):
    """HAProxy is in front of Trove, and has its own replies."""

    def front(self, **kwargs: Any) -> gateways.HAProxy:
        """Start HAProxy, and name it in the catalog."""
        servers = {'trove': self.sandbox.plan.ports.trove}
        proxy = self.useFixture(gateways.HAProxy(servers, **kwargs))
        self.useFixture(gateways.Catalog(self.sandbox, proxy.urls['trove']))
        return proxy

    def test_its_error_pages_say_nothing_of_a_guest(self) -> None:
        """502, 503 and 504 in HTML are unknown; Trove's replies count."""
        names = ('guest-0001', 'guest-0002', 'db-dead', 'db-healthy')
        hangs_up, nobody, dead, healthy = map(self.id_of, names)
        backends = ('hangs-up', 'nobody', 'hasty')
        nothing = self.useFixture(gateways.Nobody())
        silent = urllib.parse.urlsplit(self.serve(lambda _: None).url)
        trove = self.sandbox.plan.ports.trove
        self.front(
            rules=[
                f'use_backend {name} if {{ path_end /{id_}/rpc_ping }}'
                for name, id_ in zip(
                    backends, (hangs_up, nobody, dead), strict=True
                )
            ],
            backends=[
                *('backend hangs-up', f'server x {silent.netloc}'),
                *('backend nobody', f'server x 127.0.0.1:{nothing.port}'),
                *('backend hasty', f'server x 127.0.0.1:{trove}'),
                # Trove waits longer for a dead guest.
                'timeout server 100ms',
            ],
        )
        run = self.sweep(
            *base.PING, '-f', 'json', hangs_up, nobody, dead, healthy
        )
        said = 'HTTP {} without an error message of Trove'
        self.assertEqual(
            [
                ('unknown', said.format(502)),
                ('unknown', said.format(503)),
                ('unknown', said.format(504)),
                ('reachable', ''),
            ],
            [(row['Verdict'], row['Detail']) for row in run.rows],
        )
        self.assert_lines(
            run.stderr.splitlines(),
            [
                '4 guests: 1 reachable, 0 unreachable, 0 error, 3 unknown .*',
                f'3 of 4 guests: {ANSWERED_IN_ITS_PLACE}',
            ],
        )
        self.assertEqual(1, run.status)
        self.assert_unknown(
            self.sweep(*base.PING, '-f', 'json', dead),
            'A proxy in front of the Trove API did not wait for its '
            r'answer: "HTTP 504 .*"\. Let it wait longer than Trove does for '
            r'a dead guest \(agent_call_low_timeout\); .*',
        )

    def test_connections_that_it_cuts_cost_no_ping(self) -> None:
        """HAProxy closes idle connections between two pings."""
        proxy = self.front(settings=['timeout http-keep-alive 20ms'])
        guests = self.live[:24]
        run = self.sweep(
            *(*base.PING, '-f', 'json'),
            # One at a time: if many connections are cut at once, libcurl
            # tries five of them, and gives up.
            *('--rate', '4', '--concurrency', '1', *guests),
        )
        self.assertEqual(
            [(id_, 'reachable', '') for id_ in guests],
            [(row['ID'], row['Verdict'], row['Detail']) for row in run.rows],
        )
        self.assertEqual(0, run.status)
        # The source ports of the pings. On a busy machine some pings take so
        # long that the next one follows at once.
        ports = set(re.findall(r'127\.0\.0\.1:(\d+) .*rpc_ping', proxy.log))
        self.assertGreater(len(ports), 5)

    def test_an_api_that_is_gone_behind_it_blames_no_guest(self) -> None:
        """HAProxy answers 503 meanwhile; the sweep goes on."""
        self.front()
        run = self.sweep_across(
            lambda: self.sandbox.kill('trove-api'),
            lambda: self.sandbox.start('trove-api'),
            'HTTP 503',
        )
        self.assert_gap(run, 'gateway', ANSWERED_IN_ITS_PLACE)

    def test_without_an_api_behind_it_nothing_is_listed(self) -> None:
        """The command pings no guest."""
        self.front()
        self.sandbox.kill('trove-api')
        self.assert_failed(
            self.sweep(*base.PING, '--all'),
            'The instances could not be listed: HTTP 503.*',
        )


@unittest.skipUnless(gateways.haproxy(), 'HAProxy is not installed')
class TLSTest(base.TestCase):
    """The control plane speaks TLS, with certificates of a private CA."""

    def setUp(self) -> None:
        super().setUp()
        self.files = self.folder()
        self.authority = trustme.CA()
        self.bundle = self.file('ca.pem', self.authority.cert_pem)
        server = self.authority.issue_cert(gateways.LOOPBACK)
        self.certificate = self.file(
            'server.pem', server.private_key_and_cert_chain_pem
        )

    def file(self, name: str, blob: trustme.Blob) -> str:
        path = self.files / name
        blob.write_to_path(str(path))
        return str(path)

    def terminate(
        self, *servers: str, demanding: bool = False
    ) -> gateways.HAProxy:
        """Put a TLS server in front of ``trove`` or ``keystone``.

        :param demanding: it demands certificates of its clients.
        """
        ports = self.sandbox.plan.ports
        tls = f'crt {self.certificate}'
        if demanding:
            tls += f' verify required ca-file {self.bundle}'
        proxy = self.useFixture(
            gateways.HAProxy(
                {name: getattr(ports, name) for name in servers}, tls=tls
            )
        )
        if 'trove' in servers:
            self.useFixture(
                gateways.Catalog(self.sandbox, proxy.urls['trove'])
            )
        return proxy

    def options(self, proxy: gateways.HAProxy, bundle: str) -> list[str]:
        """Return the options for a control plane with TLS."""
        auth_url = f'{proxy.urls["keystone"]}/v3'
        return ['--os-auth-url', auth_url, '--os-cacert', bundle]

    def test_a_client_certificate_that_is_demanded_is_shown(self) -> None:
        """Keystone and Trove both get it."""
        proxy = self.terminate('trove', 'keystone', demanding=True)
        issued = self.authority.issue_cert('operator@example.org')
        run = self.sweep(
            *self.options(proxy, self.bundle),
            *('--os-cert', self.file('cert', issued.cert_chain_pems[0])),
            *('--os-key', self.file('key', issued.private_key_pem)),
            *(*base.PING, '--all', '-f', 'json'),
        )
        assert_fleet(self, run)

    def test_without_trust_there_is_no_login(self) -> None:
        """The CA is wrong, or a certificate of the client is missing."""
        other = self.file('other.pem', trustme.CA().cert_pem)
        for demanding, bundle, words in (
            (False, other, 'certificate verify failed'),
            (True, self.bundle, ''),
        ):
            proxy = self.terminate('keystone', demanding=demanding)
            self.assert_failed(
                self.sweep(*self.options(proxy, bundle), *base.PING, '--all'),
                f'No login: .* cannot be reached: .*{words}.*',
            )
            # The command sends no password.
            self.assertNotIn('POST', proxy.log)

    def test_a_connection_that_trove_alone_refuses_blames_no_guest(
        self,
    ) -> None:
        """The login works; the command sends no token to Trove."""
        for demanding, options, words in (
            (False, (), 'SSL certificate .*"'),
            (
                *(True, ('--os-cacert', self.bundle)),
                '.*certificate required.*',
            ),
        ):
            proxy = self.terminate('trove', demanding=demanding)
            command = (*options, *base.PING, '-f', 'json')
            self.assert_unknown(
                self.sweep(*command, self.id_of('db-dead')),
                f'The Trove API cannot be reached: "{words}\\. .* and the '
                r'way there: proxies and certificates\.',
            )
            self.assert_failed(
                self.sweep(*command, '--all'),
                'The instances could not be listed: .*',
            )
            self.assertNotIn('GET', proxy.log)

    def test_a_proxy_makes_tunnels_for_tls(self) -> None:
        """All requests go through it, and every verdict is true."""
        front = self.terminate('trove', 'keystone')
        proxy = self.useFixture(gateways.ForwardProxy())
        run = self.sweep(
            *self.options(front, self.bundle),
            *(*base.PING, '--all', '-f', 'json'),
            env=proxy.env,
        )
        assert_fleet(self, run)
        self.assertEqual(
            {('CONNECT', url.split('/')[2]) for url in front.urls.values()},
            set(proxy.requests),
        )

    def test_a_proxy_that_makes_no_tunnel_blames_no_guest(self) -> None:
        """The proxy permits the login, and refuses Trove."""
        front = self.terminate('trove')
        port = urllib.parse.urlsplit(front.urls['trove']).port
        proxy = self.useFixture(gateways.ForwardProxy(port or 0))
        run = self.sweep(
            *('--os-cacert', self.bundle),
            *(*base.PING, '-f', 'json', self.id_of('db-dead')),
            env=proxy.env,
        )
        self.assert_unknown(
            run,
            # The words of different versions of libcurl.
            'The Trove API cannot be reached: ".*(CONNECT tunnel failed, '
            r'response 403|code 403 from proxy after CONNECT)"\. .* and the '
            r'way there: proxies and certificates\.',
        )


class ForwardProxyTest(base.TestCase):
    """An HTTP proxy is between the client and the control plane."""

    def test_a_proxy_that_fetches_changes_no_verdict(self) -> None:
        """Login, listing and pings go through it."""
        proxy = self.useFixture(gateways.ForwardProxy())
        run = self.sweep(*(*base.PING, '--all', '-f', 'json'), env=proxy.env)
        assert_fleet(self, run)
        pings = [url for _, url in proxy.requests if 'rpc_ping' in url]
        self.assertLessEqual(9, len(pings))
        self.assertIn('POST', {method for method, _ in proxy.requests})

    def test_a_proxy_that_refuses_trove_blames_no_guest(self) -> None:
        """Its page shows that a proxy refuses, not Trove."""
        port = self.sandbox.plan.ports.trove
        proxy = self.useFixture(gateways.ForwardProxy(port))
        run = self.sweep(
            *(*base.PING, '-f', 'json', self.id_of('db-dead')), env=proxy.env
        )
        self.assert_unknown(
            run,
            'The API, or a proxy in front of it, refuses the request: '
            r'"HTTP 403 .*"\. Check the credentials in use, and what stands '
            r'between here and the Trove API\.',
        )

    def test_a_proxy_without_a_way_to_keystone_ends_at_the_login(self) -> None:
        """The proxy refuses the login, or is gone; the error says so."""
        refusing = self.useFixture(
            gateways.ForwardProxy(self.sandbox.plan.ports.keystone)
        )
        nobody = self.useFixture(gateways.Nobody()).port
        gone = f'http://{gateways.LOOPBACK}:{nobody}'
        for env, words in (
            (refusing.env, r'answered: Forbidden \(HTTP 403\)\.'),
            (
                refusing.env | {'http_proxy': gone},
                'cannot be reached through the proxy: .*',
            ),
        ):
            self.assert_failed(
                self.sweep(*base.PING, '--all', env=env),
                f'No login: .* {words}',
            )
