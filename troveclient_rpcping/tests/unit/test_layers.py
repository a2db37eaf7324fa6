# SPDX-License-Identifier: Apache-2.0

"""The layers of the package, and the style and the cost of its imports."""

import ast
from importlib import metadata
from importlib import util
import pathlib
import subprocess
import sys

import testtools

import troveclient_rpcping

PACKAGE = pathlib.Path(troveclient_rpcping.__file__).parent
FOLDERS = ('benchmarks', 'doc', 'sandbox', 'tools', PACKAGE.name)

# The modules whose objects are imported.
OF_OBJECTS = ('__future__', 'collections.abc', 'typing')

# From the ground up. A module imports from its own layer and those below it.
LAYERS = [
    # A reply, and the verdict that follows from it.
    [
        *('durations', 'exceptions', 'limits', 'plaintext', 'reply'),
        *('transport', 'verdict', 'version'),
    ],
    # The instances of the cloud.
    ['inventory'],
    # Bytes. The engine does not know guests.
    ['engine'],
    # Decisions: the next ping, and the evidence of each answer.
    ['sweep'],
    # The classes for Python users.
    ['management', 'client', 'fixture'],
    # The outcomes of a sweep.
    ['outcomes'],
    # The parts that all command lines share.
    ['cli'],
    ['plugin', 'web'],
    ['prometheus'],
    ['osc'],
]


def modules() -> dict[str, str]:
    """Return the source of each module of the package, by its name."""
    found = {}
    for path in sorted(PACKAGE.rglob('*.py')):
        name = '.'.join(path.relative_to(PACKAGE).with_suffix('').parts)
        if not name.startswith('tests.') and not name.endswith('__init__'):
            found[name] = path.read_text()
    return found


def imports(source: str) -> set[str]:
    """Return the full names of the imports of a module."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f'{node.module}.{alias.name}' for alias in node.names}
    return names


def is_module(package: str, name: str) -> bool:
    full = f'{package}.{name}'
    try:
        return full in sys.modules or util.find_spec(full) is not None
    except ModuleNotFoundError as error:
        # Trove and Keystone are installed for the sandbox alone.
        return error.name == package.partition('.')[0]


def objects(source: str) -> list[str]:
    """Return the imports of objects that should be imports of modules."""
    return [
        f'from {node.module} import {alias.name}'
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module not in OF_OBJECTS
        for alias in node.names
        if not is_module(str(node.module), alias.name)
    ]


def layer(name: str) -> int:
    for number, rooms in enumerate(LAYERS):
        if any(name == room or name.startswith(f'{room}.') for room in rooms):
            return number
    raise AssertionError(f'{name} has no layer in this test')


class LayersTest(testtools.TestCase):
    def test_imports_point_downwards_only(self) -> None:
        """A module does not import from a higher layer."""
        known = modules()
        for name, source in known.items():
            for imported in imports(source):
                inner = imported.removeprefix('troveclient_rpcping.')
                if inner == imported:
                    continue
                while inner and inner not in known:
                    inner = inner.rpartition('.')[0]
                if inner and inner != name:
                    self.assertLessEqual(
                        layer(inner), layer(name), f'{name} -> {inner}'
                    )

    def test_the_engine_imports_no_decisions(self) -> None:
        """The engine knows requests and replies, and no verdicts."""
        for name, source in modules().items():
            if name.startswith('engine.'):
                for imported in imports(source):
                    self.assertNotIn('.verdict', imported, name)

    def test_the_decisions_import_no_engine(self) -> None:
        """A model can therefore run the decisions on its own clock."""
        for name, source in modules().items():
            if name.startswith('sweep.') and name != 'sweep.run':
                for imported in imports(source):
                    root = imported.partition('.')[0]
                    self.assertNotIn(root, ('pycurl', 'time', 'socket'), name)

    def test_modules_are_imported_and_no_objects(self) -> None:
        """Only an ``__init__`` imports objects: those that users need."""
        found = [
            f'{path}: {each}'
            for folder in FOLDERS
            for path in (PACKAGE.parent / folder).rglob('*.py')
            if path.name != '__init__.py'
            for each in objects(path.read_text())
        ]
        self.assertEqual([], found)

    def test_only_command_lines_know_argparse(self) -> None:
        """The library takes typed values."""
        for name, source in modules().items():
            if name.partition('.')[0] not in ('cli', 'osc', 'plugin'):
                self.assertNotIn('argparse', imports(source), name)

    def test_only_the_commands_know_cliff_and_osc_lib(self) -> None:
        """Only the commands print."""
        for name, source in modules().items():
            if name.startswith('osc.'):
                continue
            for imported in imports(source):
                root = imported.partition('.')[0]
                self.assertNotIn(root, ('cliff', 'osc_lib', 'rich'), name)
            self.assertNotIn('print(', source, name)

    def test_the_route_stands_in_one_place(self) -> None:
        """No other module builds the path."""
        homes = [
            name for name, source in modules().items() if '/rpc_ping' in source
        ]
        self.assertEqual(['transport'], homes)

    def test_the_library_costs_no_more_imports_than_troveclient(self) -> None:
        """libcurl, cliff and osc_lib are imported when they are needed."""
        program = (
            'import sys, troveclient.v1.client\n'
            'before = set(sys.modules)\n'
            'import troveclient_rpcping.client\n'
            'new = {n.partition(".")[0] for n in set(sys.modules) - before}\n'
            'print(sorted(new))\n'
        )
        output = subprocess.run(
            [sys.executable, '-c', program],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        self.assertEqual("['troveclient', 'troveclient_rpcping']\n", output)

    def test_openstack_finds_the_commands_and_the_plugin_is_a_program(
        self,
    ) -> None:
        """The commands stand among those of the database."""
        ours = metadata.distribution('troveclient-rpcping').entry_points
        database, command = 'openstack.database.v1', 'database_instance_rpc'
        self.assertEqual(
            {
                (database, f'{command}_ping', 'PingDatabaseInstances'),
                (database, f'{command}_monitor', 'MonitorDatabaseInstances'),
                ('console_scripts', 'check_trove_guest_rpc', 'main'),
            },
            {(each.group, each.name, each.load().__name__) for each in ours},
        )
