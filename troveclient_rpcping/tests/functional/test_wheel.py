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

"""What a user gets who installs the wheel."""

import os
import pathlib
import subprocess
import sys
import zipfile

import fixtures
import testtools

import troveclient_rpcping

ROOT = pathlib.Path(troveclient_rpcping.__file__).parent.parent


class WheelTest(testtools.TestCase):
    def run_clean(self, *command: str) -> str:
        """Run a command without the settings of this environment."""
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(('OS_', 'PYTHON'))
        }
        return subprocess.run(
            command,
            env=env,
            check=True,
            capture_output=True,
            text=True,
            timeout=600,
        ).stdout

    def test_a_wheel_adds_its_commands_and_changes_nothing_else(self) -> None:
        """In an empty environment, beside a plain openstackclient."""
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.run_clean(
            *(sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps'),
            *('-w', str(folder), str(ROOT)),
        )
        (wheel,) = folder.glob('*.whl')
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
        self.assertIn('troveclient_rpcping/py.typed', names)
        self.assertEqual(
            {'troveclient_rpcping'},
            {
                name.partition('/')[0]
                for name in names
                if '.dist-info/' not in name
            },
        )

        venv = folder / 'venv'
        self.run_clean(sys.executable, '-m', 'venv', str(venv))
        pip = (str(venv / 'bin' / 'pip'), 'install', '-q')
        openstack = str(venv / 'bin' / 'openstack')
        listing = (openstack, 'command', 'list', '-f', 'value')
        self.run_clean(*pip, 'python-openstackclient', 'python-troveclient')
        before = self.run_clean(*listing)
        self.assertNotIn('rpc ping', before)

        self.run_clean(*pip, str(wheel))
        after = self.run_clean(*listing)
        for command in ('monitor', 'ping'):
            ours = f"'database instance rpc {command}', "
            self.assertIn(ours, after)
            after = after.replace(ours, '')
        self.assertTrue(before == after, 'others changed')
        usage = self.run_clean(
            openstack, 'help', 'database', 'instance', 'rpc', 'ping'
        )
        self.assertIn('Ask whether the control plane can reach', usage)

        check = subprocess.run(
            [str(venv / 'bin' / 'check_trove_guest_rpc'), '--version'],
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual((3, ''), (check.returncode, check.stderr))
        self.assertRegex(check.stdout, r'\Acheck_trove_guest_rpc \S+\n\Z')
