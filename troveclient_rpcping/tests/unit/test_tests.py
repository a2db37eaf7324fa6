# SPDX-License-Identifier: Apache-2.0

"""Every test says what it shows, runs once, and is on the page of faults."""

import ast
import functools
import pathlib
import re

import testtools
import yaml

from troveclient_rpcping import tests

TESTS = pathlib.Path(tests.__file__).parent
FAULTS = TESTS.parents[1] / 'doc/source/contributor/faults.rst'


@functools.cache
def read(folder: pathlib.Path) -> dict[str, ast.FunctionDef]:
    """Return every test of a folder by ``module.class.method``."""
    return {
        f'{path.stem}.{cls.name}.{test.name}': test
        for path in folder.rglob('test_*.py')
        for cls in ast.parse(path.read_text()).body
        if isinstance(cls, ast.ClassDef)
        for test in cls.body
        if isinstance(test, ast.FunctionDef) and test.name.startswith('test_')
    }


class TestsTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.all = read(TESTS)
        self.functional = read(TESTS / 'functional')
        self.assertGreater(len(self.functional), 100)

    def test_every_test_has_a_docstring(self) -> None:
        """The docstring tells the reader of a failure the right behaviour."""
        bare = [
            name for name in self.all if not ast.get_docstring(self.all[name])
        ]
        self.assertEqual([], bare)

    def test_each_functional_test_runs_in_one_process(self) -> None:
        """workers.yaml leaves out no test, and repeats none."""
        file = TESTS / 'functional' / 'workers.yaml'
        workers = yaml.safe_load(file.read_text())
        for test in self.functional:
            matches = [
                worker
                for worker in workers
                if re.search('|'.join(worker['worker']), f'functional.{test}')
            ]
            self.assertEqual(1, len(matches), test)

    def test_the_page_of_faults_names_the_tests_of_faults(self) -> None:
        """A reader can look up the test behind each row, and each test."""
        named = set(re.findall(r'``(test_[\w.]+)``', FAULTS.read_text()))
        modules = ('test_evidence.', 'test_faults.', 'test_gateways.')
        faults = {name for name in self.functional if name.startswith(modules)}
        self.assertGreater(len(faults), 20)
        self.assertEqual(set(), faults - named)
        self.assertEqual(set(), named - self.all.keys())
