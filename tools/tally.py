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

"""Count the results of all suites, and print them in one line.

``python3 tools/tally.py FOLDER``, where FOLDER has a ``NAME.check`` for each
suite that is one test (``pass``, ``skip`` or ``fail``), and a ``NAME.subunit``
for each that is a stream of results. Exit status: 0 if everything passed, else
1.
"""

import collections
import pathlib
import sys

import subunit
import testtools

_PASSED = {'success', 'xfail'}
_FAILED = {'fail', 'uxsuccess'}


def _of_stream(path: pathlib.Path) -> collections.Counter[str]:
    """Count a stream. A test that began and never ended has failed."""
    counts: collections.Counter[str] = collections.Counter()

    def count(test: dict[str, str]) -> None:
        status = test['status']
        if status in _PASSED:
            counts['passed'] += 1
        elif status == 'skip':
            counts['skipped'] += 1
        elif status != 'exists':
            counts['failed'] += 1

    with path.open('rb') as stream:
        result = testtools.StreamToDict(count)
        result.startTestRun()
        try:
            subunit.ByteStreamToStreamResult(stream).run(result)
        except Exception:
            # What is no stream of results (it raises nothing more special)
            # comes from a suite that did not run to its end.
            counts['failed'] += 1
        result.stopTestRun()
    # A suite without a test has not passed: something kept it from running.
    if not counts:
        counts['failed'] = 1
    return counts


def _of_check(path: pathlib.Path) -> collections.Counter[str]:
    outcomes = {'pass\n': 'passed', 'skip\n': 'skipped'}
    return collections.Counter([outcomes.get(path.read_text(), 'failed')])


def main(folder: pathlib.Path) -> int:
    """Count what is in *folder*; print it; return the exit status."""
    counts: collections.Counter[str] = collections.Counter()
    for path in folder.glob('*.check'):
        counts += _of_check(path)
    for path in folder.glob('*.subunit'):
        counts += _of_stream(path)
    print(  # noqa: T201 -- a program may print
        f'{counts["passed"]} passed, {counts["failed"]} failed, '
        f'{counts["skipped"]} skipped'
    )
    return 1 if counts['failed'] or not counts['passed'] else 0


if __name__ == '__main__':
    sys.exit(main(pathlib.Path(sys.argv[1])))
