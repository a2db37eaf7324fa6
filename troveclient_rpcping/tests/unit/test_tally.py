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

"""tools/tally.py counts the results of all suites for CI."""

import pathlib
import subprocess
import sys

import fixtures
import subunit
import testtools

import troveclient_rpcping

TALLY = (
    pathlib.Path(troveclient_rpcping.__file__).parent.parent
    / 'tools'
    / 'tally.py'
)


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

    def check(self, name: str, outcome: str) -> None:
        (self.folder / f'{name}.check').write_text(f'{outcome}\n')

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
        """Skipped tests and expected failures do not fail the run."""
        self.stream('success', 'success', 'skip', 'xfail')
        self.check('lint', 'pass')
        self.check('shell', 'skip')
        self.assert_tally(0, '4 passed, 0 failed, 2 skipped')

    def test_each_failed_test_is_named_before_the_count(self) -> None:
        """One failure in any suite fails the run."""
        self.stream('success', 'fail', 'uxsuccess')
        self.check('lint', 'pass')
        self.assert_tally(
            1, 'failed: t1', 'failed: t2', '2 passed, 2 failed, 0 skipped'
        )
        self.stream('success')
        self.check('lint', 'fail')
        self.assert_tally(1, 'failed: lint', '1 passed, 1 failed, 0 skipped')

    def test_a_test_that_never_ended_has_failed(self) -> None:
        """Its process may have been killed."""
        self.stream('success', 'inprogress')
        self.assert_tally(1, 'failed: t1', '1 passed, 1 failed, 0 skipped')

    def test_a_suite_that_did_not_run_has_failed(self) -> None:
        """The suite left no test, or a file without results."""
        self.stream()
        self.assert_tally(
            1, 'failed: unit.subunit', '0 passed, 1 failed, 0 skipped'
        )
        (self.folder / 'unit.subunit').write_text('No repository found\n')
        self.assert_tally(
            1, 'failed: unit.subunit', '0 passed, 1 failed, 0 skipped'
        )

    def test_a_run_without_tests_fails(self) -> None:
        """CI must not pass because no test ran."""
        self.assert_tally(1, '0 passed, 0 failed, 0 skipped')
