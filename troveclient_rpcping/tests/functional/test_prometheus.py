# SPDX-License-Identifier: Apache-2.0

"""The files of ``contrib/``, with the real Prometheus and the real monitor.

The tests are skipped without the package ``prometheus``, which has promtool.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time
from typing import Any
import unittest
import urllib.parse
import urllib.request

import fixtures
from prometheus_client import parser as prometheus_parser
import testtools

import troveclient_rpcping
from troveclient_rpcping.prometheus import metrics
from troveclient_rpcping.tests.functional import base

ROOT = pathlib.Path(troveclient_rpcping.__file__).parent.parent
RULES = ROOT / 'contrib/prometheus/alerts.yaml'
RULES_TEST = ROOT / 'contrib/prometheus/alerts_test.yaml'
CONFIG = ROOT / 'contrib/prometheus/prometheus.yaml'
DASHBOARD = ROOT / 'contrib/grafana/trove-guest-rpc.json'
UNIT = ROOT / 'contrib/systemd/trove-guest-rpc-monitor.service'

# Seconds after which a test gives up an event.
LONG = 120.0

needs_prometheus = unittest.skipUnless(
    shutil.which('prometheus') and shutil.which('promtool'),
    'Prometheus is not installed: apt-get install prometheus',
)
needs_node_exporter = unittest.skipUnless(
    shutil.which('prometheus-node-exporter'),
    'node_exporter is not installed: apt-get install prometheus-node-exporter',
)
needs_systemd_analyze = unittest.skipUnless(
    shutil.which('systemd-analyze'), 'systemd-analyze is not installed'
)


def run(*command: str, text: str | None = None) -> str:
    """Run a command that must succeed; return its output."""
    process = subprocess.run(
        command,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONG,
    )
    assert process.returncode == 0, process.stdout
    return process.stdout


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=LONG) as reply:  # noqa: S310
        return str(reply.read().decode())


def wait_for(what: str, happened: Callable[[], Any]) -> Any:
    """Return the first true value of a function."""
    deadline = time.monotonic() + LONG
    while True:
        with contextlib.suppress(OSError):
            if found := happened():
                return found
        assert time.monotonic() < deadline, f'no {what}'
        time.sleep(0.2)


def start(test: testtools.TestCase, *command: str) -> None:
    """Run a server until the end of a test."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    test.addCleanup(process.wait, LONG)
    test.addCleanup(process.terminate)


def dashboard_queries() -> dict[str, str]:
    """Return every query of the dashboard, by the title of its panel."""
    panels = json.loads(DASHBOARD.read_text())['panels']
    return {
        f'{panel["title"]}, {target["refId"]}': target['expr']
        for panel in panels
        for target in panel['targets']
    }


class ContribTest(testtools.TestCase):
    """Tests that need no server."""

    @needs_prometheus
    def test_promtool_accepts_the_rules_and_the_configuration(self) -> None:
        """Users copy these files. Each alert fires when it should."""
        self.assertIn('SUCCESS', run('promtool', 'check', 'rules', str(RULES)))
        run('promtool', 'check', 'config', str(CONFIG))
        run('promtool', 'test', 'rules', str(RULES_TEST))

    def test_each_alert_is_tested(self) -> None:
        """A test makes it fire, and compares its texts."""
        alerts = re.findall(r'- alert: (\w+)', RULES.read_text())
        self.assertGreater(len(alerts), 5)
        tested = re.findall(
            r'alertname: (\w+)\n *eval_time: \w+\n *exp_alerts:\n',
            RULES_TEST.read_text(),
        )
        self.assertEqual(set(alerts), set(tested))

    def test_the_queries_name_only_metrics_that_exist(self) -> None:
        """The dashboard and the alerts have such queries."""
        text = metrics.Metrics().page().body.decode()
        exist = set(re.findall(r'# TYPE (\w+)', text))
        exist.add('trove_guest_rpc_round_trip_seconds_bucket')
        rules = RULES.read_text()
        recorded = set(re.findall(r'record: (\S+)', rules))
        for query in (*dashboard_queries().values(), rules):
            names = set(re.findall(r'\btrove_guest_rpc[\w:]*', query))
            self.assertNotEqual(set(), names)
            self.assertEqual(set(), names - exist - recorded)
        # The dashboard also works without the rules.
        self.assertNotIn('trove_guest_rpc:', DASHBOARD.read_text())

    def test_the_dashboard_takes_any_data_source_and_cloud(self) -> None:
        """Its user chooses both in Grafana. Each query filters by cloud."""
        dashboard = json.loads(DASHBOARD.read_text())
        variables = {each['name'] for each in dashboard['templating']['list']}
        self.assertIn('datasource', variables)
        self.assertEqual(
            {'${datasource}'},
            set(re.findall(r'"uid": "(\$[^"]*)"', DASHBOARD.read_text())),
        )
        for panel in dashboard['panels']:
            self.assertTrue(panel['description'], panel['title'])
        for title, query in dashboard_queries().items():
            measured = re.findall(r'trove_guest_rpc_\w+(\{[^}]*\})?', query)
            self.assertTrue(measured, title)
            for labels in measured:
                self.assertIn('cloud=~"$cloud"', labels, title)

    def test_no_rule_drops_the_labels_of_a_monitor(self) -> None:
        """A rule names the labels that it drops, not those that it keeps."""
        found = re.findall(r'\b(?:by|on) \(.*', RULES.read_text())
        self.assertEqual([], found)

    @needs_systemd_analyze
    def test_systemd_accepts_the_unit(self) -> None:
        """systemd also rates the unit as well protected."""
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        unit = folder / UNIT.name
        # systemd checks that the command exists.
        unit.write_text(
            re.sub(
                'ExecStart=[^ ]+',
                f'ExecStart={sys.executable}',
                UNIT.read_text(),
            )
        )
        self.assertEqual('', run('systemd-analyze', 'verify', str(unit)))
        run(
            *('systemd-analyze', 'security', '--no-pager', '--offline=true'),
            *('--threshold=20', str(unit)),
        )

    @needs_node_exporter
    def test_the_files_of_two_clouds_do_not_hide_each_other(self) -> None:
        """One node_exporter reads both, and serves every series of both."""
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        written = set()
        for cloud in ('north', 'south'):
            file = folder / f'{cloud}.prom'
            measured = metrics.Metrics({'cloud': cloud})
            measured.failed(ended=1.0, seconds=1.0)
            measured.write(file)
            written |= series(file.read_text())
        port = base.free_port()
        start(
            self,
            'prometheus-node-exporter',
            '--collector.disable-defaults',
            '--collector.textfile',
            f'--collector.textfile.directory={folder}',
            f'--web.listen-address=127.0.0.1:{port}',
        )
        url = f'http://127.0.0.1:{port}/metrics'
        page = wait_for('node_exporter', lambda: get(url))
        self.assertEqual(set(), written - series(page))


def series(text: str) -> set[str]:
    """Return the name and the labels of each sample."""
    found = set()
    for family in prometheus_parser.text_string_to_metric_families(text):
        for sample in family.samples:
            # Exporters write "le" in different ways.
            labels = {**sample.labels}
            if 'le' in labels:
                labels['le'] = str(float(labels['le']))
            found.add(f'{sample.name}{sorted(labels.items())}')
    return found


class TestCase(base.TestCase):
    """A monitor that sweeps the sandbox every second."""

    def start_monitor(self, *guests: str) -> str:
        """Start the monitor; return its URL after the first sweep.

        :param guests: their names; none for all guests.
        """
        address = f'127.0.0.1:{base.free_port()}'
        self.start(
            *(*base.MONITOR, *(guests or ['--all']), '--interval', '1'),
            *('--listen', address),
        )
        url = f'http://{address}'
        wait_for('sweep', lambda: 'rpc_up{' in get(f'{url}/metrics'))
        return url


@needs_prometheus
class PrometheusTest(TestCase):
    """The monitor sweeps the sandbox, and Prometheus scrapes the monitor."""

    def start_prometheus(self, target: str) -> None:
        """Start Prometheus with the files that users copy.

        Only the intervals differ.
        """
        files = self.folder()
        rules = re.sub(r'for: \d+m', 'for: 3s', RULES.read_text())
        (files / RULES.name).write_text(rules)
        port = target.rpartition(':')[2]
        config = CONFIG.read_text().replace('9877', port)
        config = config.replace('scrape_interval: 30s', 'scrape_interval: 1s')
        config += 'global:\n  evaluation_interval: 1s\n'
        (files / CONFIG.name).write_text(config)
        address = f'127.0.0.1:{base.free_port()}'
        start(
            self,
            'prometheus',
            f'--config.file={files / CONFIG.name}',
            f'--storage.tsdb.path={files / "data"}',
            f'--web.listen-address={address}',
        )
        self.url = f'http://{address}'
        wait_for('Prometheus', lambda: get(f'{self.url}/-/ready'))

    def query(self, expression: str) -> Any:
        """Return what Prometheus answers to an instant query."""
        query = urllib.parse.urlencode({'query': expression})
        answer = json.loads(get(f'{self.url}/api/v1/query?{query}'))
        self.assertEqual('success', answer['status'])
        return answer['data']['result']

    def firing(self) -> set[str]:
        """Return the names of the guests with a firing alert."""
        alerts = json.loads(get(f'{self.url}/api/v1/alerts'))['data']['alerts']
        return {
            alert['labels']['name']
            for alert in alerts
            if alert['labels']['alertname'] == 'TroveGuestUnreachable'
            and alert['state'] == 'firing'
        }

    def test_a_guest_that_dies_raises_an_alert(self) -> None:
        """The alert names the guest, and ends when the guest is back."""
        self.start_prometheus(self.start_monitor())
        # One is silent, and one is in error.
        bad = {'db-dead', 'db-failing'}
        wait_for('alerts', lambda: self.firing() == bad)

        self.sandbox.set_guest('db-healthy', 'dead')
        wait_for('alert', lambda: self.firing() == bad | {'db-healthy'})
        self.sandbox.set_guest('db-healthy', 'answering')
        wait_for('end of the alert', lambda: self.firing() == bad)

    def test_a_control_plane_that_fails_takes_no_guest_down(self) -> None:
        """A guest that was down becomes unknown."""
        # No guest that is silent: a sweep that Nova's end overtakes would
        # wait a minute for a proof of its death.
        monitor = self.start_monitor('db-healthy', 'db-failing')
        self.start_prometheus(monitor)
        wait_for('scrape', lambda: self.query('trove_guest_rpc_up == 0'))
        # Without Nova, Trove lists no instances.
        self.sandbox.set_nova('broken')
        failed = 'trove_guest_rpc_sweeps_total{outcome="failed"} > 0'
        wait_for('failed sweep', lambda: self.query(failed))
        self.assertEqual([], self.query('trove_guest_rpc_up'))

    def test_prometheus_answers_every_query_of_the_dashboard(self) -> None:
        """The table of guests that are down has the names of the guests."""
        monitor = self.start_monitor()
        # promtool knows the conventions for metrics.
        page = get(f'{monitor}/metrics')
        self.assertEqual('', run('promtool', 'check', 'metrics', text=page))
        self.start_prometheus(monitor)
        wait_for('scrape', lambda: self.query('trove_guest_rpc_up'))
        answers = {}
        for title, expression in dashboard_queries().items():
            for variable, value in (
                *(('$job', '.*'), ('$monitor', '.*'), ('$cloud', '.*')),
                *(('$window', '5m'), ('$__range', '1h')),
            ):
                expression = expression.replace(variable, value)
            answers[title] = self.query(expression)
        for panel, names in (
            ('Not reached now, A', ['db-dead', 'db-failing']),
            ('Unknown now, A', ['db-unready']),
        ):
            self.assertEqual(
                names, sorted(row['metric']['name'] for row in answers[panel])
            )
        self.assertEqual('6', answers['Reachable, A'][0]['value'][1])
