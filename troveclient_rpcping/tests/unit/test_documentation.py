# SPDX-License-Identifier: Apache-2.0

"""The documentation describes what the code does, and nothing else."""

import argparse
from collections.abc import Iterator
import contextlib
import doctest
import importlib
import importlib.util
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
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.osc import exits
from troveclient_rpcping.osc import rows
from troveclient_rpcping.osc import rpc_monitor
from troveclient_rpcping.osc import rpc_ping
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.plugin import cloud as clouds
from troveclient_rpcping.plugin import command_line
from troveclient_rpcping.plugin import thresholds
from troveclient_rpcping.prometheus import metrics
from troveclient_rpcping.tests import base

PACKAGE = pathlib.Path(troveclient_rpcping.__file__).parent
ROOT = PACKAGE.parent
SOURCE = ROOT / 'doc' / 'source'

DOCTEST_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def page(name: str) -> str:
    return (SOURCE / name).read_text()


def modules() -> Iterator[Any]:
    """Import each module of the package, except the tests."""
    for found in pkgutil.walk_packages([str(PACKAGE)], 'troveclient_rpcping.'):
        if '.tests' not in found.name:
            yield importlib.import_module(found.name)


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Return the options of a program, without those of its framework."""
    # cliff (output) and keystoneauth (login) have groups of their own.
    theirs = re.compile('formatter|authentication|options specific', re.I)
    return {
        # A deprecated name comes last.
        next(name for name in action.option_strings if name[:2] == '--')
        for group in parser._action_groups
        if not theirs.search(group.title or '')
        for action in group._group_actions
        if action.option_strings
    } - {'--help'}


class ContractTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # The parser must not see the cloud of the person who runs the test.
        for name in [name for name in os.environ if name.startswith('OS_')]:
            self.useFixture(fixtures.EnvironmentVariable(name))
        folder = self.useFixture(fixtures.TempDir()).path
        self.useFixture(fixtures.EnvironmentVariable('HOME', folder))

    def test_a_page_that_a_person_wrote_explains_every_option(self) -> None:
        """The generated reference and the generated list do not count."""
        own, whole = command_line.own_parser(), command_line.own_parser()
        clouds.Cloud([]).add_options(whole)
        plugin = options_of(whole)
        operators = '\n'.join(
            path.read_text() for path in (SOURCE / 'user').glob('*.rst')
        )
        # The commands need no shell to make their parsers.
        shell: Any = None
        ping, monitor = (
            options_of(command(shell, None).get_parser('openstack'))
            for command in (
                rpc_ping.PingDatabaseInstances,
                rpc_monitor.MonitorDatabaseInstances,
            )
        )
        for options, text in (
            (ping, operators),
            (monitor, operators),
            (plugin, page('user/check-plugin.rst')),
            (plugin - options_of(own), page('man/check_trove_guest_rpc.rst')),
        ):
            self.assertGreater(len(options), 1)
            for option in options:
                # "--all" is not documented by "--all-projects".
                self.assertRegex(text, rf'{option}(?![\w-])')

    def test_the_tables_from_the_code_stand_on_their_pages(self) -> None:
        """A build of the pages fails if a row of a table has no text."""
        self.assertIn('\n.. verdicts::\n', page('user/verdicts.rst'))
        self.assertIn('\n.. reasons::\n', page('user/verdicts.rst'))
        self.assertIn('\n.. exit-statuses::\n', page('user/exit-statuses.rst'))

    def test_the_tables_that_a_person_wrote_are_complete(self) -> None:
        """The tables have every exit status, state and column."""
        readme = (ROOT / 'README.rst').read_text()
        table = readme.partition('A runbook may\n')[2].partition('\n\n')[0]
        for name, value in vars(exits).items():
            if name.isupper():
                self.assertRegex(table, rf'\b{value}\b', name)
        for state in thresholds.State:
            self.assertRegex(
                page('user/check-plugin.rst'),
                rf'\* - {state.value}\n +- {state.name}\n',
            )
        text = ' '.join(page('user/verdicts.rst').split())
        for column in rows.LONG_COLUMNS:
            self.assertIn(f'``{column}``', text)


class MetricsTest(testtools.TestCase):
    def test_the_page_lists_the_metrics_that_exist(self) -> None:
        """It lists their labels, too."""
        measured = metrics.Metrics()
        measured.failed(ended=1.0, seconds=1.0)
        measured.observe(
            base.findings(
                [outcomes.Target(base.GUEST), outcomes.Target(base.OTHER)],
                [
                    fixture.ping_result(fixture.reachable()),
                    fixture.ping_result(fixture.agent_timeout(), base.OTHER),
                ],
            ),
            ended=2.0,
            seconds=1.0,
            throttled=0.0,
        )
        text = measured.page().body.decode()
        families = prometheus_parser.text_string_to_metric_families(text)
        served = {
            family.name + '_total' * (family.type == 'counter'): sorted(
                {each for sample in family.samples for each in sample.labels}
                - {'le'}
            )
            for family in families
        }
        documented = {
            name: sorted(filter(None, (labels or '').split(', ')))
            for name, labels in re.findall(
                r'^   \* - ``(trove_\w+)(?:\{(.*)\})?``$',
                page('user/prometheus.rst'),
                re.MULTILINE,
            )
        }
        self.assertEqual(served, documented)


class AlertsTest(testtools.TestCase):
    def test_the_page_has_a_section_for_each_alert_and_reason(self) -> None:
        """A section says what to do, and what not: it is read at night."""
        parts = re.split(
            r'^([\w-]+)\n-+$', page('user/alerts.rst'), flags=re.M
        )
        rules = (ROOT / 'contrib/prometheus/alerts.yaml').read_text()
        # A reachable guest asks for no action.
        reasons = set(verdicts.Reason) - {verdicts.Reason.NO_SUCH_METHOD}
        self.assertEqual(
            sorted([*re.findall(r'alert: (\w+)', rules), *reasons]),
            sorted(parts[1::2]),
        )
        for text in parts[2::2]:
            self.assertEqual(
                ['First:', 'Run:', 'Do not'],
                re.findall(r'^- \*\*([\w :]+)\*\*', text, re.M),
                text,
            )


class ArchitectureTest(testtools.TestCase):
    def test_its_page_names_modules_that_exist(self) -> None:
        """A room that is new or renamed must change in the picture."""
        rooms = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
        rooms.remove('tests')
        drawn = re.findall(
            r'class="module"[^>]*>([\w.]+)<',
            page('contributor/architecture.svg'),
        )
        self.assertEqual(set(), rooms - set(drawn))
        named = re.findall(
            rf'``((?:{"|".join(rooms)})\.\w+)``',
            page('contributor/architecture.rst'),
        )
        self.assertGreater(len(named), 10)
        for name in [*drawn, *named]:
            path = PACKAGE / name.replace('.', '/')
            self.assertTrue(
                path.with_suffix('.py').exists() or path.is_dir(), name
            )


class ExamplesTest(testtools.TestCase):
    def run_examples(self, test: doctest.DocTest) -> None:
        output: list[str] = []
        runner = doctest.DocTestRunner(optionflags=DOCTEST_FLAGS)
        runner.run(test, out=output.append)
        self.assertEqual('', ''.join(output))

    def test_the_examples_on_the_pages_print_what_they_show(self) -> None:
        """The examples of a page share one session."""
        pages = 0
        for path in SOURCE.rglob('*.rst'):
            text = path.read_text()
            if '>>> ' in text:
                pages += 1
                parser = doctest.DocTestParser()
                self.run_examples(
                    parser.get_doctest(text, {}, path.name, str(path), 0)
                )
        self.assertGreaterEqual(pages, 2)

    def test_the_examples_in_the_docstrings_print_what_they_show(
        self,
    ) -> None:
        """Each docstring is a session of its own."""
        for module in modules():
            for test in doctest.DocTestFinder().find(module):
                self.run_examples(test)

    def test_the_python_on_the_pages_and_in_the_readme_runs(self) -> None:
        """A newcomer copies it."""
        trove = self.enterContext(fixture.Trove())
        trove.add(base.GUEST, fixture.agent_timeout())
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
                    'instance_id': base.GUEST,
                    'instance_ids': [base.GUEST],
                }
                exec(compile(block, path.name, 'exec'), names)  # noqa: S102
        # rpc_ping pings once. The sweep pings twice, because no other guest
        # confirms the timeout.
        self.assertEqual([base.GUEST] * 3, trove.pinged)


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
    def build(self, *builders: str) -> dict[str, str]:
        """Build the documentation; return the text of each file."""
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for builder in builders:
            subprocess.run(
                [
                    *(sys.executable, '-m', 'sphinx', '-q', '-b', builder),
                    # The builders share the parsed pages.
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

    def test_the_built_pages_show_what_their_sources_mean(self) -> None:
        """No placeholder and no dash for two hyphens; a complete sidebar."""
        files = self.build('html', 'man')
        self.assertGreater(len(files), 20)
        for name, text in files.items():
            self.assertEqual([], re.findall(r'%\(\w+\)\w', text), name)
            self.assertEqual([], re.findall(r'\u2013\w.*', text), name)
        self.assertIn(r'\-\-all', files['man/check_trove_guest_rpc.1'])
        sidebar = files['html/user/security.html'].partition(
            'id="table-of-contents"'
        )[2]
        for page_ in ('prometheus.html', '../cli/index.html'):
            self.assertIn(f'href="{page_}"', sidebar)


class LinkTest(testtools.TestCase):
    def test_the_start_page_links_to_every_page_for_users(self) -> None:
        """It also links to the architecture."""
        linked = set(re.findall(r':doc:`([\w/-]+)`', page('index.rst')))
        pages = {
            f'{folder}/{path.stem}'
            for folder in ('user', 'reference')
            for path in (SOURCE / folder).glob('*.rst')
            if path.stem != 'index'
        }
        pages |= {'install/index', 'cli/index', 'contributor/architecture'}
        self.assertEqual(set(), pages - linked)

    def test_the_files_that_the_readme_links_to_exist(self) -> None:
        """The build of the documentation does not check the README."""
        text = (ROOT / 'README.rst').read_text()
        links = re.findall(r'<([\w./-]+\.(?:rst|sh))>', text)
        self.assertGreater(len(links), 5)
        for link in links:
            self.assertTrue((ROOT / link).exists(), link)
