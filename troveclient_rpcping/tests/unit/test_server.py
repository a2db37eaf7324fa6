# SPDX-License-Identifier: Apache-2.0

"""The HTTP server of the monitor, and the clients that attack it."""

from __future__ import annotations

import contextlib
import http.client
import io
import logging
import pathlib
import socket
import ssl
import threading
import time
from typing import Any
import unittest

from cryptography.hazmat.primitives import serialization
import fixtures
import trustme

from troveclient_rpcping.tests import base
from troveclient_rpcping.web import server as web_server


def has_ipv6() -> bool:
    try:
        socket.create_server(('::1', 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = unittest.skipUnless(has_ipv6(), 'this machine has no IPv6')


def hello(accept: str) -> web_server.Answer:
    """Answer as a page does."""
    return web_server.Answer(b'hello ' + accept.encode(), 'text/x-hello')


def large(accept: str) -> web_server.Answer:
    """Answer with more than the buffers of a connection hold."""
    return web_server.Answer(bytes(50_000_000))


def broken(accept: str) -> web_server.Answer:
    """Fail, as a page with a bug does."""
    raise RuntimeError('a bug')


class ParseListenTest(base.TestCase):
    def test_an_address_has_several_forms(self) -> None:
        """The default address is that of loopback."""
        for text, expected in (
            ('9877', ('127.0.0.1', 9877)),
            (':9877', ('127.0.0.1', 9877)),
            ('127.0.0.1:9877', ('127.0.0.1', 9877)),
            ('0.0.0.0:0', ('0.0.0.0', 0)),  # noqa: S104
            ('localhost:80', ('localhost', 80)),
            ('monitor-1.example.org:65535', ('monitor-1.example.org', 65535)),
            ('[::1]:9877', ('::1', 9877)),
            ('[::]:9877', ('::', 9877)),
        ):
            self.assertEqual(expected, web_server.parse_listen(text), text)

    def test_the_error_for_anything_else_says_what_to_write(self) -> None:
        """The error is one line for any text."""
        for text in (
            *('', ':', '127.0.0.1', 'localhost', '127.0.0.1:', '::1'),
            *('::1:9877', '[::1]', '[localhost]:80', 'http://[::1]:9877'),
            *('http://localhost:9877', 'a b:80', 'localhost:http', '-1'),
            *('localhost:+80', 'localhost:٣', '1_0', '123456', '80\n'),
            *('\x1b[2J:80', '65536'),
        ):
            error = self.assertRaises(
                ValueError, web_server.parse_listen, text
            )
            self.assertIn('127.0.0.1:9877', str(error))
            self.assertIn('1 to 65535', str(error))
            self.assertTrue(str(error).isprintable(), repr(text))


class TestCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # All that is printed, and all log lines above DEBUG.
        self.stderr = io.StringIO()
        self.enterContext(contextlib.redirect_stderr(self.stderr))
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.INFO))

    def start(
        self,
        page: Any = hello,
        address: str = '127.0.0.1',
        context: ssl.SSLContext | None = None,
    ) -> int:
        """Start a server with one page; return its port."""
        server = web_server.Server({'/metrics': page}, address, 0, context)
        return self.enterContext(server).server_port

    def ask(
        self,
        port: int,
        path: str = '/metrics',
        address: str = '127.0.0.1',
        method: str = 'GET',
        **headers: str,
    ) -> tuple[int, bytes]:
        """Return the status and the body of a reply; keep its headers."""
        connection = http.client.HTTPConnection(
            address, port, timeout=base.LONG
        )
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers)
            reply = connection.getresponse()
            self.headers = dict(reply.getheaders())
            return reply.status, reply.read()

    def open(self, port: int, data: bytes = b'') -> socket.socket:
        """Return a connection that has sent this data and waits."""
        connection = socket.create_connection(('127.0.0.1', port), base.LONG)
        self.addCleanup(connection.close)
        connection.sendall(data)
        return connection

    def assert_hung_up(self, connection: socket.socket) -> None:
        """Read until the server ends the connection."""
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(65536):
                pass

    def assert_quiet(self) -> None:
        self.assertEqual('', self.stderr.getvalue())
        self.assertEqual('', self.log.output)


class PagesTest(TestCase):
    def test_a_path_leads_to_its_page_alone(self) -> None:
        """Prometheus may add a query. Any other path names the pages."""
        port = self.start()
        for path in ('/metrics', '/metrics?format=prometheus'):
            answer = self.ask(port, path, Accept='x')
            self.assertEqual((200, b'hello x'), answer)
            self.assertEqual('text/x-hello', self.headers['Content-Type'])
        for path in ('/', '/nosuch', '/metrics/', '/%00', '/..', '*'):
            answer = self.ask(port, path)
            self.assertEqual((404, b'See /metrics\n'), answer, path)
        self.assert_quiet()

    def test_only_get_and_head_are_allowed(self) -> None:
        """A client can change nothing. HEAD has the headers of GET alone."""
        port = self.start()
        for path in ('/metrics', '/nosuch'):
            status, _ = self.ask(port, path)
            got = self.headers
            answer = self.ask(port, path, method='HEAD')
            self.assertEqual((status, b''), answer)
            for name in ('Content-Type', 'Content-Length'):
                self.assertEqual(got[name], self.headers[name])
        for method in ('POST', 'PUT', 'DELETE', 'OPTIONS', 'BREW'):
            status, _ = self.ask(port, method=method)
            self.assertEqual(
                (405, 'GET, HEAD'), (status, self.headers['Allow'])
            )

    def test_a_page_with_a_bug_is_an_error_without_a_traceback(self) -> None:
        """Prometheus sees that the target is down, and the log says why."""
        status, body = self.ask(self.start(broken))
        self.assertEqual(500, status)
        self.assertNotIn(b'Traceback', body)
        self.assertIn('RuntimeError: a bug', self.log.output)
        self.assertEqual('', self.stderr.getvalue())

    def test_the_log_has_a_request_as_a_clean_line(self) -> None:
        """Any client chooses the text of a request."""
        log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        request = b'GET /\x1b]0;title\x07\x1b[2J HTTP/1.0\r\n\r\n'
        self.assert_hung_up(self.open(self.start(), request))
        self.assertIn('GET /', log.output)
        self.assertEqual([], [c for c in log.output if c in '\x07\x1b'])


class HostTest(TestCase):
    """A page of another site, in a browser, must not read a page of ours."""

    def test_only_our_names_and_addresses_are_answered(self) -> None:
        """Another name's owner may let it lead here (DNS rebinding)."""
        port = self.start(address='localhost')
        name = socket.gethostname()
        ours = (
            *('localhost', 'localhost:9877', 'LOCALHOST:1', 'localhost.', ''),
            *('127.0.0.1', '127.0.0.1:9877', '192.0.2.7:80', '[::1]:9877'),
            *('[2001:db8::1]', name, f'{name}:9877', socket.getfqdn()),
        )
        others = (
            *('evil.example:9877', 'evil.example', 'localhost.evil.example'),
            *('127.0.0.1.evil.example', '127.1'),
            *('[evil]', '[::1', 'a:b:c', ':', '::1', 'localhost:1,evil'),
        )
        for host in (*ours, *others):
            for path, status in (('/metrics', 200), ('/nosuch', 404)):
                expected = 421 if host in others else status
                got, body = self.ask(port, path, 'localhost', Host=host)
                self.assertEqual(expected, got, host)
        self.assertIn(b'give the name to --listen', body)

    def test_a_dead_name_server_costs_only_the_names_it_knows(self) -> None:
        """A scrape by an address asks no DNS. DNS may come back later."""
        port = self.start()
        found = ['host', 'host.example.org']
        self.useFixture(
            fixtures.MonkeyPatch('socket.getfqdn', lambda: found.pop(0))
        )
        for host, status in (
            *(('127.0.0.1', 200), ('localhost', 200)),
            *(('host.example.org', 421), ('host.example.org', 200)),
            # This name is known now.
            ('host.example.org', 200),
        ):
            self.assertEqual(status, self.ask(port, Host=host)[0], host)

    def test_a_request_names_one_host(self) -> None:
        """The host may be the name in --listen. HTTP/1.0 needs no host."""
        # A name for getaddrinfo(), and not an address in a URL.
        port = self.start(address='127.1')
        ours, evil = b'Host: 127.1:80\r\n', b'Host: evil.example\r\n'
        for status, version, hosts in (
            (b'200', b'1.1', ours),
            (b'421', b'1.1', ours + evil),
            (b'421', b'1.1', evil + ours),
            (b'200', b'1.0', b''),
        ):
            request = b'GET /metrics HTTP/%s\r\n%s\r\n' % (version, hosts)
            with self.open(port, request).makefile('rb') as reader:
                self.assertIn(b' %s ' % status, reader.readline())


class ListenTest(TestCase):
    @needs_ipv6
    def test_it_listens_on_ipv6(self) -> None:
        """Two colons are every address, also those of IPv4."""
        for listen, addresses in (
            ('::1', ['::1']),
            ('::', ['127.0.0.1', '127.0.0.2', '::1']),
        ):
            port = self.start(address=listen)
            for address in addresses:
                self.assertEqual(200, self.ask(port, address=address)[0])

    def test_an_address_that_is_not_free_is_an_error_of_one_line(self) -> None:
        """It is taken, is that of another machine, or is not an address."""
        taken = self.start()
        for address, port, why in (
            ('127.0.0.1', taken, 'Address already in use'),
            ('192.0.2.1', 0, 'Cannot assign requested address'),
            ('nosuch.invalid', 0, r'[^\n\[]+'),
            ('a..b', 0, r'[^\n\[]+'),
        ):
            error = self.assertRaises(
                OSError, web_server.Server, {}, address, port
            )
            self.assertRegex(
                str(error), rf'\ACannot listen on {address}:{port}: {why}\Z'
            )

    def test_the_port_is_free_after_the_end(self) -> None:
        """Hanging connections do not delay the end."""
        with web_server.Server({}, '127.0.0.1', 0) as server:
            port = server.server_port
            for data in (b'', b'GET /metrics HTTP/1.1\r\nA:'):
                self.open(port, data)
            self.ask(port)
        self.assertRaises(ConnectionRefusedError, self.open, port)
        with web_server.Server({'/metrics': hello}, '127.0.0.1', port):
            self.assertEqual(200, self.ask(port)[0])
        self.assert_quiet()


class HostileTest(TestCase):
    def test_hanging_connections_keep_no_scrape_out(self) -> None:
        """One connection too many ends the oldest one. Threads are few."""
        port = self.start(large)
        before = threading.active_count()
        hanging = []
        for data in (
            b'',
            b'GET /metrics HTTP/1.1\r\nX: y',
            # This client does not read.
            b'GET /metrics HTTP/1.0\r\n\r\n',
        ):
            for _ in range(30):
                hanging.append(self.open(port, data))
                threads = threading.active_count() - before
                # A thread lives for a moment after its connection.
                self.assertLess(threads, 2 * web_server.CONNECTIONS)
            self.assertEqual(404, self.ask(port, '/')[0])
        for connection in hanging[: 91 - web_server.CONNECTIONS]:
            self.assert_hung_up(connection)
        self.assert_quiet()

    def test_rubbish_does_no_harm(self) -> None:
        """The server reports nothing about it, and goes on."""
        port = self.start()
        for data in (
            b'\r\n\r\n',
            b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc' + bytes(200),
            b'GET\r\n\r\n',
            b'GET /metrics HTTP/9.9\r\n\r\n',
            b'GET /metrics\r\n\r\n',
            b'GET /metrics HTTP/1.1\r\n' + b'A: b\r\n' * 5000 + b'\r\n',
            b'GET /' + b'x' * 70_000 + b' HTTP/1.1\r\n\r\n',
            b'GET /metrics HTTP/1.1\r\nAccept: \xff\xfe\x00\r\n\r\n',
        ):
            with contextlib.suppress(OSError):
                connection = self.open(port, data)
                connection.shutdown(socket.SHUT_WR)
                self.assert_hung_up(connection)
        self.assertEqual(200, self.ask(port)[0])
        self.assert_quiet()

    def go_away(self, connection: socket.socket) -> None:
        """End a connection with an RST, at once."""
        connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0'
        )
        connection.close()

    def test_a_client_that_goes_away_midway_leaves_no_trace(self) -> None:
        """There is not even a line on standard error."""
        port = self.start(large)
        for _ in range(10 * web_server.CONNECTIONS):
            connection = self.open(port, b'GET /metrics HTTP/1.0\r\n\r\n')
            connection.recv(1)
            self.go_away(connection)
        self.assertEqual(404, self.ask(port, '/')[0])
        self.assert_quiet()

    def test_clients_that_go_away_before_the_answer_do_no_harm(self) -> None:
        """The server cannot end a connection that its client has reset."""
        asked, ready = threading.Semaphore(0), threading.Event()

        def slow(accept: str) -> web_server.Answer:
            asked.release()
            ready.wait(base.LONG)
            return hello(accept)

        port = self.start(slow)
        request = b'GET /metrics HTTP/1.0\r\n\r\n'
        for _ in range(web_server.CONNECTIONS):
            connection = self.open(port, request)
            asked.acquire()
            self.go_away(connection)
        last = self.open(port, request)
        # Time to try to end the oldest one; too little only proves less.
        time.sleep(0.1)
        ready.set()
        with last.makefile('rb') as reader:
            self.assertIn(b' 200 ', reader.readline())
        self.assert_quiet()


class TLSTest(TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.ca = trustme.CA()
        certificate = self.ca.issue_cert('127.0.0.1')
        pem = certificate.private_key_pem.bytes()
        self.cert = self.file('cert', *certificate.cert_chain_pems)
        self.key = self.file('key', certificate.private_key_pem)
        self.both = self.file(
            'both', certificate.private_key_and_cert_chain_pem
        )
        # A monitor has no terminal on which somebody could enter it.
        locked = serialization.load_pem_private_key(pem, None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b'secret'),
        )
        self.locked = self.file('locked', trustme.Blob(locked))
        self.authority = self.file('ca', self.ca.cert_pem)

    def file(self, name: str, *blobs: trustme.Blob) -> str:
        path = self.folder / f'{name}.pem'
        path.write_bytes(b''.join(blob.bytes() for blob in blobs))
        return str(path)

    def get(self, port: int, signer: trustme.CA | None = None) -> int:
        """Get a page, with a certificate of *signer*; return the status."""
        context = ssl.create_default_context(cafile=self.authority)
        if signer:
            signer.issue_cert('scraper').configure_cert(context)
        connection = http.client.HTTPSConnection(
            '127.0.0.1', port, timeout=base.LONG, context=context
        )
        with contextlib.closing(connection):
            connection.request('GET', '/metrics')
            return connection.getresponse().status

    def test_https_is_served_with_the_certificate(self) -> None:
        """The key is in a file of its own, or in the same one.

        With an authority, only its clients get a page.
        """
        for files in ((self.both,), (self.cert, self.key)):
            port = self.start(context=web_server.tls(*files))
            self.assertEqual(200, self.get(port))
        context = web_server.tls(self.both, client_ca=self.authority)
        port = self.start(context=context)
        for signer in (None, trustme.CA()):
            self.assertRaises(OSError, self.get, port, signer)
        self.assertEqual(200, self.get(port, self.ca))
        self.assert_quiet()

    def test_silent_clients_and_rubbish_keep_no_scrape_out(self) -> None:
        """The handshake of one connection delays no other one."""
        port = self.start(context=web_server.tls(self.both))
        for data in (b'', b'\x16\x03\x01', b'GET /metrics HTTP/1.0\r\n\r\n'):
            for _ in range(web_server.CONNECTIONS):
                self.open(port, data)
        self.assertEqual(200, self.get(port))
        self.assert_quiet()

    def test_a_file_that_cannot_be_used_is_an_error_of_one_line(self) -> None:
        """The error names the file, and says why."""
        other = self.file('other', self.ca.issue_cert('b').private_key_pem)
        junk = self.file('junk', trustme.Blob(b'junk'))
        missing = str(self.folder / 'missing')
        for why, files in (
            ('No such file or directory', [missing]),
            ('No such file or directory', [self.cert, missing]),
            ('No such file or directory', [self.cert, self.key, missing]),
            ('PEM lib', [junk]),
            ('key values mismatch', [self.cert, other]),
            ('.*', [self.cert, self.locked]),
            ('no certificate or crl found', [self.cert, self.key, junk]),
        ):
            error = str(self.assertRaises(OSError, web_server.tls, *files))
            self.assertRegex(
                error, rf'\ACannot use the .*{files[-1]}: {why}: give'
            )
            self.assertTrue(error.isprintable())
