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

"""Every test states the behaviour that it shows."""

import ast
import pathlib

import testtools

import troveclient_rpcping

TESTS = pathlib.Path(troveclient_rpcping.__file__).parent / 'tests'


class DocstringTest(testtools.TestCase):
    def test_every_test_has_a_docstring(self) -> None:
        """The docstring tells the reader of a failure the right behaviour."""
        tests = [
            (path.name, node)
            for path in TESTS.rglob('test_*.py')
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef)
            and node.name.startswith('test_')
        ]
        self.assertGreater(len(tests), 100)
        bare = [
            f'{file}: {node.name}'
            for file, node in tests
            if not ast.get_docstring(node)
        ]
        self.assertEqual([], bare)
