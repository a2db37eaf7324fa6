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

"""The documentation says what the code does: all of it, and nothing else."""

import argparse
from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import doctest
import importlib
import importlib.util
import inspect
import io
import os
import pathlib
import pkgutil
import re
import subprocess
import sys
import textwrap
from typing import Any
import unittest

import fixtures
from prometheus_client import parser as prometheus_parser
import testtools

import troveclient_rpcping
from troveclient_rpcping import fixture
from troveclient_rpcping import verdict
from troveclient_rpcping.osc import exits
from troveclient_rpcping.osc import rows
from troveclient_rpcping.osc.rpc_monitor import MonitorDatabaseInstances
from troveclient_rpcping.osc.rpc_ping import PingDatabaseInstances
from troveclient_rpcping.outcomes.outcome import Target
from troveclient_rpcping.plugin import command_line
from troveclient_rpcping.plugin.cloud import Cloud
from troveclient_rpcping.plugin.thresholds import State
from troveclient_rpcping.prometheus.metrics import Metrics
from troveclient_rpcping.tests import base
from troveclient_rpcping.tests.base import GUEST
from troveclient_rpcping.tests.base import OTHER

PACKAGE = pathlib.Path(troveclient_rpcping.__file__).parent
ROOT = PACKAGE.parent
SOURCE = ROOT / 'doc' / 'source'

DOCTEST_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def page(name: str) -> str:
    return (SOURCE / name).read_text()


def for_operators() -> str:
    """All that is written for operators, the generated reference excluded."""
    return '\n'.join(
        path.read_text() for path in sorted((SOURCE / 'user').glob('*.rst'))
    )


def modules() -> Iterator[Any]:
    """Import each module of the package, but for the tests."""
    for found in pkgutil.walk_packages([str(PACKAGE)], 'troveclient_rpcping.'):
        if '.tests' not in found.name:
            yield importlib.import_module(found.name)


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Return the options of a program, without those of all of its kind."""
    # What cliff adds for the output, and keystoneauth for the kind of login,
    # stands in groups of theirs.
    theirs = re.compile('formatter|authentication|options specific', re.I)
    return {
        # The name that is not out of date comes first.
        next(name for name in action.option_strings if name[:2] == '--')
        for group in parser._action_groups
        if not theirs.search(group.title or '')
        for action in group._group_actions
        if action.option_strings
    } - {'--help'}


class OptionsTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # Not the clouds of whoever runs the tests.
        for name in [name for name in os.environ if name.startswith('OS_')]:
            self.useFixture(fixtures.EnvironmentVariable(name))
        folder = self.useFixture(fixtures.TempDir()).path
        self.useFixture(fixtures.EnvironmentVariable('HOME', folder))

    def assert_documented(
        self, options: Iterable[str], text: str, where: str
    ) -> None:
        # "--all" is not documented by "--all-projects".
        missing = [
            option
            for option in sorted(options)
            if not re.search(rf'{option}(?![\w-])', text)
        ]
        self.assertEqual([], missing, f'missing in {where}')

    def parsers(self) -> dict[str, argparse.ArgumentParser]:
        check = command_line.own_parser()
        Cloud().add_options(check, [])
        # They have a parser without a shell.
        shell: Any = None
        return {
            'ping': PingDatabaseInstances(shell, None).get_parser('ping'),
            'monitor': MonitorDatabaseInstances(shell, None).get_parser('m'),
            'check': check,
        }

    def test_every_option_is_explained_to_operators(self) -> None:
        """On a page that a person wrote, beside the generated reference."""
        for program, parser in self.parsers().items():
            options = options_of(parser)
            self.assertGreater(len(options), 10)
            self.assert_documented(options, for_operators(), program)

    def test_every_option_of_the_plugin_is_on_its_page(self) -> None:
        """Where a reader looks for them."""
        self.assert_documented(
            options_of(self.parsers()['check']),
            page('user/check-plugin.rst'),
            'check-plugin.rst',
        )

    def test_the_options_of_the_cloud_are_in_the_manual(self) -> None:
        """Its list is made from the code, but not of these."""
        own = options_of(command_line.own_parser())
        self.assert_documented(
            options_of(self.parsers()['check']) - own,
            page('man/check_trove_guest_rpc.rst'),
            'the manual page',
        )


class ContractTest(testtools.TestCase):
    """Tables are made from the code, in doc/source/ext: of these comments."""

    def assert_commented(self, module: Any, names: Iterable[str]) -> None:
        source = inspect.getsource(module)
        for name in names:
            pattern = rf'^ *#: .*\n(?: *#: .*\n)* *{name} = '
            self.assertTrue(
                re.search(pattern, source, re.MULTILINE),
                f'{module.__name__}: {name} has no "#:" comment',
            )

    def test_every_verdict_and_reason_has_its_meaning(self) -> None:
        """The page of the verdicts has a table of each kind."""
        self.assert_commented(verdict, verdict.Verdict.__members__)
        self.assert_commented(verdict, verdict.Reason.__members__)
        self.assertIn('\n.. verdicts::\n', page('user/verdicts.rst'))
        self.assertIn('\n.. reasons::\n', page('user/verdicts.rst'))

    def test_every_exit_status_has_its_meaning(self) -> None:
        """Each is a constant, and stands in a table that is made of them."""
        constants = [name for name in vars(exits) if name.isupper()]
        self.assertGreaterEqual(len(constants), 6)
        self.assert_commented(exits, constants)
        self.assertIn('\n.. exit-statuses::\n', page('user/exit-statuses.rst'))

    def test_the_readme_has_every_exit_status(self) -> None:
        """In the table for runbooks."""
        readme = (ROOT / 'README.rst').read_text()
        table = readme.partition('A runbook may\n')[2].partition('\n\n')[0]
        for name, value in vars(exits).items():
            if name.isupper():
                self.assertRegex(table, rf'\b{value}\b', name)

    def test_every_state_of_the_plugin_has_its_row(self) -> None:
        """With the number that monitoring systems know it by."""
        for state in State:
            self.assertRegex(
                page('user/check-plugin.rst'),
                rf'\* - {state.value}\n +- {state.name}\n',
            )

    def test_every_column_is_explained(self) -> None:
        """In the long list, too."""
        text = ' '.join(page('user/verdicts.rst').split())
        for column in rows.LONG_COLUMNS:
            self.assertIn(f'``{column}``', text)


class MetricsTest(testtools.TestCase):
    def test_every_metric_is_documented_and_no_other(self) -> None:
        """With its labels."""
        metrics = Metrics()
        metrics.failed(ended=1.0, seconds=1.0)
        metrics.observe(
            base.findings(
                [Target(GUEST), Target(OTHER)],
                [
                    fixture.ping_result(fixture.reachable()),
                    fixture.ping_result(fixture.agent_timeout(), OTHER),
                ],
            ),
            ended=2.0,
            seconds=1.0,
            throttled=0.0,
        )
        text = metrics.page().body.decode()
        served = {}
        for family in prometheus_parser.text_string_to_metric_families(text):
            labels = {
                label for sample in family.samples for label in sample.labels
            }
            name = family.name
            if family.type == 'counter':
                name += '_total'
            served[name] = sorted(labels - {'le'})
        documented = {
            name: sorted(filter(None, (labels or '').split(', ')))
            for name, labels in re.findall(
                r'^   \* - ``(trove_\w+)(?:\{(.*)\})?``$',
                page('user/prometheus.rst'),
                re.MULTILINE,
            )
        }
        self.assertEqual(served, documented)

    def test_every_alert_is_documented_and_no_other(self) -> None:
        """With when it fires, and what to look at."""
        rules = (ROOT / 'contrib/prometheus/alerts.yaml').read_text()
        self.assertEqual(
            sorted(re.findall(r'alert: (\w+)', rules)),
            sorted(
                re.findall(
                    r'^   \* - ``(Trove\w+)``$',
                    page('user/prometheus.rst'),
                    re.MULTILINE,
                )
            ),
        )


class ArchitectureTest(testtools.TestCase):
    def named(self) -> set[str]:
        picture = page('contributor/architecture.svg')
        return set(re.findall(r'class="module"[^>]*>([\w.]+)<', picture))

    def exists(self, name: str) -> bool:
        path = PACKAGE / name.replace('.', '/')
        return path.with_suffix('.py').exists() or path.is_dir()

    def test_every_module_in_the_picture_exists(self) -> None:
        """What was renamed is renamed there."""
        named = self.named()
        self.assertGreater(len(named), 20)
        self.assertEqual([], [name for name in named if not self.exists(name)])

    def test_every_module_in_the_text_exists(self) -> None:
        """Those with a dot, and those that stand alone in the picture."""
        text = page('contributor/architecture.rst')
        named = re.findall(
            r'``((?:cli|engine|osc|outcomes|plugin|prometheus|sweep|web)\.\w+)``',
            text,
        )
        self.assertGreater(len(named), 10)
        self.assertEqual([], [name for name in named if not self.exists(name)])

    def test_the_way_of_a_ping_leaves_out_no_module(self) -> None:
        """Each module of the sweep and the engine is in picture or text."""
        text = page('contributor/architecture.rst')
        known = self.named() | set(re.findall(r'``([a-z]+\.\w+)``', text))
        for room in ('engine', 'sweep'):
            for path in (PACKAGE / room).glob('[a-z]*.py'):
                self.assertIn(f'{room}.{path.stem}', known)


class ExamplesTest(testtools.TestCase):
    def run_examples(self, test: doctest.DocTest) -> None:
        output: list[str] = []
        runner = doctest.DocTestRunner(optionflags=DOCTEST_FLAGS)
        runner.run(test, out=output.append)
        self.assertEqual('', ''.join(output))

    def test_the_examples_of_the_pages_do_what_they_say(self) -> None:
        """Each page is one session."""
        pages = [
            path
            for path in SOURCE.rglob('*.rst')
            if '>>> ' in path.read_text()
        ]
        self.assertGreaterEqual(len(pages), 2)
        for path in pages:
            self.run_examples(
                doctest.DocTestParser().get_doctest(
                    path.read_text(), {}, path.name, str(path), 0
                )
            )

    def test_the_examples_of_the_docstrings_do_what_they_say(self) -> None:
        """Each is a session of its own."""
        for module in modules():
            for test in doctest.DocTestFinder().find(module):
                self.run_examples(test)

    def test_the_blocks_of_python_run(self) -> None:
        """Those of the README are what a newcomer copies."""
        trove = self.enterContext(fixture.Trove())
        trove.add(GUEST, fixture.agent_timeout())
        blocks = [
            (path, block)
            for path in [ROOT / 'README.rst', *SOURCE.rglob('*.rst')]
            for block in python_blocks(path.read_text())
        ]
        self.assertGreaterEqual(len(blocks), 2)
        with contextlib.redirect_stdout(io.StringIO()):
            for path, block in blocks:
                names = {
                    'keystoneauth_session': trove.session(),
                    'instance_id': GUEST,
                    'instance_ids': [GUEST],
                }
                exec(compile(block, path.name, 'exec'), names)  # noqa: S102
        # rpc_ping once; the sweep twice, for nobody confirms a timeout.
        self.assertEqual([GUEST] * 3, trove.pinged)


def python_blocks(text: str) -> list[str]:
    """Return the code of each ``.. code-block:: python``."""
    pattern = r'^( *)\.\. code-block:: python\n\n((?:(?:\1 +.*)?\n)+)'
    return [
        textwrap.dedent(block)
        for _, block in re.findall(pattern, text, re.MULTILINE)
    ]


@unittest.skipUnless(
    importlib.util.find_spec('openstackdocstheme'),
    'the tools of doc/requirements.txt are not installed',
)
class BuiltTest(testtools.TestCase):
    """The pages as a reader sees them."""

    def build(self, *builders: str) -> dict[str, str]:
        """Build the documentation; return the text of each file."""
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for builder in builders:
            subprocess.run(
                [
                    *(sys.executable, '-m', 'sphinx', '-q', '-b', builder),
                    # What is parsed once serves each builder.
                    *('-d', folder / 'doctrees', SOURCE, folder / builder),
                ],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        return {
            str(file.relative_to(folder)): file.read_text()
            for builder in builders
            for file in (folder / builder).rglob('*')
            if file.suffix in ('.html', '.1')
        }

    def test_the_pages_are_what_their_sources_mean(self) -> None:
        """No placeholder, no dash for two hyphens; the sidebar has all."""
        files = self.build('html', 'man')
        self.assertGreater(len(files), 20)
        for name, text in files.items():
            self.assertEqual([], re.findall(r'%\(\w+\)\w', text), name)
            self.assertEqual([], re.findall(r'\u2013\w.*', text), name)
        self.assertIn(r'\-\-all', files['man/check_trove_guest_rpc.1'])
        sidebar = files['html/user/security.html'].partition(
            'id="table-of-contents"'
        )[2]
        for page_ in ('prometheus.html', '../reference/index.html'):
            self.assertIn(f'href="{page_}"', sidebar)


class StartPageTest(testtools.TestCase):
    def test_a_reader_finds_each_page_of_use_from_the_start_page(
        self,
    ) -> None:
        """All those for operators, the reference and the architecture."""
        linked = set(re.findall(r':doc:`([\w/-]+)`', page('index.rst')))
        pages = {
            f'{folder}/{path.stem}'
            for folder in ('user', 'reference')
            for path in (SOURCE / folder).glob('*.rst')
            if path.stem != 'index'
        }
        self.assertEqual(set(), {*pages, 'contributor/architecture'} - linked)


class ReadmeTest(testtools.TestCase):
    def test_what_it_links_to_exists(self) -> None:
        """A reader of the repository has no site."""
        for path in (ROOT / 'README.rst', ROOT / 'CONTRIBUTING.rst'):
            links = re.findall(r'<([\w./-]+\.(?:rst|sh))>', path.read_text())
            missing = [link for link in links if not (ROOT / link).exists()]
            self.assertEqual([], missing)

    def test_it_is_short(self) -> None:
        """A page that a newcomer reads to its end."""
        self.assertLess(len((ROOT / 'README.rst').read_text()), 6500)


class DocstringsTest(testtools.TestCase):
    def test_every_module_says_what_it_is_for(self) -> None:
        """In a sentence, at its top."""
        for module in modules():
            self.assertTrue(module.__doc__, module.__name__)
