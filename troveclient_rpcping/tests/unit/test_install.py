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

"""The sandbox installs the chosen release of OpenStack."""

import pathlib

import fixtures
import testtools

import sandbox
from sandbox import install

RELEASES = pathlib.Path(install.__file__).with_name('releases')


class ReleaseTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.EnvironmentVariable('TROVE_SANDBOX_VENV'))
        self.useFixture(fixtures.EnvironmentVariable('TROVE_SANDBOX_RELEASE'))

    def choose(self, release: str) -> pathlib.Path:
        self.useFixture(
            fixtures.EnvironmentVariable('TROVE_SANDBOX_RELEASE', release)
        )
        return install.venv_path()

    def test_each_release_has_an_environment_of_its_own(self) -> None:
        """So trying an older release keeps the environment of the newest."""
        newest = install.venv_path()
        self.assertEqual('venv', newest.name)
        self.assertEqual(
            newest.with_name('venv-2024.1'), self.choose('2024.1')
        )

    def test_an_unknown_release_is_an_error(self) -> None:
        """The message names the known releases."""
        error = self.assertRaises(sandbox.SandboxError, self.choose, '2014.1')
        self.assertIn('2024.1', str(error))

    def test_a_release_pins_trove_and_keystone(self) -> None:
        """It pins every other package that it names, too."""
        for path in RELEASES.glob('*.txt'):
            lines = [
                line
                for line in path.read_text().splitlines()
                if not line.startswith('#')
            ]
            names = {line.partition('==')[0] for line in lines}
            self.assertLessEqual({'trove', 'keystone'}, names)
            self.assertEqual([], [line for line in lines if '==' not in line])
