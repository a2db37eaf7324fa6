# SPDX-License-Identifier: Apache-2.0

"""The metrics, and the file for node_exporter."""

from __future__ import annotations

from collections.abc import Sequence
import os
import pathlib
import re
import resource
import stat
from typing import Any

import fixtures
import prometheus_client
from prometheus_client import parser as prometheus_parser
from prometheus_client.openmetrics import parser as openmetrics_parser
import testtools

from troveclient_rpcping import fixture
from troveclient_rpcping import inventory
from troveclient_rpcping import plaintext
from troveclient_rpcping import reply as replies
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.cli import arguments as cli_arguments
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.prometheus import metrics
from troveclient_rpcping.tests import base

# What Prometheus 2.42 sends.
ACCEPT = (
    'application/openmetrics-text;version=1.0.0,application/openmetrics-text;'
    'version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'
)

# The contract: a name that is missing here breaks somebody's alert.
GAUGES = {
    'trove_guest_rpc_up',
    'trove_guest_rpc_not_reachable',
    'trove_guest_rpc_info',
    'trove_guest_rpc_guests',
    'trove_guest_rpc_guests_by_reason',
    'trove_guest_rpc_last_sweep_success',
    'trove_guest_rpc_last_sweep_duration_seconds',
    'trove_guest_rpc_last_sweep_timestamp_seconds',
    'trove_guest_rpc_last_failed_sweep_timestamp_seconds',
}
COUNTERS = {
    'trove_guest_rpc_round_trip_seconds',
    'trove_guest_rpc_sweeps',
    'trove_guest_rpc_throttled_seconds',
}

HOSTILE = [
    'a"} 1\ntrove_guest_rpc_up{instance_id="b',
    'back\\slash\\n\\',
    '\x1b]0;title\x07\x1b[2Jred',
    'right-to-left \u202e override\u2028\u2029\r\n',
    'half a surrogate \ud800 and a NUL \x00',
    '# HELP trove_guest_rpc_up no',
    'long ' * 10_000,
]

REACHABLE = fixture.reachable()
UNREACHABLE = fixture.agent_timeout()
ERROR = fixture.agent_error('disk is full')
UNKNOWN = fixture.compute_error()


def target(instance_id: str, name: str | None = 'db') -> outcomes.Target:
    row = inventory.Instance(
        id=instance_id,
        name=name,
        project_id=base.PROJECT,
        datastore='mysql 8.0',
        server=inventory.Server('s', 'compute-1', 'ACTIVE'),
    )
    return outcomes.Target(instance_id, name, row)


class TestCase(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.metrics = metrics.Metrics()

    def observe(self, *answers: replies.Reply, **times: float) -> None:
        """Report a sweep over guests ``0``, ``1`` and so on."""
        ids = list(map(str, range(len(answers))))
        results = list(map(fixture.ping_result, answers, ids))
        self.sweep(list(map(target, ids)), results, **times)

    def sweep(
        self,
        targets: Sequence[outcomes.Target],
        results: Sequence[verdicts.PingResult],
        ended: float = 1_700_000_000.0,
        seconds: float = 6.4,
        throttled: float = 0.0,
    ) -> None:
        """Report a sweep over targets."""
        self.metrics.observe(
            base.findings(targets, results),
            ended=ended,
            seconds=seconds,
            throttled=throttled,
        )

    def text(self) -> bytes:
        """Return the metrics in the classic format."""
        return self.metrics.page().body

    def samples(self, name: str) -> list[Any]:
        """Return the samples of a name in the classic text."""
        families = prometheus_parser.text_string_to_metric_families(
            self.text().decode()
        )
        samples = [each for family in families for each in family.samples]
        return [s for s in samples if s.name == f'trove_guest_rpc_{name}']

    def labels(self, name: str) -> list[dict[str, str]]:
        """Return the labels of every sample of a name."""
        return [sample.labels for sample in self.samples(name)]

    def value(self, name: str, /, **labels: str) -> float | None:
        """Return a value; None for none."""
        samples = self.samples(name)
        found = [each.value for each in samples if each.labels == labels]
        self.assertLess(len(found), 2, f'{name} comes twice')
        return found[0] if found else None

    def openmetrics(self) -> list[prometheus_client.Metric]:
        """Return the metrics as they are in OpenMetrics."""
        text = self.metrics.page(ACCEPT).body
        return list(
            openmetrics_parser.text_string_to_metric_families(  # type: ignore[no-untyped-call]
                text.decode()
            )
        )


class GuestsTest(TestCase):
    def test_only_a_guest_that_answered_is_up(self) -> None:
        """A guest that did not answer, or failed the ping, is down.

        An unknown guest is neither, and still has its info. No text of a guest
        becomes a label.
        """
        self.observe(REACHABLE, UNREACHABLE, ERROR, UNKNOWN)
        for number, up in enumerate((1, 0, 0, None)):
            self.assertEqual(up, self.value('up', instance_id=str(number)))
        self.assertEqual(4, len(self.labels('info')))
        self.assertEqual(
            [
                ('1', 'unreachable', 'agent-timeout'),
                ('2', 'error', 'agent-error'),
                ('3', 'unknown', 'compute-error'),
            ],
            [
                (each['instance_id'], each['verdict'], each['reason'])
                for each in self.labels('not_reachable')
            ],
        )
        values = {each.value for each in self.samples('not_reachable')}
        self.assertEqual({1}, values)
        self.assertNotIn(b'disk', self.text())
        # A sweep replaces the results of the last one.
        self.observe(UNKNOWN)
        self.assertEqual([], self.labels('up'))
        self.assertEqual(1, len(self.labels('info')))

    def test_the_info_names_a_guest_and_its_owner(self) -> None:
        """Its value is 1, so that a query can multiply with it.

        A label without a known value is empty: without a listing only the ID
        of a guest is known.
        """
        known = {
            'name': 'db',
            'project_id': base.PROJECT,
            'datastore': 'mysql 8.0',
            'host': 'compute-1',
            'server_id': 's',
            'server_status': 'ACTIVE',
        }
        self.sweep(
            [target('a'), outcomes.Target('b')],
            [
                fixture.ping_result(REACHABLE, 'a'),
                fixture.ping_result(REACHABLE, 'b'),
            ],
        )
        self.assertEqual(1, self.value('info', instance_id='a', **known))
        nothing = dict.fromkeys(known, '')
        self.assertEqual(1, self.value('info', instance_id='b', **nothing))

    def test_a_guest_that_comes_twice_has_one_series(self) -> None:
        """Prometheus would drop the whole scrape for two series.

        A name without an instance has none: it has no ID for a label.
        """
        nobody = fixture.not_found()
        self.sweep(
            [
                target('a'),
                target('a', 'again'),
                outcomes.Target(None, 'nosuch'),
            ],
            [
                fixture.ping_result(REACHABLE, 'a'),
                fixture.ping_result(UNREACHABLE, 'a'),
                fixture.ping_result(nobody, ''),
            ],
        )
        self.assertEqual([{'instance_id': 'a'}], self.labels('up'))
        self.assertEqual(1, len(self.labels('info')))
        self.assertEqual(1, self.value('guests', verdict='unknown'))

    def test_hostile_names_are_one_clean_bounded_line(self) -> None:
        """They forge no series in either format."""
        for name in HOSTILE:
            self.sweep(
                [target('a', name)], [fixture.ping_result(REACHABLE, 'a')]
            )
            [labels] = self.labels('info')
            self.assertEqual(plaintext.one_line(name), labels['name'])
            self.assertTrue(labels['name'].isprintable(), repr(name))
            self.assertLessEqual(len(labels['name']), plaintext.LINE_LIMIT)
            self.assertEqual([{'instance_id': 'a'}], self.labels('up'))
            [info] = [
                sample.labels
                for family in self.openmetrics()
                for sample in family.samples
                if sample.name == 'trove_guest_rpc_info'
            ]
            self.assertEqual(labels, info)


class FleetTest(TestCase):
    def assert_counts(self, **counts: int) -> None:
        """Check the guests of every verdict and reason; others have 0."""
        for name, label, kinds in (
            ('guests', 'verdict', verdicts.Verdict),
            ('guests_by_reason', 'reason', verdicts.Reason),
        ):
            self.assertEqual(
                [each.value for each in kinds],
                [each[label] for each in self.labels(name)],
            )
            for each in kinds:
                self.assertEqual(
                    counts.get(each.name, 0),
                    self.value(name, **{label: each.value}),
                    each,
                )

    def test_every_verdict_and_reason_is_always_there(self) -> None:
        """A query for a reason that no guest has gives 0, not nothing.

        In an empty cloud, no guest can become unknown.
        """
        self.observe()
        self.assert_counts()
        self.metrics.failed(ended=9.0, seconds=0.5)
        self.assert_counts()
        self.observe(UNREACHABLE, UNREACHABLE, REACHABLE)
        self.assert_counts(UNREACHABLE=2, AGENT_TIMEOUT=2, REACHABLE=1)

    def test_after_a_failed_sweep_all_guests_are_unknown(self) -> None:
        """The results of the last good sweep are out of date.

        All counts 0 would look like a cloud without guests.
        """
        self.observe(REACHABLE, UNREACHABLE, UNKNOWN)
        for _ in range(2):
            self.metrics.failed(ended=9.0, seconds=0.5)
            self.assertEqual([], self.labels('up') + self.labels('info'))
            self.assert_counts(UNKNOWN=3, NOT_ASKED=3)

    def test_before_the_first_good_sweep_no_guest_is_counted(self) -> None:
        """The cloud may have any number of guests."""
        for _ in range(2):
            self.assertEqual([], self.labels('guests'))
            self.assertEqual([], self.labels('guests_by_reason'))
            self.metrics.failed(ended=9.0, seconds=0.5)

    def test_round_trips_add_up_over_all_sweeps(self) -> None:
        """Only those of reachable guests count."""
        for _ in range(2):
            self.sweep(
                [target('a'), target('b'), target('c')],
                [
                    fixture.ping_result(REACHABLE, 'a', 0.031),
                    fixture.ping_result(UNREACHABLE, 'b', 15.0),
                    fixture.ping_result(REACHABLE, 'c', 0.004),
                ],
            )
        self.assertEqual(4, self.value('round_trip_seconds_count'))
        self.assertAlmostEqual(0.07, self.value('round_trip_seconds_sum') or 0)
        for le, count in (
            *(('0.005', 2), ('0.03', 2), ('0.05', 4)),
            *(('30.0', 4), ('+Inf', 4)),
        ):
            self.assertEqual(
                count, self.value('round_trip_seconds_bucket', le=le), le
            )

    def test_sweeps_are_dated_timed_and_counted(self) -> None:
        """A sweep that did not happen has no time: 0 would be in 1970.

        A failed sweep leaves the time of the last good one.
        """

        def values() -> list[float | None]:
            return [
                self.value('last_sweep_timestamp_seconds'),
                self.value('last_failed_sweep_timestamp_seconds'),
                self.value('last_sweep_duration_seconds'),
                self.value('last_sweep_success'),
                self.value('throttled_seconds_total'),
                self.value('sweeps_total', outcome='done'),
                self.value('sweeps_total', outcome='failed'),
            ]

        self.assertEqual([None, None, None, None, 0, 0, 0], values())
        self.observe(ended=5.0, throttled=1.5)
        self.assertEqual([5.0, None, 6.4, 1, 1.5, 1, 0], values())
        self.observe(ended=65.0, seconds=7.0, throttled=2.0)
        self.assertEqual([65.0, None, 7.0, 1, 3.5, 2, 0], values())
        self.metrics.failed(ended=99.0, seconds=0.5)
        self.assertEqual([65.0, 99.0, 0.5, 0, 3.5, 2, 1], values())


class NamesTest(TestCase):
    def names(self) -> set[str]:
        """Return the names of all metrics; each of them must have help."""
        self.observe(REACHABLE, UNREACHABLE)
        names = set()
        for family in self.openmetrics():
            self.assertNotEqual('', family.documentation, family.name)
            info = '_info' if family.type == 'info' else ''
            names.add(f'{family.name}{info}')
        return names

    def test_the_names_are_the_contract(self) -> None:
        """Metrics have no other names."""
        self.assertEqual(GAUGES | COUNTERS, self.names())
        # The library would add the start of each counter.
        self.assertNotIn(b'_created', self.text())

    def test_a_single_sweep_has_gauges_alone(self) -> None:
        """Its counters would never grow."""
        self.metrics = metrics.Metrics(counters=False)
        self.assertEqual(GAUGES, self.names())
        self.metrics.failed(ended=1, seconds=1)
        self.assertEqual(0, self.value('last_sweep_success'))


class PageTest(TestCase):
    def test_a_sweep_is_rendered_once_in_the_format_that_is_accepted(
        self,
    ) -> None:
        """Prometheus gets OpenMetrics; others get the classic text.

        The versions that the scrapers name do not matter.
        """
        for kind, accepts in (
            (
                'text/plain; version=0.0.4; charset=utf-8',
                ('', '*/*', 'text/plain;version=0.0.4', 'text/plain', 'x'),
            ),
            (
                'application/openmetrics-text; version=1.0.0; charset=utf-8',
                (ACCEPT, *(f'{ACCEPT}.{n}; escaping=x' for n in range(3))),
            ),
        ):
            first, *others = (self.metrics.page(each) for each in accepts)
            self.assertEqual(kind, first.kind)
            for page in others:
                # The same object, not an equal one.
                self.assertIs(first.body, page.body)
            self.assertEqual(
                'openmetrics' in kind, first.body.endswith(b'# EOF\n')
            )


class LabelsTest(TestCase):
    def test_the_labels_of_the_monitor_are_on_every_sample(self) -> None:
        """Both formats have them, beside the labels of the metric itself.

        Help and type stay the same: node_exporter drops a metric whose help
        differs in two files.
        """
        comments = re.findall('^#.*', self.text().decode(), re.MULTILINE)
        self.metrics = metrics.Metrics(
            {'cloud': 'north', 'site': 'a "b" \\ ü'}
        )
        self.observe(REACHABLE, UNREACHABLE)
        self.metrics.failed(ended=9.0, seconds=0.5)
        self.observe(REACHABLE, UNREACHABLE)
        text = self.text().decode()
        self.assertEqual(comments, re.findall('^#.*', text, re.MULTILINE))
        families = [
            *prometheus_parser.text_string_to_metric_families(text),
            *self.openmetrics(),
        ]
        samples = [each for family in families for each in family.samples]
        self.assertGreater(len(samples), 2 * len(GAUGES))
        for sample in samples:
            self.assertEqual('north', sample.labels.pop('cloud'))
            self.assertEqual('a "b" \\ ü', sample.labels.pop('site'))
            self.assertLessEqual(
                sample.labels.keys(), cli_arguments.OWN_LABELS
            )


class TextfileTest(TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.file = self.folder / 'trove.prom'

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def test_a_reader_of_the_old_file_keeps_the_old_file(self) -> None:
        """The new file takes its place at once, and not piece by piece.

        node_exporter reads only the classic format, as another user.
        """
        self.addCleanup(os.umask, os.umask(0o077))
        self.metrics.write(self.file)
        old = self.file.read_bytes()
        with self.file.open('rb') as reader:
            self.observe(REACHABLE)
            self.metrics.write(self.file)
            self.assertEqual(old, reader.read())
        self.assertEqual(self.text(), self.file.read_bytes())
        self.assertEqual(0o644, stat.S_IMODE(self.file.stat().st_mode))
        self.assertEqual(['trove.prom'], self.left())

    def test_a_full_disk_leaves_the_old_file_and_no_half_one(self) -> None:
        """Here the disk is full after 100 bytes."""
        self.metrics.write(self.file)
        old = self.file.read_bytes()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            error = self.assertRaises(OSError, self.metrics.write, self.file)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        self.assertEqual(
            f'Cannot write {self.file}: File too large', str(error)
        )
        self.assertEqual(old, self.file.read_bytes())
        self.assertEqual(['trove.prom'], self.left())

    def test_only_a_file_is_replaced(self) -> None:
        """Root would make a file of /dev/stdout.

        The check before the first request says so, too, and creates nothing.
        """
        (self.folder / 'folder.prom').mkdir()
        os.mkfifo(self.folder / 'fifo.prom')
        self.file.write_text('old')
        (self.folder / 'link.prom').symlink_to(self.file)
        before = self.left()
        for name, why in (
            ('nosuch/x.prom', 'No such file or directory'),
            ('trove.prom/x.prom', 'Not a directory'),
            ('folder.prom', 'not a regular file'),
            ('fifo.prom', 'not a regular file'),
            ('link.prom', 'it is a link: give the path of the file itself'),
        ):
            path = self.folder / name
            for act in (metrics.write_textfile, self.metrics.write):
                error = self.assertRaises(OSError, act, path)
                self.assertEqual(f'Cannot write {path}: {why}', str(error))
        metrics.write_textfile(self.file)
        metrics.write_textfile(self.folder / 'new.prom')
        self.assertEqual('old', self.file.read_text())
        self.assertEqual(before, self.left())
