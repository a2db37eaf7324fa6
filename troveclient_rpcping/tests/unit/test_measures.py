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

"""What the commands write for Prometheus, and when."""

from __future__ import annotations

import io
import pathlib
from typing import Any

import fixtures
from prometheus_client import parser

from troveclient_rpcping import fixture
from troveclient_rpcping.osc import exits
from troveclient_rpcping.osc import rpc_monitor
from troveclient_rpcping.osc import rpc_ping
from troveclient_rpcping.tests import base
from troveclient_rpcping.tests.unit import test_commands


class TestCase(test_commands.TestCase):
    """A command that writes a file of metrics."""

    def ping(self, *arguments: str, **kwargs: Any) -> int:
        return self.run_command(
            rpc_ping.PingDatabaseInstances, *arguments, **kwargs
        )

    def watch(self, *arguments: str, **kwargs: Any) -> int:
        return self.run_command(
            rpc_monitor.MonitorDatabaseInstances,
            *('--interval', '0.2', *arguments),
            **kwargs,
        )

    def usage_error(self, *arguments: str) -> str:
        """Run both commands, which must refuse; return the last line."""
        lines = set()
        for command in (self.ping, self.watch):
            stderr = io.StringIO()
            with fixtures.MonkeyPatch('sys.stderr', stderr):
                ended = self.assertRaises(SystemExit, command, *arguments)
            self.assertEqual(exits.USAGE, ended.code)
            lines.add(stderr.getvalue().splitlines()[-1])
        self.assertEqual([], self.trove.requests)
        (line,) = lines
        return line

    def samples(self, file: pathlib.Path) -> dict[str, float]:
        """Return the samples of a file as they stand there."""
        lines = file.read_text().splitlines()
        pairs = [line.rpartition(' ') for line in lines if line[0] != '#']
        return {name: float(value) for name, _, value in pairs}


class LabelTest(TestCase):
    def test_two_clouds_are_told_apart_by_a_label(self) -> None:
        """No series of one file stands in the other."""
        self.trove.add('db-7')
        series = []
        for cloud in ('north', 'south'):
            file = self.folder / f'{cloud}.prom'
            self.ping(
                *('--all', '--textfile', str(file)),
                *('--label', f'cloud={cloud}', '--label', 'site=a=b'),
            )
            text = file.read_text()
            families = list(parser.text_string_to_metric_families(text))
            self.assertGreater(len(families), 5)
            series.append(set(self.samples(file)))
            for name in series[-1]:
                self.assertIn(f'cloud="{cloud}"', name)
                self.assertIn('site="a=b"', name)
        self.assertEqual(set(), series[0] & series[1])

    def test_the_monitor_labels_what_it_serves_and_what_it_writes(
        self,
    ) -> None:
        """Both are made of the same metrics."""
        self.trove.add('db-7', fixture.agent_timeout(), fixture.reachable())
        self.stdout = test_commands.Script(
            test_commands.nothing, test_commands.interrupt
        )
        self.watch(
            *('--all', '--textfile', str(self.textfile)),
            *('--listen', '127.0.0.1:0', '--label', 'cloud=north'),
        )
        for name in self.samples(self.textfile):
            self.assertIn('cloud="north"', name)

    def test_a_label_that_prometheus_would_not_take_is_wrong_usage(
        self,
    ) -> None:
        """It is refused in a line, before anything is asked."""
        file = ('--textfile', str(self.textfile))
        for text in (
            *('', 'cloud', '=north', '1=x', 'a-b=x', 'a.b=x', 'ü=x', 'a b=x'),
            *('__name__=x', '__x=x', 'cloud=', 'cloud= ', 'cloud=a\nb'),
            *('cloud=\udcff', 'cloud\n=x', 'job=x', 'instance=x', 'le=1'),
            *('instance_id=x', 'name=x', 'project_id=x', 'datastore=x'),
            *('verdict=x', 'reason=x', 'outcome=x'),
        ):
            line = self.usage_error(base.GUEST, *file, '--label', text)
            self.assertIn('argument --label: "', line, text)
            self.assertTrue(line.isprintable(), text)

    def test_a_label_comes_once(self) -> None:
        """One of two values would be lost."""
        line = self.usage_error(
            *(base.GUEST, '--textfile', str(self.textfile)),
            *('--label', 'cloud=a', '--label', 'cloud=b'),
        )
        self.assertIn('the label cloud is given twice', line)

    def test_a_label_without_metrics_is_wrong_usage(self) -> None:
        """It would label nothing."""
        log = self.useFixture(fixtures.FakeLogger())
        for command in (self.ping, self.watch):
            status = command(base.GUEST, '--label', 'cloud=a')
            self.assertEqual(exits.USAGE, status)
        self.assertEqual(
            2, log.output.count('--label goes with --textfile or --listen')
        )
        self.assertEqual([], self.trove.requests)
