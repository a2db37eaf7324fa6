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

"""The HTTP server for Prometheus, and who may try to hold it up."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import io
import logging
import socket
import threading
import time
from typing import Any
import unittest

import fixtures

from troveclient_rpcping.outcomes.outcome import Target
from troveclient_rpcping.prometheus import server as serving
from troveclient_rpcping.prometheus.metrics import Metrics
from troveclient_rpcping.tests import base
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Verdict

# Far longer than anything here takes: only a test that fails waits for it.
LONG = 60.0


def has_ipv6() -> bool:
    try:
        socket.create_server(('::1', 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = unittest.skipUnless(has_ipv6(), 'this machine has no IPv6')


def observed(guests: int) -> Metrics:
    """Return metrics of a sweep in which so many guests were reachable."""
    metrics = Metrics()
    observe(metrics, guests)
    return metrics


def observe(metrics: Metrics, guests: int) -> None:
    ids = [f'guest-{number}' for number in range(guests)]
    metrics.observe(
        base.findings(
            [Target(id_) for id_ in ids],
            [
                PingResult(instance_id=id_, verdict=Verdict.REACHABLE)
                for id_ in ids
            ],
        ),
        ended=1.0,
        seconds=1.0,
        throttled=0.0,
    )


class ParseListenTest(base.TestCase):
    def test_the_forms_of_an_address(self) -> None:
        """Loopback, unless told otherwise."""
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
            self.assertEqual(expected, serving.parse_listen(text), text)

    def test_what_is_no_address_is_told_what_to_write(self) -> None:
        """In a line, whatever was written."""
        for text in (
            *('', ':', '127.0.0.1', 'localhost', '127.0.0.1:', '::1'),
            *('::1:9877', '[::1]', '[localhost]:80', 'http://[::1]:9877'),
            *('http://localhost:9877', 'a b:80', 'localhost:http', '-1'),
            *('localhost:+80', 'localhost:٣', '1_0', '123456', '80\n'),
            '\x1b[2J:80',
        ):
            error = self.assertRaises(ValueError, serving.parse_listen, text)
            self.assertIn('127.0.0.1:9877', str(error))
            self.assertTrue(str(error).isprintable(), repr(text))

    def test_a_port_beyond_all_ports_is_refused(self) -> None:
        """With the ports that there are."""
        error = self.assertRaises(ValueError, serving.parse_listen, '65536')
        self.assertIn('1 to 65535', str(error))


class TestCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # What anybody prints, and what any log says above DEBUG.
        self.stderr = io.StringIO()
        self.enterContext(contextlib.redirect_stderr(self.stderr))
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.INFO))

    def start(self, metrics: Metrics, **kwargs: Any) -> serving.Exporter:
        return self.enterContext(
            serving.Exporter(metrics, '127.0.0.1', 0, **kwargs)
        )

    def ask(
        self,
        port: int,
        path: str = '/metrics',
        method: str = 'GET',
        headers: dict[str, str] | None = None,
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(
            '127.0.0.1', port, timeout=LONG
        )
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers or {})
            reply = connection.getresponse()
            return reply, reply.read()

    def open(self, port: int, data: bytes = b'') -> socket.socket:
        """Return a connection, which has sent so much and waits."""
        connection = socket.create_connection(('127.0.0.1', port), LONG)
        self.addCleanup(connection.close)
        connection.sendall(data)
        return connection

    def assert_hung_up(self, connection: socket.socket) -> None:
        """Read until the server ends the connection."""
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(65536):
                pass

    def wait_for_threads(self, count: int) -> None:
        """Wait until there are no more threads than that."""
        deadline = time.monotonic() + LONG
        while threading.active_count() > count:
            self.assertLess(time.monotonic(), deadline, 'threads are left')
            time.sleep(0.01)

    def resolve(self, name: str, *addresses: str) -> None:
        """Let a name have these addresses."""

        def getaddrinfo(
            host: str, port: int, *rest: Any, **kwargs: Any
        ) -> list[Any]:
            return [
                found
                for each in (addresses if host == name else [host])
                for found in real(each, port, *rest, **kwargs)
            ]

        real = socket.getaddrinfo
        self.useFixture(
            fixtures.MonkeyPatch('socket.getaddrinfo', getaddrinfo)
        )

    def assert_quiet(self) -> None:
        self.assertEqual('', self.stderr.getvalue())
        self.assertEqual('', self.log.output)


class ScrapeTest(TestCase):
    def test_a_scrape_gets_the_metrics(self) -> None:
        """In the format that it accepts, whole."""
        metrics = observed(3)
        port = self.start(metrics).port
        for accept in ('', 'application/openmetrics-text; version=1.0.0'):
            text, content_type = metrics.render(accept)
            reply, body = self.ask(port, headers={'Accept': accept})
            self.assertEqual(200, reply.status)
            self.assertEqual(text, body)
            self.assertEqual(content_type, reply.getheader('Content-Type'))
            self.assertEqual(str(len(text)), reply.getheader('Content-Length'))
        self.assert_quiet()

    def test_a_scrape_after_a_sweep_gets_the_new_one(self) -> None:
        """And before it, the old one again."""
        metrics = observed(3)
        port = self.start(metrics).port
        _, first = self.ask(port)
        self.assertEqual(first, self.ask(port)[1])
        observe(metrics, 4)
        self.assertIn(b'instance_id="guest-3"', self.ask(port)[1])

    def test_a_query_is_no_other_page(self) -> None:
        """Prometheus may be told to send one."""
        port = self.start(observed(3)).port
        reply, body = self.ask(port, '/metrics?format=prometheus')
        self.assertEqual(200, reply.status)
        self.assertIn(b'trove_guest_rpc_up', body)

    def test_ten_thousand_guests_arrive_whole(self) -> None:
        """To as many scrapers at once as there may be."""
        metrics = observed(10_000)
        port = self.start(metrics).port
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(self.ask, [port] * 8))
        text, _ = metrics.render('')
        self.assertTrue(all(body == text for _, body in answers))
        self.assert_quiet()

    def test_head_has_the_headers_and_no_body(self) -> None:
        """Those of GET."""
        port = self.start(observed(3)).port
        for path in ('/metrics', '/', '/nosuch'):
            got, _ = self.ask(port, path)
            reply, _ = self.ask(port, path, 'HEAD')
            self.assertEqual(got.status, reply.status)
            for name in ('Content-Type', 'Content-Length'):
                self.assertEqual(got.getheader(name), reply.getheader(name))
            # http.client would not read a body here.
            connection = self.open(port, f'HEAD {path} HTTP/1.0'.encode())
            connection.sendall(b'\r\n\r\n')
            with connection.makefile('rb') as reader:
                self.assertTrue(reader.read().endswith(b'\r\n\r\n'))

    def test_the_root_leads_to_the_metrics(self) -> None:
        """For people with a browser."""
        reply, body = self.ask(self.start(Metrics()).port, '/')
        self.assertEqual(200, reply.status)
        self.assertIn(b'href="/metrics"', body)

    def test_other_pages_are_not_found(self) -> None:
        """Whatever they are called."""
        port = self.start(Metrics()).port
        for path in ('/nosuch', '/metrics/', '/%00', '/..', '*'):
            reply, _ = self.ask(port, path)
            self.assertEqual(404, reply.status, path)
        self.assert_quiet()

    def test_other_methods_are_not_allowed(self) -> None:
        """Nothing here can be changed."""
        port = self.start(Metrics()).port
        for method in ('POST', 'PUT', 'DELETE', 'OPTIONS', 'BREW'):
            reply, _ = self.ask(port, method=method)
            self.assertEqual(405, reply.status, method)
            self.assertEqual('GET, HEAD', reply.getheader('Allow'))

    def test_metrics_that_cannot_be_rendered_are_an_error(self) -> None:
        """Prometheus sees that the target is down, and the log says why."""

        class Broken(Metrics):
            def render(self, accept: str) -> tuple[bytes, str]:
                raise RuntimeError('a bug')

        port = self.start(Broken()).port
        reply, body = self.ask(port)
        self.assertEqual(500, reply.status)
        self.assertNotIn(b'Traceback', body)
        self.assertIn('RuntimeError: a bug', self.log.output)
        self.assertEqual('', self.stderr.getvalue())


class LogTest(TestCase):
    def test_what_scrapers_ask_for_is_logged_as_a_clean_line(self) -> None:
        """Whoever can connect chooses it."""
        log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        connection = self.open(
            self.start(Metrics()).port,
            b'GET /\x1b]0;title\x07\x1b[2J HTTP/1.0\r\n\r\n',
        )
        while connection.recv(4096):
            pass
        self.assertIn('GET /', log.output)
        self.assertEqual([], [c for c in log.output if c in '\x07\x1b'])


class HostTest(TestCase):
    """A page in a browser must not read the names of guests."""

    def assert_status(self, status: int, address: str, *hosts: str) -> None:
        """Ask a server that was told to listen there, under these names."""
        with serving.Exporter(observed(3), address, 0) as server:
            for host in hosts:
                for path in ('/metrics', '/'):
                    reply, body = self.ask(
                        server.port, path, headers={'Host': host}
                    )
                    self.assertEqual(status, reply.status, host)
                    if status != 200:
                        self.assertNotIn(b'guest', body)

    def test_the_names_of_this_machine_are_answered(self) -> None:
        """With and without the port, in any case, and IP addresses."""
        name = socket.gethostname()
        self.assert_status(
            *(200, '127.0.0.1'),
            *('localhost', 'localhost:9877', 'LOCALHOST:1', 'localhost.'),
            *('127.0.0.1', '127.0.0.1:9877', '192.0.2.7:80', '[::1]:9877'),
            *('[2001:db8::1]', name, f'{name}:9877', socket.getfqdn(), ''),
        )

    def test_the_name_that_it_listens_on_is_answered(self) -> None:
        """A scraper on another machine knows it by that."""
        self.resolve('Monitor.Example.Org', '127.0.0.1')
        self.assert_status(200, 'Monitor.Example.Org', 'monitor.example.org:1')

    def test_any_other_name_is_not_answered(self) -> None:
        """Its owner may let it lead here (DNS rebinding)."""
        self.assert_status(
            *(421, '127.0.0.1'),
            *('evil.example:9877', 'evil.example', '127.0.0.1.evil.example'),
            *('localhost.evil.example', 'evil.example@localhost', '[evil]'),
            *('localhost/', 'a:b:c', 'localhost:80:80', '[::1', ':', '::1'),
        )

    def test_the_answer_to_another_name_says_what_to_do(self) -> None:
        """The owner of the scraper finds it there."""
        port = self.start(observed(3)).port
        _, body = self.ask(port, headers={'Host': 'evil.example'})
        self.assertIn(b'give the name to --listen', body)

    def test_two_hosts_are_not_answered(self) -> None:
        """Whichever of them comes first."""
        port = self.start(observed(3)).port
        for hosts in (
            b'Host: localhost\r\nHost: evil.example\r\n',
            b'Host: evil.example\r\nHost: localhost\r\n',
        ):
            connection = self.open(
                port, b'GET /metrics HTTP/1.1\r\n' + hosts + b'\r\n'
            )
            with connection.makefile('rb') as reader:
                self.assertIn(b' 421 ', reader.readline())

    def test_a_request_without_a_host_is_answered(self) -> None:
        """HTTP/1.0 has none, and no browser speaks it."""
        port = self.start(observed(3)).port
        connection = self.open(port, b'GET /metrics HTTP/1.0\r\n\r\n')
        with connection.makefile('rb') as reader:
            self.assertIn(b' 200 ', reader.readline())


class ListenTest(TestCase):
    def test_it_tells_where_it_listens(self) -> None:
        """Also if it was left to the kernel."""
        with serving.Exporter(Metrics(), '127.0.0.1', 0) as server:
            self.assertNotEqual(0, server.port)
            self.assertEqual(200, self.ask(server.port)[0].status)

    @needs_ipv6
    def test_it_listens_on_ipv6(self) -> None:
        """As its address says."""
        with serving.Exporter(Metrics(), '::1', 0) as server:
            connection = http.client.HTTPConnection('::1', server.port)
            with contextlib.closing(connection):
                connection.request('GET', '/metrics')
                self.assertEqual(200, connection.getresponse().status)

    def status_at(self, address: str, port: int) -> int:
        connection = http.client.HTTPConnection(address, port, timeout=LONG)
        with contextlib.closing(connection):
            connection.request('GET', '/metrics')
            return connection.getresponse().status

    def test_a_name_is_listened_on_at_each_of_its_addresses(self) -> None:
        """On one port, and at no other address."""
        self.resolve('name', '127.0.0.1', '127.0.0.2', '127.0.0.1')
        with serving.Exporter(Metrics(), 'name', 0) as server:
            for address in ('127.0.0.1', '127.0.0.2'):
                self.assertEqual(200, self.status_at(address, server.port))
            self.assertRaises(
                ConnectionRefusedError,
                *(self.status_at, '127.0.0.3', server.port),
            )

    @needs_ipv6
    def test_a_name_may_have_addresses_of_both_families(self) -> None:
        """As ``localhost`` has."""
        self.resolve('name', '::1', '127.0.0.1')
        with serving.Exporter(Metrics(), 'name', 0) as server:
            for address in ('127.0.0.1', '::1'):
                self.assertEqual(200, self.status_at(address, server.port))

    @needs_ipv6
    def test_two_colons_are_every_address(self) -> None:
        """Of IPv4, too."""
        with serving.Exporter(Metrics(), '::', 0) as server:
            for address in ('127.0.0.1', '127.0.0.2', '::1'):
                self.assertEqual(200, self.status_at(address, server.port))

    @needs_ipv6
    def test_every_address_of_both_families_may_be_named_twice(self) -> None:
        """The two do not get in the way of each other."""
        self.resolve('name', '::', '0.0.0.0')  # noqa: S104
        with serving.Exporter(Metrics(), 'name', 0) as server:
            for address in ('127.0.0.1', '::1'):
                self.assertEqual(200, self.status_at(address, server.port))

    def test_an_address_of_several_may_be_missing_here(self) -> None:
        """/etc/hosts may have that of IPv6 where there is no IPv6."""
        self.resolve('name', '192.0.2.1', '127.0.0.1')
        with serving.Exporter(Metrics(), 'name', 0) as server:
            self.assertEqual(200, self.status_at('127.0.0.1', server.port))

    def test_a_port_that_is_taken_at_one_address_is_taken(self) -> None:
        """And the others are free again."""
        with socket.create_server(('127.0.0.2', 0)) as taken:
            port = taken.getsockname()[1]
            self.resolve('name', '127.0.0.1', '127.0.0.2')
            listening = serving.Exporter(Metrics(), 'name', port)
            error = self.assertRaises(OSError, listening.__enter__)
            self.assertIn('Address already in use', str(error))
            socket.create_server(('127.0.0.1', port)).close()

    def test_connections_are_bounded_at_all_addresses_together(self) -> None:
        """One too many at one of them ends the oldest at another."""
        self.resolve('name', '127.0.0.1', '127.0.0.2')
        with serving.Exporter(
            Metrics(), 'name', 0, connections=2, patience=LONG * 9
        ) as server:
            oldest = self.open(server.port, b'GET ')
            for _ in range(2):
                connection = socket.create_connection(
                    ('127.0.0.2', server.port), LONG
                )
                self.addCleanup(connection.close)
            self.assert_hung_up(oldest)

    def test_a_host_that_cannot_be_one_is_said_in_a_line(self) -> None:
        """With the address that was given."""
        listening = serving.Exporter(Metrics(), 'a..b', 9877)
        error = self.assertRaises(OSError, listening.__enter__)
        self.assertIn('Cannot listen on a..b:9877', str(error))

    def test_a_port_that_is_taken_is_said_in_a_line(self) -> None:
        """With the address."""
        port = self.start(Metrics()).port
        error = self.assertRaises(
            OSError, serving.Exporter(Metrics(), '127.0.0.1', port).__enter__
        )
        self.assertEqual(
            f'Cannot listen on 127.0.0.1:{port}: Address already in use',
            str(error),
        )

    def test_an_address_that_is_not_here_is_said_in_a_line(self) -> None:
        """One of another machine, or of none."""
        for address in ('192.0.2.1', 'nosuch.invalid'):
            error = self.assertRaises(
                OSError, serving.Exporter(Metrics(), address, 0).__enter__
            )
            self.assertRegex(
                str(error), rf'\ACannot listen on {address}:0: [^\n\[]+\Z'
            )

    def test_nobody_answers_after_the_end(self) -> None:
        """The port is free for the next one."""
        with serving.Exporter(Metrics(), '127.0.0.1', 0) as server:
            port = server.port
        self.assertRaises(ConnectionRefusedError, self.open, port)
        with serving.Exporter(Metrics(), '127.0.0.1', port):
            self.assertEqual(200, self.ask(port)[0].status)


class HostileTest(TestCase):
    def test_hanging_connections_keep_no_scrape_out(self) -> None:
        """The oldest one goes when one too many comes."""
        port = self.start(Metrics(), connections=4, patience=LONG * 9).port
        hanging = [self.open(port, b'GET /metrics HT') for _ in range(40)]
        self.assertEqual(200, self.ask(port)[0].status)
        for connection in hanging[:36]:
            self.assert_hung_up(connection)
        self.assert_quiet()

    def test_threads_do_not_pile_up(self) -> None:
        """There is one for each connection, and few connections."""
        before = threading.active_count()
        port = self.start(Metrics(), connections=4, patience=LONG * 9).port
        for _ in range(200):
            self.open(port, b'GET ')
        self.ask(port)
        # The one that accepts, and those that serve.
        self.wait_for_threads(before + 5)

    def test_who_says_nothing_is_hung_up_on(self) -> None:
        """After a while, that is."""
        port = self.start(Metrics(), patience=0.2).port
        for data in (b'', b'GET /metrics HTTP/1.1\r\nHost: x\r\n'):
            self.assert_hung_up(self.open(port, data))
        self.assert_quiet()

    def test_who_says_a_letter_at_a_time_is_hung_up_on(self) -> None:
        """The time is for the connection, not for each letter."""
        port = self.start(Metrics(), patience=0.5).port
        connection = self.open(port, b'GET /metrics HTTP/1.1\r\nX: ')
        ended = threading.Event()
        self.addCleanup(ended.set)

        def trickle() -> None:
            with contextlib.suppress(OSError):
                while not ended.wait(0.02):
                    connection.send(b'x')

        threading.Thread(target=trickle, daemon=True).start()
        self.assert_hung_up(connection)
        self.assert_quiet()

    def test_who_does_not_read_is_hung_up_on(self) -> None:
        """The rest of the answer is not kept for ever."""

        class Large(Metrics):
            def render(self, accept: str) -> tuple[bytes, str]:
                return bytes(50_000_000), 'text/plain'

        port = self.start(Large(), patience=0.2).port
        connection = self.open(port, b'GET /metrics HTTP/1.0\r\n\r\n')
        # Who came later is not hung up on earlier.
        self.assert_hung_up(self.open(port))
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(65536):
                received += len(data)
        self.assertLess(received, 50_000_000)
        self.assert_quiet()

    def test_the_end_does_not_wait_for_hanging_connections(self) -> None:
        """They are hung up on."""
        before = threading.active_count()
        with serving.Exporter(
            observed(100), '127.0.0.1', 0, patience=LONG * 9
        ) as server:
            hanging = [
                self.open(server.port, data)
                for data in (b'', b'GET /metrics HTTP/1.1\r\nA:') * 4
            ]
            self.ask(server.port)
        for connection in hanging:
            self.assert_hung_up(connection)
        self.wait_for_threads(before)
        self.assert_quiet()

    def test_rubbish_does_it_no_harm(self) -> None:
        """It says nothing of it, and goes on."""
        port = self.start(Metrics()).port
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
        self.assertEqual(200, self.ask(port)[0].status)
        self.assert_quiet()

    def test_a_scraper_that_goes_away_midway_leaves_no_trace(self) -> None:
        """Not even a line on standard error."""
        port = self.start(observed(10_000)).port
        for _ in range(20):
            connection = self.open(port, b'GET /metrics HTTP/1.0\r\n\r\n')
            connection.recv(100)
            # With an RST, at once.
            connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0'
            )
            connection.close()
        self.assertEqual(200, self.ask(port)[0].status)
        self.assert_quiet()
