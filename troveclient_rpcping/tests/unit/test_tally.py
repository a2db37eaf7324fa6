# SPDX-License-Identifier: Apache-2.0

"""tools/tally.py counts the results of all suites for CI."""

import pathlib
import subprocess
import sys

import fixtures
import subunit
import testtools

TALLY = pathlib.Path(__file__).parents[3] / 'tools' / 'tally.py'


class TallyTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def stream(self, *statuses: str) -> None:
        with (self.folder / 'unit.subunit').open('wb') as file:
            output = subunit.StreamResultToBytes(file)
            for number, status in enumerate(statuses):
                output.status(test_id=f't{number}', test_status='inprogress')
                output.status(test_id=f't{number}', test_status=status)

    def assert_tally(self, status: int, *lines: str) -> None:
        process = subprocess.run(
            [sys.executable, str(TALLY), str(self.folder)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.assertEqual(
            ([*lines], status),
            (process.stdout.splitlines(), process.returncode),
        )

    def test_the_last_line_counts_the_results_of_all_suites(self) -> None:
        """Each failed test is named before it, and fails the run."""
        for statuses, checks, status, lines in (
            (
                ('success', 'success', 'skip', 'xfail'),
                {'lint': 'pass', 'shell': 'skip'},
                *(0, ['4 passed, 0 failed, 2 skipped']),
            ),
            (
                ('success', 'fail', 'uxsuccess'),
                {'lint': 'pass', 'shell': 'fail'},
                1,
                [
                    *('failed: shell', 'failed: t1', 'failed: t2'),
                    '2 passed, 3 failed, 0 skipped',
                ],
            ),
            # The process of a test that never ended may have been killed.
            (
                ('success', 'inprogress'),
                *({'lint': 'pass', 'shell': 'pass'}, 1),
                ['failed: t1', '3 passed, 1 failed, 0 skipped'],
            ),
            # A suite without a test did not run.
            (
                (),
                *({'lint': 'pass', 'shell': 'pass'}, 1),
                ['failed: unit.subunit', '2 passed, 1 failed, 0 skipped'],
            ),
        ):
            self.stream(*statuses)
            for name, outcome in checks.items():
                (self.folder / f'{name}.check').write_text(f'{outcome}\n')
            self.assert_tally(status, *lines)

    def test_a_run_without_results_fails(self) -> None:
        """CI must not pass because no test ran."""
        self.assert_tally(1, '0 passed, 0 failed, 0 skipped')
        (self.folder / 'unit.subunit').write_text('No repository found\n')
        self.assert_tally(
            1, 'failed: unit.subunit', '0 passed, 1 failed, 0 skipped'
        )
