# SPDX-License-Identifier: Apache-2.0

"""The sdist and the wheel of a release."""

import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import fixtures
import testtools

from sandbox import install
import troveclient_rpcping

ROOT = pathlib.Path(troveclient_rpcping.__file__).parent.parent


def run_clean(*command: str) -> str:
    """Run a command that must succeed; return its output.

    It gets no setting of OpenStack or Python, and the control plane that is
    installed already.
    """
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(('OS_', 'PYTHON'))
    }
    env['TROVE_SANDBOX_VENV'] = str(install.venv_path())
    # Most of what pip installs is never imported here.
    env['PIP_NO_COMPILE'] = '1'
    run = subprocess.run(
        command,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stdout
    return run.stdout


class DistTest(testtools.TestCase):
    """A release is built once: an sdist, and a wheel from it."""

    sdist: pathlib.Path
    wheel: pathlib.Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        dist = cls.enterClassContext(tempfile.TemporaryDirectory())
        build = (sys.executable, '-m', 'build')
        run_clean(*build, '--outdir', dist, str(ROOT))
        (cls.sdist,) = pathlib.Path(dist).glob('*.tar.gz')
        (cls.wheel,) = pathlib.Path(dist).glob('*.whl')

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def test_a_release_is_fit_for_the_index(self) -> None:
        """twine accepts its metadata and its README."""
        twine = (sys.executable, '-m', 'twine', 'check', '--strict')
        run_clean(*twine, str(self.sdist), str(self.wheel))

    def test_the_demo_runs_from_an_unpacked_sdist(self) -> None:
        """The demo needs no git and no file beside the sdist."""
        with tarfile.open(self.sdist) as archive:
            archive.extractall(self.folder, filter='data')
        unpacked = self.folder / self.sdist.name.removesuffix('.tar.gz')
        said = run_clean(str(unpacked / 'tools' / 'demo.sh'))
        statuses = re.findall(r'^\[exit status (\d+)\]$', said, re.MULTILINE)
        self.assertEqual('0 3 0 3 3 3 1 0 143 2', ' '.join(statuses), said)

    def test_a_wheel_adds_its_commands_and_changes_nothing_else(self) -> None:
        """The other commands of openstackclient are unchanged."""
        with zipfile.ZipFile(self.wheel) as archive:
            names = archive.namelist()
        self.assertIn('troveclient_rpcping/py.typed', names)
        self.assertEqual(
            {'troveclient_rpcping'},
            {name.partition('/')[0] for name in names if '-info/' not in name},
        )
        venv = self.folder / 'venv'
        run_clean(sys.executable, '-m', 'venv', '--without-pip', str(venv))
        pip = [sys.executable, '-m', 'pip', '--python', str(venv)]
        pip += ['install', '-q']
        openstack = str(venv / 'bin' / 'openstack')
        listing = (openstack, 'command', 'list', '-f', 'value')
        run_clean(*pip, 'python-openstackclient', 'python-troveclient')
        before = run_clean(*listing)
        self.assertNotIn('rpc ping', before)

        run_clean(*pip, str(self.wheel))
        after = run_clean(*listing)
        for command in ('monitor', 'ping'):
            ours = f"'database instance rpc {command}', "
            self.assertIn(ours, after)
            after = after.replace(ours, '')
        self.assertTrue(before == after, 'others changed')
        usage = run_clean(
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
