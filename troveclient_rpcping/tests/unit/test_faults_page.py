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

"""The page of faults names existing tests, and all tests of faults."""

import ast
import pathlib
import re

import testtools

import troveclient_rpcping

TESTS = pathlib.Path(troveclient_rpcping.__file__).parent / 'tests'
PAGE = TESTS.parents[1] / 'doc/source/contributor/faults.rst'


def tests(folder: pathlib.Path = TESTS) -> set[str]:
    """Return every test of a folder, as ``module.class.method``."""
    return {
        f'{path.stem}.{cls.name}.{test.name}'
        for path in folder.rglob('test_*.py')
        for cls in ast.parse(path.read_text()).body
        if isinstance(cls, ast.ClassDef)
        for test in cls.body
        if isinstance(test, ast.FunctionDef) and test.name.startswith('test_')
    }


class FaultsPageTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.named = set(re.findall(r'``(test_[\w.]+)``', PAGE.read_text()))

    def test_every_test_that_it_names_exists(self) -> None:
        """A reader can look up the test behind each row."""
        self.assertGreater(len(self.named), 30)
        self.assertEqual(set(), self.named - tests())

    def test_every_test_of_a_fault_is_named(self) -> None:
        """The page leaves out no test."""
        modules = ('test_evidence.', 'test_faults.', 'test_gateways.')
        found = tests(TESTS / 'functional')
        faults = {name for name in found if name.startswith(modules)}
        self.assertGreater(len(faults), 20)
        self.assertEqual(set(), faults - self.named)
