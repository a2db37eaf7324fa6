# SPDX-License-Identifier: Apache-2.0

"""Count the results of all suites.

``python3 tools/tally.py FOLDER`` names each failed test, and then prints one
line of numbers. FOLDER has a ``NAME.check`` for each suite that is one test
(``pass``, ``skip`` or ``fail``), and a ``NAME.subunit`` for each suite that is
a stream of results. The exit status is 0 if tests passed and none failed,
else 1.
"""

import collections
import pathlib
import sys

import subunit
import testtools

_PASSED = {'success', 'xfail'}


def _of_stream(path: pathlib.Path) -> dict[str, str]:
    """Read a stream. A test that began and never ended has failed."""
    outcomes: dict[str, str] = {}

    def take(test: dict[str, str]) -> None:
        status = test['status']
        if status in _PASSED:
            outcomes[test['id']] = 'passed'
        elif status == 'skip':
            outcomes[test['id']] = 'skipped'
        elif status != 'exists':
            outcomes[test['id']] = 'failed'

    with path.open('rb') as stream:
        result = testtools.StreamToDict(take)
        result.startTestRun()
        try:
            subunit.ByteStreamToStreamResult(stream).run(result)
        except Exception:
            # The suite did not run to its end, and left something else than a
            # stream of results. subunit raises no narrower exception.
            outcomes[path.name] = 'failed'
        result.stopTestRun()
    # A suite without tests did not run.
    return outcomes or {path.name: 'failed'}


def _of_check(path: pathlib.Path) -> dict[str, str]:
    outcomes = {'pass\n': 'passed', 'skip\n': 'skipped'}
    return {path.stem: outcomes.get(path.read_text(), 'failed')}


def main(folder: pathlib.Path) -> int:
    """Count what is in *folder*; print it; return the exit status."""
    suites = [_of_check(path) for path in sorted(folder.glob('*.check'))]
    suites += [_of_stream(path) for path in sorted(folder.glob('*.subunit'))]
    counts: collections.Counter[str] = collections.Counter()
    for outcomes in suites:
        counts.update(outcomes.values())
        for test, outcome in outcomes.items():
            if outcome == 'failed':
                print(f'failed: {test}')  # noqa: T201 -- a program may print
    print(  # noqa: T201
        f'{counts["passed"]} passed, {counts["failed"]} failed, '
        f'{counts["skipped"]} skipped'
    )
    return 1 if counts['failed'] or not counts['passed'] else 0


if __name__ == '__main__':
    sys.exit(main(pathlib.Path(sys.argv[1])))
