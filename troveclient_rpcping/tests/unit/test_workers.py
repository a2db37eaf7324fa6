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

"""The file that distributes the functional tests to processes."""

import pathlib
import re

import testtools
import yaml

from troveclient_rpcping.tests import functional
from troveclient_rpcping.tests.unit import test_faults_page

FOLDER = pathlib.Path(functional.__file__).parent


class WorkersTest(testtools.TestCase):
    def test_each_functional_test_runs_in_one_process(self) -> None:
        """The file leaves out no test, and repeats none."""
        workers = yaml.safe_load((FOLDER / 'workers.yaml').read_text())
        for test in test_faults_page.tests(FOLDER):
            matches = [
                any(
                    re.search(pattern, f'functional.{test}')
                    for pattern in each
                )
                for each in (worker['worker'] for worker in workers)
            ]
            self.assertEqual(1, sum(matches), test)
