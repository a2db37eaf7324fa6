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

"""What Prometheus reads: the metrics, and the file of node_exporter."""

from __future__ import annotations

from collections.abc import Sequence
import concurrent.futures
import os
import pathlib
import resource
import stat
import threading
import time
from typing import Any
import unittest

import fixtures
import hypothesis
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser
import testtools

from troveclient_rpcping import plaintext
from troveclient_rpcping.cli.arguments import OWN_LABELS
from troveclient_rpcping.inventory import Instance
from troveclient_rpcping.inventory import Server
from troveclient_rpcping.outcomes.outcome import Target
from troveclient_rpcping.prometheus.metrics import Metrics
from troveclient_rpcping.tests import base
from troveclient_rpcping.verdict import Judgement
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict

OPENMETRICS = 'application/openmetrics-text; version=1.0.0'
# What Prometheus 2.42 sends.
ACCEPT = (
    'application/openmetrics-text;version=1.0.0,application/openmetrics-text;'
    'version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'
)

# The contract: a name that is missing here breaks somebody's alert.
NAMES = {
    'trove_guest_rpc_up',
    'trove_guest_rpc_not_reachable',
    'trove_guest_rpc_info',
    'trove_guest_rpc_guests',
    'trove_guest_rpc_guests_by_reason',
    'trove_guest_rpc_round_trip_seconds',
    'trove_guest_rpc_sweeps',
    'trove_guest_rpc_throttled_seconds',
    'trove_guest_rpc_last_sweep_duration_seconds',
    'trove_guest_rpc_last_sweep_timestamp_seconds',
    'trove_guest_rpc_last_failed_sweep_timestamp_seconds',
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

REACHABLE = Judgement(Verdict.REACHABLE)
UNREACHABLE = Judgement(Verdict.UNREACHABLE, Reason.AGENT_TIMEOUT, 'Timeout')
ERROR = Judgement(Verdict.ERROR, Reason.AGENT_ERROR, 'disk is full')
UNKNOWN = Judgement(Verdict.UNKNOWN, Reason.COMPUTE_ERROR, 'nova is broken')


def target(instance_id: str, name: str | None = 'db') -> Target:
    row = Instance(
        id=instance_id,
        name=name,
        project_id=base.PROJECT,
        datastore='mysql 8.0',
        server=Server('s', 'compute-1', 'ACTIVE'),
    )
    return Target(instance_id, name, row)


def ping(
    instance_id: str, judgement: Judgement = REACHABLE, rtt: float = 0.031
) -> PingResult:
    return PingResult(instance_id=instance_id, judgement=judgement, rtt=rtt)


def observe(
    metrics: Metrics,
    judgements: Sequence[Judgement],
    *,
    ended: float = 1_700_000_000.0,
    seconds: float = 6.4,
    throttled: float = 0.0,
) -> None:
    """Let metrics see a sweep over guests ``0``, ``1`` and so on."""
    ids = [str(number) for number in range(len(judgements))]
    sweep(
        metrics,
        [target(id_) for id_ in ids],
        [ping(*each) for each in zip(ids, judgements, strict=True)],
        ended=ended,
        seconds=seconds,
        throttled=throttled,
    )


def sweep(
    metrics: Metrics,
    targets: Sequence[Target],
    results: Sequence[PingResult],
    **sweep: float,
) -> None:
    """Let metrics see a sweep over targets."""
    metrics.observe(base.findings(targets, results), **sweep)


def parsed(text: bytes) -> dict[str, dict[frozenset[Any], float]]:
    """Return the values of each sample by its labels; refuse what is odd."""
    samples: dict[str, dict[frozenset[Any], float]] = {}
    for family in parser.text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            values = samples.setdefault(sample.name, {})
            labels = frozenset(sample.labels.items())
            assert labels not in values, f'twice: {sample}'
            values[labels] = sample.value
    return samples


class TestCase(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.metrics = Metrics()

    def value(self, name: str, /, **labels: str) -> float | None:
        """Return what the classic text says; None for nothing."""
        text, _ = self.metrics.render('')
        values = parsed(text).get(f'trove_guest_rpc_{name}', {})
        return values.get(frozenset(labels.items()))

    def openmetrics(self) -> list[Metric]:
        """Return what the text in OpenMetrics says."""
        text, _ = self.metrics.render(OPENMETRICS)
        return list(
            openmetrics_parser.text_string_to_metric_families(  # type: ignore[no-untyped-call]
                text.decode()
            )
        )

    def labels(self, name: str) -> list[dict[str, str]]:
        """Return the labels of every sample of a name."""
        text, _ = self.metrics.render('')
        values = parsed(text).get(f'trove_guest_rpc_{name}', {})
        return [dict(labels) for labels in values]


class GuestsTest(TestCase):
    def test_only_a_guest_that_answered_is_up(self) -> None:
        """Whoever did not, or failed the ping, is down."""
        observe(self.metrics, [REACHABLE, UNREACHABLE, ERROR])
        self.assertEqual(1, self.value('up', instance_id='0'))
        self.assertEqual(0, self.value('up', instance_id='1'))
        self.assertEqual(0, self.value('up', instance_id='2'))

    def test_an_unknown_guest_is_neither_up_nor_down(self) -> None:
        """It is absent, and still can be told by its info."""
        observe(self.metrics, [REACHABLE, UNKNOWN])
        self.assertEqual([{'instance_id': '0'}], self.labels('up'))
        self.assertEqual(
            {'0', '1'},
            {labels['instance_id'] for labels in self.labels('info')},
        )

    def test_a_guest_that_becomes_unknown_is_no_longer_down(self) -> None:
        """A sweep replaces what the last one knew."""
        observe(self.metrics, [UNREACHABLE, REACHABLE])
        observe(self.metrics, [UNKNOWN])
        self.assertEqual([], self.labels('up'))
        self.assertEqual(1, len(self.labels('info')))

    def test_the_info_says_what_a_guest_is(self) -> None:
        """Its value is 1, to be multiplied with."""
        observe(self.metrics, [UNREACHABLE])
        self.assertEqual(
            1,
            self.value(
                'info',
                instance_id='0',
                name='db',
                project_id=base.PROJECT,
                datastore='mysql 8.0',
                host='compute-1',
                server_id='s',
                server_status='ACTIVE',
            ),
        )

    def test_a_guest_that_is_not_reachable_has_its_reason(self) -> None:
        """By verdict and reason, which are closed sets."""
        observe(self.metrics, [REACHABLE, UNREACHABLE, UNKNOWN])
        self.assertEqual(
            [
                {
                    'instance_id': str(number),
                    'verdict': str(judgement.verdict),
                    'reason': str(judgement.reason),
                }
                for number, judgement in ((1, UNREACHABLE), (2, UNKNOWN))
            ],
            self.labels('not_reachable'),
        )

    def test_namesakes_have_a_series_each(self) -> None:
        """The instance ID keeps them apart."""
        observe(self.metrics, [REACHABLE, UNREACHABLE])
        self.assertEqual(
            [('0', 'db'), ('1', 'db')],
            [
                (each['instance_id'], each['name'])
                for each in self.labels('info')
            ],
        )

    def test_what_is_not_known_of_a_guest_is_empty(self) -> None:
        """There is no listing when IDs are asked for."""
        sweep(
            self.metrics,
            [Target('a')],
            [ping('a')],
            ended=1,
            seconds=1,
            throttled=0,
        )
        self.assertEqual(
            [
                {
                    'instance_id': 'a',
                    'name': '',
                    'project_id': '',
                    'datastore': '',
                    'host': '',
                    'server_id': '',
                    'server_status': '',
                }
            ],
            self.labels('info'),
        )

    def test_a_name_without_an_instance_is_only_counted(self) -> None:
        """There is no ID that could tell it."""
        nobody = Judgement(Verdict.UNKNOWN, Reason.NOT_FOUND, 'no such name')
        sweep(
            self.metrics,
            [Target(None, 'nosuch'), target('a')],
            [ping('', nobody), ping('a')],
            ended=1,
            seconds=1,
            throttled=0,
        )
        self.assertEqual(1, len(self.labels('info')))
        self.assertEqual(1, self.value('guests', verdict='unknown'))
        self.assertEqual(1, self.value('guests_by_reason', reason='not-found'))

    def test_a_guest_that_comes_twice_has_one_series(self) -> None:
        """Prometheus would drop the whole scrape for two."""
        sweep(
            self.metrics,
            [target('a'), target('a', 'again')],
            [ping('a'), ping('a', UNREACHABLE)],
            ended=1,
            seconds=1,
            throttled=0,
        )
        self.assertEqual([{'instance_id': 'a'}], self.labels('up'))
        self.assertEqual(1, len(self.labels('info')))

    def test_hostile_names_are_one_clean_bounded_line(self) -> None:
        """In either format, and they forge no series."""
        for name in HOSTILE:
            sweep(
                self.metrics,
                [target('a', name)],
                [ping('a')],
                ended=1,
                seconds=1,
                throttled=0,
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

    def test_no_text_of_a_server_becomes_a_label(self) -> None:
        """Only the closed sets do."""
        words = Judgement(Verdict.ERROR, Reason.AGENT_ERROR, 'disk is full')
        observe(self.metrics, [words])
        text, _ = self.metrics.render('')
        self.assertNotIn(b'disk', text)


class FleetTest(TestCase):
    def test_every_verdict_is_always_there(self) -> None:
        """A query for one that nobody has gives 0, not nothing."""
        for sweep in ([], [UNREACHABLE, UNREACHABLE, REACHABLE]):
            observe(self.metrics, sweep)
            self.assertEqual(
                [verdict.value for verdict in Verdict],
                [labels['verdict'] for labels in self.labels('guests')],
            )
        self.assertEqual(2, self.value('guests', verdict='unreachable'))
        self.assertEqual(1, self.value('guests', verdict='reachable'))
        self.assertEqual(0, self.value('guests', verdict='unknown'))

    def test_every_reason_is_always_there(self) -> None:
        """Those that nobody has are 0."""
        observe(self.metrics, [UNREACHABLE, UNKNOWN, REACHABLE])
        self.assertEqual(
            [reason.value for reason in Reason],
            [labels['reason'] for labels in self.labels('guests_by_reason')],
        )
        self.assertEqual(
            1, self.value('guests_by_reason', reason='compute-error')
        )
        self.assertEqual(0, self.value('guests_by_reason', reason='denied'))

    def test_round_trips_add_up_over_all_sweeps(self) -> None:
        """Those of guests that were reached, and no others."""
        for _ in range(2):
            sweep(
                self.metrics,
                [target('a'), target('b'), target('c')],
                [
                    ping('a', rtt=0.031),
                    ping('b', UNREACHABLE, rtt=15.0),
                    ping('c', rtt=0.004),
                ],
                ended=1,
                seconds=1,
                throttled=0,
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

    def test_a_round_trip_on_a_bound_does_not_exceed_it(self) -> None:
        """Prometheus counts what is less or equal."""
        sweep(
            self.metrics,
            [target('a')],
            [ping('a', rtt=0.05)],
            ended=1,
            seconds=1,
            throttled=0,
        )
        self.assertEqual(0, self.value('round_trip_seconds_bucket', le='0.03'))
        self.assertEqual(1, self.value('round_trip_seconds_bucket', le='0.05'))

    def test_the_last_sweep_is_dated_and_timed(self) -> None:
        """And sweeps and throttling add up."""
        observe(self.metrics, [], ended=1_700_000_000.0, throttled=1.5)
        observe(
            self.metrics, [], ended=1_700_000_060.0, seconds=7.0, throttled=2.0
        )
        self.assertEqual(
            1_700_000_060.0, self.value('last_sweep_timestamp_seconds')
        )
        self.assertEqual(7.0, self.value('last_sweep_duration_seconds'))
        self.assertEqual(2, self.value('sweeps_total', outcome='done'))
        self.assertEqual(0, self.value('sweeps_total', outcome='failed'))
        self.assertEqual(3.5, self.value('throttled_seconds_total'))

    def test_after_a_failed_sweep_no_guest_is_known(self) -> None:
        """What the last good one said would be taken for the present."""
        observe(self.metrics, [REACHABLE, UNREACHABLE], ended=5.0)
        self.metrics.failed(ended=9.0, seconds=0.5)
        self.assertEqual([], self.labels('up'))
        self.assertEqual([], self.labels('info'))
        self.assertEqual(0, self.value('guests', verdict='reachable'))
        self.assertEqual(0, self.value('guests', verdict='unreachable'))

    def test_after_a_failed_sweep_all_guests_are_unknown(self) -> None:
        """All of them 0 would look like a cloud without guests."""
        observe(self.metrics, [REACHABLE, UNREACHABLE, UNKNOWN])
        for _ in range(2):
            self.metrics.failed(ended=9.0, seconds=0.5)
            self.assertEqual(3, self.value('guests', verdict='unknown'))
            self.assertEqual(
                3, self.value('guests_by_reason', reason='not-asked')
            )
            self.assertEqual(
                0, self.value('guests_by_reason', reason='compute-error')
            )

    def test_an_empty_cloud_stays_empty_when_a_sweep_fails(self) -> None:
        """There was no guest of which something could be unknown."""
        observe(self.metrics, [])
        self.metrics.failed(ended=9.0, seconds=0.5)
        self.assertEqual(0, self.value('guests', verdict='unknown'))

    def test_before_the_first_good_sweep_no_guest_is_counted(self) -> None:
        """There may be any number of them."""
        self.assertEqual([], self.labels('guests'))
        self.metrics.failed(ended=9.0, seconds=0.5)
        self.assertEqual([], self.labels('guests'))
        self.assertEqual([], self.labels('guests_by_reason'))

    def test_a_failed_sweep_is_counted_and_leaves_the_last_good_one(
        self,
    ) -> None:
        """Its time stays; the failed one has a time of its own."""
        observe(self.metrics, [REACHABLE], ended=5.0)
        self.metrics.failed(ended=9.0, seconds=0.5)
        self.assertEqual(5.0, self.value('last_sweep_timestamp_seconds'))
        self.assertEqual(
            9.0, self.value('last_failed_sweep_timestamp_seconds')
        )
        self.assertEqual(0.5, self.value('last_sweep_duration_seconds'))
        self.assertEqual(1, self.value('sweeps_total', outcome='failed'))
        self.assertEqual(1, self.value('sweeps_total', outcome='done'))
        self.assertEqual(1, self.value('round_trip_seconds_count'))

    def test_before_the_first_sweep_there_is_no_time_of_one(self) -> None:
        """0 would be a sweep in 1970."""
        self.assertIsNone(self.value('last_sweep_timestamp_seconds'))
        self.assertIsNone(self.value('last_sweep_duration_seconds'))
        self.assertEqual(0, self.value('sweeps_total', outcome='done'))


class RenderTest(TestCase):
    def test_the_names_are_the_contract(self) -> None:
        """All of them have help, and nothing else is told."""
        observe(self.metrics, [REACHABLE, UNREACHABLE])
        families = self.openmetrics()
        names = {
            family.name + ('_info' if family.type == 'info' else '')
            for family in families
        }
        self.assertEqual(NAMES, names)
        for family in families:
            self.assertNotEqual('', family.documentation, family.name)
            for sample in family.samples:
                self.assertFalse(sample.name.endswith('_created'))

    def test_the_format_is_the_one_that_is_accepted(self) -> None:
        """OpenMetrics for Prometheus, the classic text for others."""
        observe(self.metrics, [REACHABLE])
        text, content_type = self.metrics.render(ACCEPT)
        self.assertEqual(
            'application/openmetrics-text; version=1.0.0; charset=utf-8',
            content_type,
        )
        self.assertTrue(text.endswith(b'# EOF\n'))
        for accept in ('', '*/*', 'text/plain;version=0.0.4'):
            text, content_type = self.metrics.render(accept)
            self.assertEqual(
                'text/plain; version=0.0.4; charset=utf-8', content_type
            )
            self.assertIn('trove_guest_rpc_up', parsed(text))

    def test_a_sweep_is_rendered_once_in_each_format(self) -> None:
        """However many ask at once, and whatever versions they name."""
        observe(self.metrics, [REACHABLE] * 1000)
        for accepts in (
            ['', 'text/plain', 'text/plain; version=1.0.0; q=1', '*/*', 'x'],
            [ACCEPT, *(f'{OPENMETRICS}.{n}; escaping=x' for n in range(7))],
        ):
            together = threading.Barrier(len(accepts))

            def render(
                accept: str, together: threading.Barrier = together
            ) -> bytes:
                together.wait()
                return self.metrics.render(accept)[0]

            with concurrent.futures.ThreadPoolExecutor(len(accepts)) as pool:
                first, *others = pool.map(render, accepts)
            for text in others:
                # The same object, not an equal one.
                self.assertIs(first, text)

    def test_a_new_sweep_is_rendered_anew(self) -> None:
        """The text of the last one is not kept."""
        observe(self.metrics, [REACHABLE])
        before, _ = self.metrics.render('')
        observe(self.metrics, [UNREACHABLE])
        after, _ = self.metrics.render('')
        self.assertNotEqual(parsed(before), parsed(after))
        self.metrics.failed(ended=1, seconds=1)
        self.assertEqual([], self.labels('up'))

    def test_ten_thousand_guests_are_rendered_before_the_scrape(self) -> None:
        """In a format in use, a scrape costs next to nothing.

        Measured as processor time of this thread: a busy machine makes that
        no longer.
        """
        guests = [REACHABLE] * 10_000
        observe(self.metrics, guests)
        begun = time.thread_time()
        text, _ = self.metrics.render('')
        rendering = time.thread_time() - begun
        self.assertEqual(10_000, text.count(b'\ntrove_guest_rpc_up{'))
        self.assertEqual(10_000, text.count(b'\ntrove_guest_rpc_info{'))
        observe(self.metrics, guests, ended=2.0)
        begun = time.thread_time()
        again, _ = self.metrics.render('')
        self.assertLess(time.thread_time() - begun, rendering / 10)
        self.assertNotEqual(text, again)


class LabelsTest(TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.metrics = Metrics({'cloud': 'north', 'site': 'a "b" \\ ü'})
        observe(self.metrics, [REACHABLE, UNREACHABLE])
        self.metrics.failed(ended=9.0, seconds=0.5)
        observe(self.metrics, [REACHABLE, UNREACHABLE])

    def test_the_labels_of_the_monitor_are_on_every_sample(self) -> None:
        """In both formats, beside the labels of the metric itself."""
        text, _ = self.metrics.render('')
        families = [
            *parser.text_string_to_metric_families(text.decode()),
            *self.openmetrics(),
        ]
        samples = [each for family in families for each in family.samples]
        self.assertGreater(len(samples), 2 * len(NAMES))
        for sample in samples:
            self.assertEqual('north', sample.labels.pop('cloud'))
            self.assertEqual('a "b" \\ ü', sample.labels.pop('site'))
            self.assertLessEqual(sample.labels.keys(), OWN_LABELS)

    def test_help_and_type_are_the_same_whatever_the_labels(self) -> None:
        """node_exporter drops a metric whose help differs in two files."""

        def comments(metrics: Metrics) -> list[bytes]:
            text, _ = metrics.render('')
            return [
                line for line in text.splitlines() if line.startswith(b'#')
            ]

        self.assertEqual(comments(Metrics()), comments(self.metrics))

    def test_the_counters_of_a_cloud_go_on_from_its_own_file(self) -> None:
        """Those of another cloud are not taken for them."""
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.metrics.write(folder / 'trove.prom')
        for labels, sweeps in (
            ({'cloud': 'north', 'site': 'a "b" \\ ü'}, 2),
            ({'cloud': 'south', 'site': 'a "b" \\ ü'}, 0),
            ({'cloud': 'north'}, 0),
            ({}, 0),
        ):
            self.metrics = Metrics(labels)
            self.metrics.resume(folder / 'trove.prom')
            self.assertEqual(
                sweeps, self.value('sweeps_total', outcome='done', **labels)
            )


class TextfileTest(TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.file = self.folder / 'trove.prom'

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def test_the_file_holds_the_classic_text(self) -> None:
        """node_exporter reads no other."""
        observe(self.metrics, [REACHABLE, UNREACHABLE])
        self.metrics.write(self.file)
        self.assertEqual(self.metrics.render('')[0], self.file.read_bytes())
        self.assertEqual(['trove.prom'], self.left())

    def test_a_reader_of_the_old_file_keeps_the_old_file(self) -> None:
        """The new one takes its place at once, and not piece by piece."""
        self.metrics.write(self.file)
        old = self.file.read_bytes()
        with self.file.open('rb') as reader:
            observe(self.metrics, [REACHABLE])
            self.metrics.write(self.file)
            self.assertEqual(old, reader.read())
        self.assertNotEqual(old, self.file.read_bytes())

    def test_node_exporter_may_read_it_whatever_the_umask(self) -> None:
        """It runs as another user."""
        self.addCleanup(os.umask, os.umask(0o077))
        self.metrics.write(self.file)
        self.assertEqual(0o644, stat.S_IMODE(self.file.stat().st_mode))

    def test_a_missing_folder_is_said_in_a_line(self) -> None:
        """With the path that was given."""
        path = self.folder / 'nosuch' / 'trove.prom'
        error = self.assertRaises(OSError, self.metrics.write, path)
        self.assertEqual(
            f'Cannot write {path}: No such file or directory', str(error)
        )

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

    def test_what_is_no_file_is_not_replaced(self) -> None:
        """Such as /dev/stdout, of which root would make a file."""
        os.mkfifo(self.file)
        error = self.assertRaises(OSError, self.metrics.write, self.file)
        self.assertEqual(
            f'Cannot write {self.file}: not a regular file', str(error)
        )
        self.assertTrue(self.file.is_fifo())

    def test_a_link_stays_a_link(self) -> None:
        """What it leads to is replaced, over links to folders as well."""
        (self.folder / 'a').mkdir()
        (self.folder / 'b').symlink_to('a/../a')
        (self.folder / 'link.prom').symlink_to(self.folder / 'b' / 'x.prom')
        self.metrics.write(self.folder / 'link.prom')
        self.assertTrue((self.folder / 'link.prom').is_symlink())
        self.assertTrue((self.folder / 'b').is_symlink())
        self.assertEqual(
            self.metrics.render('')[0],
            (self.folder / 'a' / 'x.prom').read_bytes(),
        )

    def test_links_in_a_circle_are_said_in_a_line(self) -> None:
        """As the system says it."""
        self.file.symlink_to(self.file)
        for act in (self.metrics.check, self.metrics.write):
            error = self.assertRaises(OSError, act, self.file)
            self.assertIn('Too many levels of symbolic links', str(error))

    def test_what_cannot_be_written_is_known_before_there_is_a_text(
        self,
    ) -> None:
        """And what can be written is left as it is."""
        (self.folder / 'folder.prom').mkdir()
        os.mkfifo(self.folder / 'fifo.prom')
        self.file.write_text('old')
        (self.folder / 'device.prom').symlink_to('/dev/null')
        for name, why in (
            ('nosuch/x.prom', f'there is no folder {self.folder}/nosuch'),
            ('trove.prom/x.prom', 'Not a directory'),
            ('folder.prom', 'not a regular file'),
            ('fifo.prom', 'not a regular file'),
            ('device.prom', 'not a regular file'),
            ('x' * 250 + '.prom', 'File name too long'),
        ):
            path = self.folder / name
            for act in (self.metrics.check, self.metrics.write):
                error = self.assertRaises(OSError, act, path)
                if 'no folder' not in why or act == self.metrics.check:
                    self.assertIn(f': {why}', str(error))
                self.assertTrue(str(error).isprintable())
        self.metrics.check(self.file)
        self.metrics.check(self.folder / 'new.prom')
        self.assertEqual('old', self.file.read_text())
        self.assertNotIn('new.prom', self.left())


@unittest.skipIf(os.geteuid(), 'only root can act for two users')
class ForeignFileTest(TestCase):
    """A folder like /tmp, in which another user was before."""

    OTHER_USER = 12345

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.tmp = self.folder / 'tmp'
        self.tmp.mkdir()
        self.tmp.chmod(0o1777)
        self.mine = self.folder / 'mine'
        self.mine.write_text('mine')

    def plant(self, name: str, target: pathlib.Path) -> pathlib.Path:
        link = self.tmp / name
        link.symlink_to(target)
        os.lchown(link, self.OTHER_USER, -1)
        return link

    def assert_refused(self, path: pathlib.Path, why: str) -> None:
        for act in (self.metrics.check, self.metrics.write):
            error = self.assertRaises(OSError, act, path)
            self.assertEqual(f'Cannot write {path}: {why}', str(error))

    def test_a_link_that_another_user_planted_is_not_followed(self) -> None:
        """The file to which it leads stays what it is."""
        link = self.plant('trove.prom', self.mine)
        self.assert_refused(link, f'{link} is a link that another user made')
        self.assertEqual('mine', self.mine.read_text())
        self.assertTrue(link.is_symlink())

    def test_nor_is_one_in_the_place_of_a_folder(self) -> None:
        """It would put a file into a folder of this user."""
        link = self.plant('folder', self.folder)
        self.assert_refused(
            link / 'trove.prom', f'{link} is a link that another user made'
        )
        self.assertFalse((self.folder / 'trove.prom').exists())

    def test_nor_is_one_behind_a_link_of_this_user(self) -> None:
        """Each link on the way counts."""
        foreign = self.plant('foreign.prom', self.mine)
        own = self.folder / 'own.prom'
        own.symlink_to(foreign)
        self.assert_refused(own, f'{foreign} is a link that another user made')
        self.assertEqual('mine', self.mine.read_text())

    def test_a_file_that_another_user_planted_is_not_carried_on(
        self,
    ) -> None:
        """Its counters are whatever that user likes."""
        file = self.tmp / 'trove.prom'
        observe(self.metrics, [REACHABLE])
        self.metrics.write(file)
        os.chown(file, self.OTHER_USER, -1)
        self.assert_refused(
            file, 'it belongs to another user, in a folder for everybody'
        )
        self.metrics = Metrics()
        self.metrics.resume(file)
        self.assertEqual(0, self.value('sweeps_total', outcome='done'))


class ResumeTest(TestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.file = folder / 'trove.prom'
        observe(self.metrics, [REACHABLE, UNREACHABLE], ended=5, throttled=1.5)
        self.metrics.failed(ended=9, seconds=0.5)
        observe(self.metrics, [REACHABLE, UNREACHABLE], ended=11, throttled=2)
        self.metrics.write(self.file)

    def test_what_adds_up_goes_on_from_the_file(self) -> None:
        """Each run of cron is a process of its own."""
        self.metrics = Metrics()
        self.metrics.resume(self.file)
        observe(self.metrics, [REACHABLE], ended=17, throttled=1)
        self.assertEqual(3, self.value('sweeps_total', outcome='done'))
        self.assertEqual(1, self.value('sweeps_total', outcome='failed'))
        self.assertEqual(4.5, self.value('throttled_seconds_total'))
        self.assertEqual(3, self.value('round_trip_seconds_count'))
        self.assertEqual(0, self.value('round_trip_seconds_bucket', le='0.03'))
        self.assertEqual(3, self.value('round_trip_seconds_bucket', le='0.05'))
        self.assertAlmostEqual(
            3 * 0.031, self.value('round_trip_seconds_sum') or 0
        )
        self.assertEqual(9, self.value('last_failed_sweep_timestamp_seconds'))

    def test_a_run_that_fails_keeps_the_time_of_the_last_good_one(
        self,
    ) -> None:
        """Or no alert would tell for how long there has been none."""
        self.metrics = Metrics()
        self.metrics.resume(self.file)
        self.metrics.failed(ended=20, seconds=1)
        self.assertEqual(11, self.value('last_sweep_timestamp_seconds'))
        self.assertEqual(2, self.value('sweeps_total', outcome='failed'))

    def test_what_an_earlier_process_knew_of_guests_is_left_behind(
        self,
    ) -> None:
        """It is not what this one found."""
        self.metrics = Metrics()
        self.metrics.resume(self.file)
        self.assertEqual([], self.labels('up'))
        self.assertEqual([], self.labels('info'))
        self.assertEqual(0, self.value('guests', verdict='reachable'))

    def test_a_run_that_fails_knows_how_many_guests_there_were(self) -> None:
        """From the file of an earlier run, however many runs failed since."""
        for ended in (20, 21):
            self.metrics = Metrics()
            self.metrics.resume(self.file)
            self.assertEqual(2, self.value('guests', verdict='unknown'))
            self.metrics.failed(ended=ended, seconds=1)
            self.assertEqual(2, self.value('guests', verdict='unknown'))
            self.metrics.write(self.file)

    def test_without_a_file_everything_begins_at_zero(self) -> None:
        """The first run has none."""
        fresh = self.metrics = Metrics()
        before, _ = fresh.render('')
        fresh.resume(self.file.with_name('nosuch'))
        fresh.resume(self.file.parent)
        self.assertEqual(before, fresh.render('')[0])

    def test_a_histogram_with_other_bounds_is_not_carried_on(self) -> None:
        """A later version may have others; the rest goes on."""
        text = self.file.read_text().replace('le="0.05"', 'le="0.04"')
        self.file.write_text(text)
        self.metrics = Metrics()
        self.metrics.resume(self.file)
        self.assertEqual(0, self.value('round_trip_seconds_count'))
        self.assertEqual(0, self.value('round_trip_seconds_sum'))
        self.assertEqual(2, self.value('sweeps_total', outcome='done'))

    def test_numbers_that_count_nothing_are_not_carried_on(self) -> None:
        """No counter is negative, or no number at all."""
        names = (
            *('sweeps_total{outcome="done"}', 'throttled_seconds_total'),
            *('last_sweep_timestamp_seconds', 'guests{verdict="unknown"}'),
        )
        for number in ('-1', 'NaN', '+Inf'):
            lines = [f'trove_guest_rpc_{name} {number}\n' for name in names]
            self.file.write_text(''.join(lines))
            self.metrics = Metrics()
            self.metrics.resume(self.file)
            self.assertEqual(0, self.value('sweeps_total', outcome='done'))
            self.assertEqual(0, self.value('throttled_seconds_total'))
            self.assertIsNone(self.value('last_sweep_timestamp_seconds'))
            self.assertEqual([], self.labels('guests'))

    def test_what_is_no_file_is_not_waited_for(self) -> None:
        """Nobody may ever write into a pipe."""
        self.file.unlink()
        os.mkfifo(self.file)
        metrics = Metrics()
        thread = threading.Thread(
            target=metrics.resume, args=(self.file,), daemon=True
        )
        thread.start()
        thread.join(60)
        self.assertFalse(thread.is_alive())

    @hypothesis.settings(deadline=None)
    @hypothesis.given(
        st.text(st.characters(codec='utf-8')),
        st.text(st.sampled_from('{}="\\, \t#1-eNaInf+\x00é')),
    )
    def test_no_file_however_broken_keeps_a_monitor_from_starting(
        self, junk: str, tail: str
    ) -> None:
        """Nor does it break what is told from then on."""
        self.file.write_text(
            f'trove_guest_rpc_sweeps_total{tail}\n'
            f'trove_guest_rpc_throttled_seconds_total {tail}\n{junk}\n'
            f'trove_guest_rpc_guests{{verdict="unknown"}} {tail}\n'
            f'trove_guest_rpc_sweeps_total{{outcome="done"}} {tail}\n'
        )
        metrics = Metrics()
        metrics.resume(self.file)
        parsed(metrics.render('')[0])
