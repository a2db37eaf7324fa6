# SPDX-License-Identifier: Apache-2.0

"""The metrics that the commands write and serve."""

from __future__ import annotations

import argparse
import io
import pathlib
import signal
import socket
import ssl
from typing import Any
import urllib.request

import fixtures
from keystoneauth1 import exceptions as ksa_exceptions
from osc_lib import exceptions as osc_exceptions
from prometheus_client import parser as prometheus_parser
import trustme

from troveclient_rpcping import fixture
from troveclient_rpcping import limits
from troveclient_rpcping.osc import exits
from troveclient_rpcping.osc import measures
from troveclient_rpcping.osc import shell
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.tests import base
from troveclient_rpcping.tests.unit import test_commands
from troveclient_rpcping.tests.unit import test_login


class TestCase(test_commands.TestCase):
    """A command that writes a file of metrics."""

    def samples(self, file: pathlib.Path) -> dict[str, float]:
        """Return the samples of a file as they stand there."""
        lines = file.read_text().splitlines()
        pairs = [line.rpartition(' ') for line in lines if line[0] != '#']
        return {name: float(value) for name, _, value in pairs}


class Surly(test_commands.Clients):
    """The clients of a shell whose first logins fail."""

    def __init__(self, api: Any, error: BaseException, failures: int):
        super().__init__(api)
        self._error = error
        self._failures = failures

    @property
    def auth_ref(self) -> Any:
        """Log in, or not."""
        self._failures -= 1
        if self._failures >= 0:
            raise self._error
        return None


class FailedSweepTest(TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.trove.add('db-7')
        self.ping('db-7', *self.file)

    @property
    def file(self) -> tuple[str, str]:
        return '--textfile', str(self.textfile)

    def assert_failed_sweep(self) -> None:
        """Expect a failed sweep without guests in the file; remove it."""
        samples = self.samples(self.textfile)
        self.assertEqual(0, samples['trove_guest_rpc_last_sweep_success'])
        up = [
            name for name in samples if name.startswith('trove_guest_rpc_up')
        ]
        self.assertEqual([], up)
        self.textfile.unlink()

    def surly(self, error: BaseException, failures: int = 1) -> Surly:
        return Surly(self.trove.client(), error, failures)

    def test_an_end_before_the_first_ping_is_a_failed_sweep(self) -> None:
        """``timeout 60`` may end a command while Keystone hangs."""
        ends = (
            (KeyboardInterrupt(), exits.INTERRUPTED),
            (shell.Terminated(), exits.TERMINATED),
        )
        for command in (self.ping, self.watch):
            for end, status in ends:
                ended = command(
                    'db-7', *self.file, client_manager=self.surly(end)
                )
                self.assertEqual(status, ended)
                self.assert_failed_sweep()

    def test_any_error_before_the_first_ping_is_a_failed_sweep(
        self,
    ) -> None:
        """The cause may be a listing, a broken file, or a taken port."""
        taken = self.enterContext(socket.create_server(('127.0.0.1', 0)))
        port = str(taken.getsockname()[1])
        both = (self.ping, self.watch)
        for commands, arguments in (
            (both, ('--from-file', str(self.folder))),
            (both, ('--all', '--status', 'NONE')),
            ((self.watch,), ('--all', '--listen', port)),
        ):
            for command in commands:
                self.assertRaises(
                    osc_exceptions.CommandError,
                    command,
                    *arguments,
                    *self.file,
                )
                self.assert_failed_sweep()
        self.trove.listing = fixture.fault(500, 'instanceFault', 'Broken')
        for command in both:
            self.assertRaises(
                osc_exceptions.CommandError, command, 'db-7', *self.file
            )
            self.assert_failed_sweep()

    def test_an_end_in_the_middle_of_the_pings_is_not_recorded(self) -> None:
        """An interrupt says nothing about the cloud."""
        before = self.textfile.read_text()

        def answer(request: base.Request) -> Any:
            if request.target.endswith(f'{base.GUEST}/rpc_ping'):
                return fixture.reachable()
            if request.target.endswith('/rpc_ping'):
                signal.raise_signal(signal.SIGINT)
                return fixture.silence()
            return test_commands.LISTING

        for command in (self.ping, self.watch):
            status = command(
                *(base.GUEST, base.OTHER, '--concurrency', '1', *self.file),
                api=self.connect(self.serve(answer).url),
            )
            self.assertEqual(exits.INTERRUPTED, status)
            self.assertEqual(before, self.textfile.read_text())

    def test_the_port_is_served_while_no_sweep_succeeds(self) -> None:
        """A scrape sees the failed sweeps, and then the guests.

        The certificates for HTTPS come from the command line.
        """
        ca = trustme.CA()
        certificate = ca.issue_cert('127.0.0.1')
        files = {'key': certificate.private_key_pem, 'client-ca': ca.cert_pem}
        files['cert'] = certificate.cert_chain_pems[0]
        options: list[str] = []
        for name, blob in files.items():
            blob.write_to_path(str(self.folder / name))
            options += [f'--listen-{name}', str(self.folder / name)]
        context = ssl.create_default_context()
        ca.configure_trust(context)
        ca.issue_cert('scraper').configure_cert(context)
        with socket.create_server(('127.0.0.1', 0)) as free:
            port = free.getsockname()[1]
        pages = []

        def scrape() -> None:
            url = f'https://127.0.0.1:{port}/metrics'
            with urllib.request.urlopen(url, context=context) as page:
                pages.append(page.read().decode())

        def scrape_and_end() -> None:
            scrape()
            raise KeyboardInterrupt

        # A line for the trouble, and one for its end.
        self.stdout = test_commands.Script(scrape, scrape_and_end)
        self.watched(
            *('db-7', '--listen', str(port), *options),
            client_manager=self.surly(
                ksa_exceptions.ConnectFailure('Keystone is down'), 2
            ),
            printed=r'\S+ control plane ok -> failing \(no sweep: "No login: '
            r'.*Keystone is down\. .*"\)\n'
            r'\S+ control plane failing -> ok after \w+\n\Z',
        )
        failed, good = pages
        self.assertIn('_sweeps_total{outcome="failed"} 1.0', failed)
        self.assertNotIn('trove_guest_rpc_up{', failed)
        self.assertIn('_sweeps_total{outcome="failed"} 2.0', good)
        self.assertIn('_sweeps_total{outcome="done"} 1.0', good)
        self.assertIn('trove_guest_rpc_up{instance_id="db-7"} 1.0', good)

    def test_a_mistake_ends_a_monitor_that_serves_metrics(self) -> None:
        """A mistake does not end by itself."""
        missing = str(self.folder / 'missing.pem')
        for arguments, words in (
            (('--status', 'NONE'), 'No instance fits'),
            (('--listen-cert', missing), f'certificate {missing}'),
        ):
            error = self.assertRaises(
                osc_exceptions.CommandError,
                *(self.watch, '--all', '--listen', '127.0.0.1:0', *arguments),
            )
            self.assertIn(words, str(error))
        # By the set-up.
        self.assertEqual(['db-7'], self.trove.pinged)


class ShellTest(test_login.TestCase):
    def test_no_login_of_the_real_shell_is_a_failed_sweep(self) -> None:
        """The password, Keystone or the region may be the cause."""
        file = self.folder / 'trove.prom'

        def run(command: tuple[str, ...]) -> tuple[int, str]:
            status, _, _ = self.openstack(
                *command, base.GUEST, '--textfile', str(file)
            )
            return status, file.read_text()

        self.serve_keystone()
        status, text = run(test_login.PING)
        self.assertEqual(0, status)
        self.assertIn(f'_up{{instance_id="{base.GUEST}"}} 1.0', text)
        self.assertIn('_last_sweep_success 1.0', text)
        for trouble in ('password', 'keystone', 'region'):
            refusal = fixture.fault(401, 'error', 'No')
            server = self.serve_keystone(
                refusal if trouble == 'password' else None
            )
            if trouble == 'keystone':
                server.stop()
            if trouble == 'region':
                self.setenv(OS_REGION_NAME='Nowhere')
            for command in (test_login.PING, test_login.MONITOR):
                status, text = run(command)
                self.assertEqual(1, status)
                self.assertNotIn('trove_guest_rpc_up{', text)
                self.assertIn('_last_sweep_success 0.0', text)
                file.unlink()


class ThrottledTest(TestCase):
    def test_waiting_for_dead_guests_is_not_throttling(self) -> None:
        """Throttling ends with the last ping, not with its answer."""
        clock = iter([0.0, 2.0, 9.0, 21.0, 21.0])
        arguments = argparse.Namespace(textfile=None, listen=True, label=())
        kept = measures.Measures(arguments, clock=clock.__next__)
        kept.throttled(limits.Throttle(1.0, 1.0))
        results = [
            fixture.ping_result(fixture.reachable(), rtt=1.0),
            fixture.ping_result(fixture.agent_timeout(), base.OTHER, 15.0),
        ]
        for result in results:
            kept.saw(result)
        asked = [outcomes.Target(result.instance_id) for result in results]
        kept.swept(base.findings(asked, results))
        # The pings were sent at 8 and at 6 s, and the API refused one at 2 s.
        self.assertIn(
            b'\ntrove_guest_rpc_throttled_seconds_total 6.0\n',
            kept.metrics.page().body if kept.metrics else b'',
        )


class FileTest(TestCase):
    def test_a_file_or_a_label_that_would_be_lost_is_wrong_usage(self) -> None:
        """node_exporter reads files that end in ``.prom``.

        Prometheus does not take each label. The error is one clean line.
        """
        file = ('--textfile', str(self.textfile))
        names = ('metrics.txt', 'trove', 'x.prom.tmp', 'a/.prom', 'PROM')
        labels = (
            *('', 'cloud', '=north', '1=x', 'a-b=x', 'a.b=x', 'ü=x', 'a b=x'),
            *('__name__=x', '__x=x', 'cloud=', 'cloud= ', 'cloud=a\nb'),
            *('cloud=\udcff', 'cloud\n=x', 'job=x', 'instance=x', 'le=1'),
            *('instance_id=x', 'name=x', 'project_id=x', 'datastore=x'),
            *('verdict=x', 'reason=x', 'outcome=x'),
        )
        for arguments, words in (
            *((('--textfile', each), 'not end in .prom') for each in names),
            *(
                ((*file, '--label', each), 'argument --label: "')
                for each in labels
            ),
        ):
            for command in (self.ping, self.watch):
                stderr = io.StringIO()
                with fixtures.MonkeyPatch('sys.stderr', stderr):
                    ended = self.assertRaises(
                        SystemExit, command, base.GUEST, *arguments
                    )
                self.assertEqual(exits.USAGE, ended.code)
                line = stderr.getvalue().splitlines()[-1]
                self.assertIn(words, line)
                self.assertTrue(line.isprintable(), line)
        self.assertEqual([], self.trove.requests)

    def test_a_file_that_cannot_be_written_is_known_before_any_request(
        self,
    ) -> None:
        """The results of a sweep would be lost."""
        (self.folder / 'folder.prom').mkdir()
        for name in ('folder.prom', 'nosuch/trove.prom'):
            path = str(self.folder / name)
            for command in (self.ping, self.watch):
                error = self.assertRaises(
                    osc_exceptions.CommandError,
                    command,
                    base.GUEST,
                    '--textfile',
                    path,
                )
                self.assertIn(f'Cannot write {path}: ', str(error))
        self.assertEqual([], self.trove.requests)


class LabelTest(TestCase):
    def test_a_label_keeps_two_clouds_apart(self) -> None:
        """The two files have no series in common."""
        self.trove.add('db-7')
        series = []
        for cloud in ('north', 'south'):
            file = self.folder / f'{cloud}.prom'
            self.ping(
                *('--all', '--textfile', str(file)),
                *('--label', f'cloud={cloud}', '--label', 'site=a=b'),
            )
            text = file.read_text()
            families = list(
                prometheus_parser.text_string_to_metric_families(text)
            )
            self.assertGreater(len(families), 5)
            series.append(set(self.samples(file)))
            for name in series[-1]:
                self.assertIn(f'cloud="{cloud}"', name)
                self.assertIn('site="a=b"', name)
        self.assertEqual(set(), series[0] & series[1])

    def test_the_monitor_labels_all_metrics(self) -> None:
        """The monitor serves and writes the same metrics."""
        self.trove.add('db-7', fixture.agent_error())
        self.stdout = test_commands.Script(test_commands.interrupt)
        self.watched(
            *('--all', '--textfile', str(self.textfile)),
            *('--listen', '127.0.0.1:0', '--label', 'cloud=north'),
        )
        for name in self.samples(self.textfile):
            self.assertIn('cloud="north"', name)
