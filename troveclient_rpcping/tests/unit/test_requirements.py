# SPDX-License-Identifier: Apache-2.0

"""The requirements match what the package imports and what was tested.

The sandbox installs the chosen release of OpenStack.
"""

from collections.abc import Iterator
from importlib import metadata
import pathlib
import re
import sys

import fixtures
import testtools

import sandbox
from sandbox import install
import troveclient_rpcping
from troveclient_rpcping.tests.unit import test_layers

ROOT = pathlib.Path(troveclient_rpcping.__file__).parent.parent

# pbr makes the version; the package does not import it.
BUILD = {'pbr'}


def canonical(name: str) -> str:
    """Return the name of a package in the form that pip compares."""
    return re.sub('[-_.]+', '-', name).lower()


def read(file: str | pathlib.Path, operator: str) -> Iterator[tuple[str, str]]:
    """Yield the packages that a file names, and their versions."""
    for line in (ROOT / file).read_text().splitlines():
        text = line.partition('#')[0].strip()
        if text:
            name, _, version = text.partition(operator)
            yield canonical(name.partition('[')[0]), version


class RequirementsTest(testtools.TestCase):
    def test_the_oldest_promised_versions_are_those_of_tox_lower(self) -> None:
        """``tox -e lower`` runs the tests with lower-constraints.txt."""
        promised = dict(read('requirements.txt', '>='))
        tested = dict(read('lower-constraints.txt', '=='))
        self.assertNotEqual({}, promised)
        self.assertEqual(
            promised, {name: tested.get(name) for name in promised}
        )

    def test_the_package_requires_exactly_what_it_imports(self) -> None:
        """It does not rely on the requirements of another package."""
        providers = metadata.packages_distributions()
        imported = set()
        for source in test_layers.modules().values():
            for name in test_layers.imports(source):
                root = name.partition('.')[0]
                # "_typeshed" is for mypy alone.
                if root not in sys.stdlib_module_names and root[0] != '_':
                    imported |= {
                        canonical(each) for each in providers.get(root, [root])
                    }
        self.assertEqual(
            {name for name, _ in read('requirements.txt', '>=')} - BUILD,
            imported - {'troveclient-rpcping'},
        )

    def test_the_oldest_python_is_the_same_everywhere(self) -> None:
        """pip, mypy, ruff and the classifiers agree on it."""
        setup = (ROOT / 'setup.cfg').read_text()
        project = (ROOT / 'pyproject.toml').read_text()
        (oldest,) = re.findall(r'python_requires = >=3\.(\d+)', setup)
        self.assertIn(f'python_version = "3.{oldest}"', project)
        self.assertIn(f'target-version = "py3{oldest}"', project)
        named = re.findall(r'Python :: 3\.(\d+)', setup)
        self.assertEqual(oldest, min(named, key=int))


class ReleaseTest(testtools.TestCase):
    def choose(self, release: str | None) -> pathlib.Path:
        for name, value in (('VENV', None), ('RELEASE', release)):
            self.useFixture(
                fixtures.EnvironmentVariable(f'TROVE_SANDBOX_{name}', value)
            )
        return install.venv_path()

    def test_each_release_has_an_environment_of_its_own(self) -> None:
        """Trying an older release keeps the environment of the newest."""
        self.assertEqual('venv', self.choose(None).name)
        self.assertEqual('venv-2024.1', self.choose('2024.1').name)
        error = self.assertRaises(sandbox.SandboxError, self.choose, '2014.1')
        self.assertIn('2024.1', str(error))

    def test_a_release_pins_each_package(self) -> None:
        """Trove and Keystone are among the packages."""
        for path in (ROOT / 'sandbox' / 'releases').glob('*.txt'):
            names = {name for name, version in read(path, '==') if version}
            self.assertLessEqual({'trove', 'keystone'}, names)
            self.assertEqual(names, dict(read(path, '==')).keys())
