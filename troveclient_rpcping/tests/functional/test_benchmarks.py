# SPDX-License-Identifier: Apache-2.0

"""The benchmarks run with real servers, and write their figures."""

import csv
import json
import os
import pathlib
import subprocess
import sys
import unittest

import fixtures
import testtools

from benchmarks import race
from sandbox import rabbitmq
import troveclient_rpcping

_ROOT = pathlib.Path(troveclient_rpcping.__file__).parent.parent


class BenchmarksTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path

    def quick(self, *arguments: str) -> pathlib.Path:
        """Run a quick benchmark; return the folder with its figures."""
        run = subprocess.run(
            [sys.executable, '-m', 'benchmarks', '--quick', *arguments],
            env={**os.environ, 'PYTHONPATH': str(_ROOT)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.assertEqual(0, run.returncode, run.stderr)
        return pathlib.Path(self.folder, 'build', 'benchmarks')

    @unittest.skipUnless(race.installed(), 'nginx is not installed')
    def test_all_ways_to_ping_are_measured(self) -> None:
        """The table compares five ways with curl."""
        table = (self.quick() / 'sweep.csv').read_text()
        rows = list(csv.DictReader(table.splitlines()))
        self.assertEqual(5, len(rows))
        ratios = {row['Way']: row['Time / curl'] for row in rows}
        self.assertEqual('1.00 (1.00 to 1.00)', ratios['curl -Z'])

    @unittest.skipUnless(rabbitmq.installed(), 'RabbitMQ is not installed')
    def test_a_sweep_is_measured_beside_another_caller(self) -> None:
        """All verdicts are right; the requests of both callers are counted."""
        figures = self.quick('neighbours') / 'neighbours.json'
        (found,) = json.loads(figures.read_text()).values()
        self.assertEqual([], found['wrong'])
        # The cell has 8 guests beside the default fleet.
        self.assertGreater(found['gets'], 8)
        self.assertGreater(found['beside']['gets'], 0)
