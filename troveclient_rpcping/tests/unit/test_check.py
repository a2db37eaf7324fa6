# SPDX-License-Identifier: Apache-2.0

"""``check_trove_guest_rpc``, the plugin for Icinga, Nagios and their kin."""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
from typing import Any
from typing import IO
import uuid

import fixtures
import hypothesis
from hypothesis import strategies
from openstack import config as sdk_config
from openstack import exceptions as sdk_exceptions
import testtools

from troveclient_rpcping import fixture
from troveclient_rpcping import inventory
from troveclient_rpcping import reply as replies
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.plugin import cloud as clouds
from troveclient_rpcping.plugin import command_line
from troveclient_rpcping.plugin import output
from troveclient_rpcping.plugin import thresholds
from troveclient_rpcping.plugin import timed_check
from troveclient_rpcping.tests import base
from troveclient_rpcping.tests import hostile

PROGRAM = (
    sys.executable,
    '-c',
    'from troveclient_rpcping.plugin import main; main.main()',
)

UP = fixture.reachable()
SILENT = fixture.agent_timeout()
NOT_READY = fixture.not_ready()
BROKEN = fixture.agent_error('disk is full')

# Seconds within which a busy machine gets the answer to its first ping.
TIME = '8'

# The guidelines have 'label'=value[UOM];[warn];[crit];[min];[max].
_RANGE = r'(?:@?(?:~|[0-9.]+)?:?[0-9.]*)?'
_DATUM = re.compile(
    rf'(?P<label>[a-z0-9_]+)=(?P<value>[0-9]+(?:\.[0-9]+)?)(?P<unit>s?)'
    rf'(?:;(?P<warn>{_RANGE});(?P<crit>{_RANGE})'
    r'(?:;(?P<min>[0-9.]*)(?:;(?P<max>[0-9.]*))?)?)?'
)


def performance(line: str) -> dict[str, dict[str, str]]:
    """Parse the performance data of a line as a monitoring system would."""
    _, bar, data = line.partition('|')
    assert bar, line
    assert '|' not in data, line
    found = {}
    for datum in data.split():
        match = _DATUM.fullmatch(datum)
        assert match, datum
        found[match['label']] = {
            key: value or '' for key, value in match.groupdict().items()
        }
    return found


def up(number: int = 0, rtt: float = 0.03) -> verdicts.PingResult:
    return verdicts.PingResult(
        instance_id=str(uuid.UUID(int=number)),
        verdict=verdicts.Verdict.REACHABLE,
        rtt=rtt,
    )


def not_up(
    verdict: verdicts.Verdict, reason: verdicts.Reason, message: str = 'words'
) -> verdicts.PingResult:
    return verdicts.PingResult(
        instance_id=base.GUEST, verdict=verdict, reason=reason, message=message
    )


DEAD = not_up(verdicts.Verdict.UNREACHABLE, verdicts.Reason.AGENT_TIMEOUT)
FAILED = not_up(verdicts.Verdict.ERROR, verdicts.Reason.AGENT_ERROR)
LOST = not_up(verdicts.Verdict.UNKNOWN, verdicts.Reason.CONNECTION)
OFF = not_up(verdicts.Verdict.UNKNOWN, verdicts.Reason.SERVER_OFF)
NOT_ASKED = not_up(
    verdicts.Verdict.UNKNOWN, verdicts.Reason.NOT_ASKED, 'No time was left'
)


def report(
    *results: verdicts.PingResult, argv: str = '', name: str | None = None
) -> output.Report:
    """Return the report of a check with these options."""
    parser, options = command_line.own_parser(), thresholds.Thresholds()
    return output.Report(
        base.findings(
            [outcomes.Target(result.instance_id, name) for result in results],
            results,
        ),
        parser.parse_args(argv.split(), options),
        6.4,
    )


class RangeTest(testtools.TestCase):
    def test_ranges_alert_as_the_guidelines_have_it(self) -> None:
        """Each row of the guidelines' table holds at its ends."""
        for text, alerts, silent in (
            ('10', (-1, 10.5, 11), (0, 5, 10)),
            ('10:', (-1, 9), (10, 1_000_000)),
            ('~:10', (11,), (-1_000_000, 10)),
            ('10:20', (9, 21), (10, 15, 20)),
            ('@10:20', (10, 15, 20), (9, 21)),
            ('0', (1, -1), (0,)),
            ('@0', (0,), (1, -1)),
            ('@5:', (5, 6), (4,)),
            ('~:', (), (-1_000_000, 0, 1_000_000)),
            ('0.5:1.5', (0, 2), (1,)),
        ):
            parsed = thresholds.parse(text)
            self.assertEqual(text, parsed.text)
            for value in alerts:
                self.assertTrue(parsed.alerts(value), f'{value} in {text}')
            for value in silent:
                self.assertFalse(parsed.alerts(value), f'{value} in {text}')

    def test_a_percentage_is_of_all_pinged_guests(self) -> None:
        """The percentage is exact: 0.1 % of 3,000 guests are 3 guests."""
        for text, guests, silent, alerts in (
            ('20%', 15, 3, 4),
            ('0.1%', 3000, 3, 4),
            ('100%:', 7, 7, 6),
            ('5%:10%', 40, 4, 5),
            ('@5%:10%', 40, 5, 4),
            ('~:33.3%', 3, 0, 1),
        ):
            parsed = thresholds.parse(text).of(guests)
            self.assertTrue(parsed.alerts(alerts), text)
            self.assertFalse(parsed.alerts(silent), text)

    def test_a_range_of_rtts_is_one_of_durations(self) -> None:
        """A number without a unit is in seconds."""
        for text, alerts, silent in (
            ('2', 2.001, 2.0),
            ('100ms:2s', 0.05, 1),
            ('@1s:1m30s', 90, 91),
        ):
            parsed = thresholds.parse_rtt(text)
            self.assertTrue(parsed.alerts(alerts), text)
            self.assertFalse(parsed.alerts(silent), text)

    def test_any_other_text_is_not_a_range(self) -> None:
        """The parser accepts no text outside the guidelines."""
        broken = (
            *('', '@', ':', '@:', '~', 'x', '20:10', '1:2:3', '--1'),
            *('1e3', 'nan', 'inf', ' 5', '5 ', '5\n', '1_0', '٣', '5,5'),
            *('$ARG1$', '5|', "5'", '9' * 5000),
        )
        for parse, texts in (
            (thresholds.parse, ('%', '5%:20', '101%', '-5%', '5 %', '5%%')),
            (thresholds.parse_rtt, ('5%', '5x', '-1s', '1s:500ms', '99d')),
        ):
            for text in (*broken, *texts):
                error = self.assertRaises(
                    argparse.ArgumentTypeError, parse, text
                )
                self.assertIn('is not a range: ', str(error))


class MistakeTest(testtools.TestCase):
    def mistake(self, argv: str) -> str:
        """Return the end of the sentence of a check that is well."""
        said = report(up(), argv=argv).sentence
        return said.removeprefix('1 of 1 guests reachable')

    def test_the_line_names_a_warning_that_can_never_show(self) -> None:
        """Each number of guests that is a warning is critical, too."""
        for warning, critical in (
            *(('5', '2'), ('5', '5'), ('0', '0'), ('@3:5', '2')),
            *(('3:', '@0:2'), ('3:', '5:'), ('0.5', '0'), ('20%', '5%')),
            # No number of guests is in between.
            ('2', '2.9999'),
        ):
            self.assertEqual(
                f'; -w {warning} never shows, since -c {critical} comes first',
                self.mistake(f'-w={warning} -c={critical}'),
            )
        self.assertEqual(
            '; --rtt-warning 2 never shows, since --rtt-critical 500ms comes '
            'first',
            self.mistake('--rtt-warning=2 --rtt-critical=500ms'),
        )

    def test_a_warning_that_can_show_is_left_alone(self) -> None:
        """The same holds without a warning, and for one that never alerts."""
        for warning, critical in (
            *(('0', '5'), ('1', '@3:5'), ('@2:2', '2'), ('~:', '0')),
            *(('0', '~:'), ('@0:0', '0'), ('5:', '3:'), ('4', '@0:1000000')),
            # In a cloud of two guests both alert from the first bad guest on.
            *(('1%', '20%'), ('100%', '20%'), ('5.2%', '5.4%')),
            # The order of these two depends on the cloud.
            *(('20%', '0'), ('5', '1%')),
        ):
            self.assertEqual('', self.mistake(f'-w={warning} -c={critical}'))
        for argv in ('', '--rtt-warning=500ms --rtt-critical=2'):
            self.assertEqual('', self.mistake(argv))


class StateTest(testtools.TestCase):
    def test_a_state_follows_from_the_guests_and_the_thresholds(self) -> None:
        """Each row has options, guests (a letter each), and their state."""
        kinds = {'u': up(), 'd': DEAD, 'f': FAILED, 'l': LOST, 'n': NOT_ASKED}
        kinds['o'] = OFF
        for argv, guests, state in (
            # By default each bad or unknown guest counts.
            ('', 'u', thresholds.State.OK),
            ('', 'ud', thresholds.State.CRITICAL),
            ('', 'ul', thresholds.State.UNKNOWN),
            ('', 'uld', thresholds.State.CRITICAL),
            ('', 'lf', thresholds.State.CRITICAL),
            # A guest that is off counts only if nothing else is known.
            ('', 'uoo', thresholds.State.OK),
            ('', 'oo', thresholds.State.UNKNOWN),
            # Unreachable guests and those in error count together.
            ('-w=1 -c=3', 'uud', thresholds.State.OK),
            ('-w=1 -c=3', 'uudf', thresholds.State.WARNING),
            ('-w=1 -c=3', 'uudfdf', thresholds.State.CRITICAL),
            ('--unknown=3', 'uuuuuuuuuull', thresholds.State.OK),
            ('--unknown=3', 'uuuuuuuuulll', thresholds.State.UNKNOWN),
            ('--unknown=25%', 'uuuuuuuuuull', thresholds.State.OK),
            ('--unknown=25%', 'uuuuuuuuulll', thresholds.State.UNKNOWN),
            # 100 % are all guests that the check pings.
            ('-c=19%', 'uuddllllll', thresholds.State.CRITICAL),
            ('-c=20%', 'uuddllllll', thresholds.State.UNKNOWN),
            # A warning would also say that nothing is worse.
            ('-w=0 -c=1', 'uld', thresholds.State.UNKNOWN),
            ('-w=0 -c=1 --unknown=2', 'uld', thresholds.State.WARNING),
            # The tolerance does not apply to a check that was not made.
            ('--unknown=1000', 'un', thresholds.State.UNKNOWN),
            ('--unknown=1000', 'll', thresholds.State.UNKNOWN),
            # An alert for missing answers would blame the speed.
            ('-c=5 --rtt-critical=1s:', 'd', thresholds.State.OK),
        ):
            made = report(*[kinds[each] for each in guests], argv=argv)
            self.assertIs(state, made.state, f'{argv} {guests}')

    def test_slow_answers_raise_an_alert(self) -> None:
        """The 95th percentile of the round-trip times decides."""
        for slow, state in (
            (0.5, thresholds.State.OK),
            (0.6, thresholds.State.WARNING),
            (2.1, thresholds.State.CRITICAL),
        ):
            # One guest of 21 is beyond the percentile.
            results = [up()] * 18 + [up(rtt=slow)] * 2 + [up(rtt=9.0)]
            argv = '--rtt-warning=500ms --rtt-critical=2'
            made = report(*results, argv=argv)
            self.assertIs(state, made.state, str(slow))


class LineTest(testtools.TestCase):
    def test_the_sentence_counts_guests_and_reasons(self) -> None:
        """An early end of the sweep, and a slow answer, are explained."""
        for results, argv, sentence in (
            (
                (up(), up(1), DEAD, FAILED, DEAD, LOST),
                '',
                '2 of 6 guests reachable, 3 bad (2 agent-timeout, '
                '1 agent-error), 1 unknown (1 connection)',
            ),
            (
                (up(), LOST, NOT_ASKED),
                '',
                '1 of 3 guests reachable, 2 unknown (1 connection, '
                '1 not-asked): No time was left',
            ),
            (
                (up(rtt=2.31),),
                '--rtt-warning=500ms --rtt-critical=2',
                '1 of 1 guests reachable; RTT p95 2.3 s (--rtt-critical 2)',
            ),
        ):
            self.assertEqual(sentence, report(*results, argv=argv).sentence)

    def test_performance_data_have_counts_thresholds_and_seconds(self) -> None:
        """They follow the guidelines: fixed points, and seconds."""
        results = [up(n, rtt=n / 1000) for n in range(1, 101)]
        made = report(*results, DEAD, LOST, argv='-w=1: -c=@5:10')
        line = output.first_line(made.state, made.sentence, made.performance)
        self.assertEqual(
            'bad=1;1:;@5:10;0;102 unknown=1;;;0;102 error=0;;;0;102 '
            'unreachable=1;;;0;102 reachable=100;;;0;102 '
            'rtt_p50=0.050000s;;;0 rtt_p95=0.095000s;;;0 '
            'rtt_max=0.100000s;;;0 duration=6.400s;;;0',
            line.partition(' | ')[2],
        )
        performance(line)

    def test_thresholds_have_the_units_of_their_values(self) -> None:
        """A percentage becomes a number of guests, a duration seconds."""
        argv = '-w=5% -c=@10%:20% --rtt-warning=500ms --rtt-critical=@1m:'
        made = report(*[up(n) for n in range(63)], argv=argv)
        self.assertIn('bad=0;3.15;@6.3:12.6;0;63 ', made.performance)
        self.assertIn('rtt_p95=0.030000s;0.5;@60:;0 ', made.performance)
        self.assertIn('rtt_max=0.030000s;;;0 ', made.performance)

    def test_a_number_is_never_written_with_an_exponent(self) -> None:
        """Some monitoring systems cannot read an exponent."""
        made = report(up(rtt=0.0000004), up(1, rtt=123456789.0))
        self.assertNotRegex(made.performance, 'e[+-]')

    def test_without_a_reachable_guest_there_are_no_rtts(self) -> None:
        """A zero would be wrong."""
        self.assertNotIn('rtt', report(DEAD, LOST).performance)

    def test_verbosity_lists_guests(self) -> None:
        """-v lists bad guests, -vv unknown guests too, and -vvv all guests."""
        dead = dataclasses.replace(DEAD, request_id='req-1')
        made = report(up(), dead, LOST, FAILED, name='db')
        for verbosity, shown in enumerate(((), (1, 3), (1, 2, 3), range(4))):
            lines = made.guests(4)
            self.assertEqual(
                [lines[index] for index in shown], made.guests(verbosity)
            )
        self.assertEqual(
            [
                f'{uuid.UUID(int=0)} reachable: 30 ms "db"',
                f'{base.GUEST} unreachable: agent-timeout: "words" '
                '(request ID req-1) "db"',
                f'{base.GUEST} unknown: connection: "words" "db"',
            ],
            made.guests(3)[:3],
        )

    @hostile.settings(100)
    @hypothesis.given(strategies.text())
    def test_no_text_of_others_breaks_a_line(self, text: str) -> None:
        """Names, IDs, errors and request IDs are cleaned."""
        results = [
            verdicts.PingResult(
                instance_id=text,
                verdict=verdict,
                reason=reason,
                message=text,
                request_id=text,
            )
            for verdict, reason in (
                (verdicts.Verdict.ERROR, verdicts.Reason.AGENT_ERROR),
                (verdicts.Verdict.UNKNOWN, verdicts.Reason.API_ERROR),
            )
        ]
        made = report(*results, name=text, argv='-c=5')
        first = output.first_line(made.state, made.sentence, made.performance)
        performance(first)
        for line in (first.partition(' | ')[0], *made.guests(3)):
            self.assertTrue(line.isprintable(), repr(line))
            self.assertNotIn('|', line)


class TestCase(base.TestCase):
    """A test with clouds and a Trove of its own."""

    # Seconds by which the clock of the plugin is ahead.
    ahead = 0.0

    def setUp(self) -> None:
        super().setUp()
        # The process itself silences both: see ProcessTest.
        self.useFixture(fixtures.FakeLogger())
        self.useFixture(fixtures.WarningsCapture())
        # A login that hangs logs its failure when its server stops.
        self.addCleanup(self._wait_for_threads, set(threading.enumerate()))
        for name in list(os.environ):
            if name.startswith('OS_'):
                self.useFixture(fixtures.EnvironmentVariable(name))
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.write_clouds({})

    def write_clouds(self, content: Any) -> None:
        """Put clouds into the clouds.yaml of this test."""
        file = self.folder / 'clouds.yaml'
        # JSON is YAML.
        file.write_text(json.dumps({'clouds': content}))
        self.useFixture(
            fixtures.EnvironmentVariable('OS_CLIENT_CONFIG_FILE', str(file))
        )

    def options(self, url: str) -> list[str]:
        """Return the options for a Trove without a Keystone."""
        return [
            *('--os-auth-type', 'admin_token', '--os-token', 'secret'),
            *('--os-endpoint', url),
        ]

    def check(self, *argv: str) -> tuple[int, list[str]]:
        """Run the plugin in this process; return its status and its lines."""
        check = timed_check.Check(argv, self.clock(), self.clock)
        return check.outcome()

    def clock(self) -> float:
        return time.monotonic() + self.ahead

    def serve_until_too_late(self) -> base.Server:
        """Start a server that never answers; an hour passes at a request."""

        def answer(request: base.Request) -> None:
            self.ahead += 3600.0
            server.done.wait()

        server = self.serve(answer)
        return server

    def trove(self, **guests: replies.Reply) -> fixture.Trove:
        """Start a Trove with guests of these names and answers."""
        cloud = self.enterContext(fixture.Trove())
        for number, (name, answer) in enumerate(guests.items()):
            guest = inventory.Instance(
                id=str(uuid.UUID(int=number)),
                name=name,
                project_id=base.PROJECT,
                datastore='mysql 8.0',
                status='ACTIVE',
            )
            cloud.add(guest, answer)
        return cloud

    def check_trove(
        self, cloud: fixture.Trove, *argv: str
    ) -> tuple[int, list[str]]:
        """Run the plugin against a Trove."""
        return self.check(*self.options(cloud.url), *argv)

    def one_and_silence(self, reply: replies.Reply) -> fixture.Trove:
        """Start a Trove that answers pings of one guest only."""
        cloud = self.trove()
        cloud.add(base.GUEST, reply)
        cloud.add(base.OTHER, fixture.silence())
        cloud.listing = fixture.silence()
        return cloud

    def assert_unknown(self, words: str, *argv: str) -> None:
        """Run the plugin, and expect one line that says why."""
        status, lines = self.check(*argv)
        self.assertEqual(3, status)
        (line,) = lines
        self.assertRegex(line, f'^TROVE GUEST RPC UNKNOWN - .*{words}')
        self.assertTrue(line.isprintable(), repr(line))
        self.assertNotIn('|', line)


class CheckTest(TestCase):
    def test_a_dead_guest_is_critical(self) -> None:
        """The exit status is 2, and -v names the guest."""
        status, lines = self.check_trove(
            self.trove(a=UP, b=SILENT), 'a', 'b', '-v'
        )
        self.assertEqual(2, status)
        self.assertTrue(
            lines[0].startswith(
                'TROVE GUEST RPC CRITICAL - 1 of 2 guests reachable, 1 bad'
            )
        )
        self.assertEqual('1', performance(lines[0])['bad']['value'])
        self.assertEqual(2, len(lines))
        self.assertRegex(lines[1], r'\A\S+ unreachable: .* "b"\Z')

    def test_guests_can_be_read_from_a_file(self) -> None:
        """The file has their names; without any, the check pings no guest."""
        file = self.folder / 'guests'
        for text, expected, said in (
            ('b  # the second\n', 0, '1 of 1 guests reachable'),
            ('# none\n', 3, 'guests names no instance'),
        ):
            file.write_text(text)
            status, lines = self.check_trove(
                self.trove(a=SILENT, b=UP), '--from-file', str(file)
            )
            self.assertEqual(expected, status)
            self.assertIn(said, lines[0])

    def test_results_before_the_deadline_count(self) -> None:
        """A guest in error is critical; one timeout proves nothing."""
        for reply, seconds, expected, said in (
            (
                BROKEN,
                TIME,
                2,
                'CRITICAL - 0 of 2 guests reachable, 1 bad (1 agent-error), '
                '1 unknown (1 timeout) |',
            ),
            (SILENT, '4', 3, 'UNKNOWN - 0 of 2 guests reachable, 2 unknown ('),
        ):
            cloud = self.one_and_silence(reply)
            argv = (base.GUEST, base.OTHER, '-t', seconds, '-vv')
            status, lines = self.check_trove(cloud, *argv)
            self.assertIn(said, lines[0])
            self.assertEqual((expected, 3), (status, len(lines)))


class UnknownTest(TestCase):
    """Every way to fail is UNKNOWN: exit status 3, and a line."""

    def test_wrong_usage_is_unknown(self) -> None:
        """argparse's own exit status would be CRITICAL."""
        for argv in (
            (),
            ('--bogus', 'x'),
            ('--all', 'x'),
            ('--project', 'p', 'x'),
            ('x', '-c', '5:1'),
            ('x', '--unknown', '0%'),
            ('x', '--rtt-warning', '2x'),
            ('x', '-c'),
            # An empty value would choose other guests, or other limits.
            ('x', '-c', ''),
            ('x', '-w', ''),
            ('x', '-t', ''),
            ('x', '--timeout', ''),
            ('x', '--from-file', ''),
            ('x', '-t', '0'),
            ('x', '--timeout', 'nan'),
            ('x', '--os-cloud'),
            ('x', '--os-auth-type'),
            ('--al',),
        ):
            self.assert_unknown(r'\(see --help\)$', *argv)
        self.assert_unknown('unrecognized arguments: --bogus', '--bogus')

    def test_help_and_version_are_unknown(self) -> None:
        """A run that only shows them has checked nothing."""
        for option in ('-h', '--help', '-V', '--version'):
            status, lines = self.check(option)
            self.assertEqual(3, status)
            self.assertIn('check_trove_guest_rpc', lines[0])

    def test_an_unforeseen_exception_is_unknown(self) -> None:
        """The error is one line; -vvv prints the traceback below it."""
        auth = {'auth_url': 'http://x', 'username': 'x', 'password': 'x'}
        self.write_clouds({'x': {'auth': auth, 'api_timeout': 'x'}})
        argv = ('--os-cloud', 'x', '--all')
        self.assert_unknown('failed: [A-Za-z]+Error: ', *argv, '-vv')
        status, lines = self.check(*argv, '-vvv')
        self.assertEqual(3, status)
        self.assertEqual('Traceback (most recent call last):', lines[1])

    def test_a_keystone_that_is_gone_is_unknown(self) -> None:
        """Neither the line nor a traceback has the password of a URL."""
        server = self.serve(base.PONG)
        server.stop()
        url = server.url.replace('://', '://joe:secret@')
        status, lines = self.check(
            *('--os-auth-url', url, '--os-username', 'x', base.GUEST, '-vvv'),
            *('--os-password', 'hunter2', '--os-project-name', 'x'),
        )
        self.assertEqual(3, status)
        self.assertIn(
            f'logging in failed: Keystone at {server.url} cannot be reached: '
            'Connection refused. Check that Keystone runs, ',
            lines[0],
        )
        self.assertEqual('Traceback (most recent call last):', lines[1])
        for line in lines:
            self.assertNotIn('secret', line)
            self.assertNotIn('hunter2', line)

    def test_a_server_that_hangs_ends_with_the_deadline(self) -> None:
        """The line says which stage took too long."""
        keystone, api = (self.serve_until_too_late() for _ in range(2))
        for stage, argv in (
            (
                'logging in',
                (
                    *('--os-auth-url', keystone.url, '--os-username', 'x'),
                    *('--os-password', 'x', '--os-project-name', 'x'),
                    base.GUEST,
                ),
            ),
            ('choosing the guests', (*self.options(api.url), '--all')),
        ):
            self.assert_unknown(
                f'the time of 1 min was up while {stage}$', *argv, '-t', '60'
            )

    def test_a_disk_that_hangs_ends_with_the_deadline(self) -> None:
        """The deadline counts before clouds.yaml is read. A FIFO hangs."""
        fifo = self.folder / 'fifo'
        os.mkfifo(fifo)
        # Let the thread of the check end.
        self.addCleanup(
            lambda: os.close(os.open(fifo, os.O_RDWR | os.O_NONBLOCK))
        )
        self.useFixture(
            fixtures.EnvironmentVariable('OS_CLIENT_CONFIG_FILE', str(fifo))
        )
        self.assert_unknown(
            'the time of 200 ms was up while reading the options$',
            *('--all', '-t', '0.2'),
        )

    def test_a_listing_without_a_fitting_guest_is_unknown(self) -> None:
        """The words of a listing forge neither a line nor a value."""
        broken = self.trove()
        broken.listing = fixture.fault(404, 'x', 'a | bad=0\n\x1b[31mb')
        for cloud, argv, words in (
            (self.trove(a=UP), ('--status', 'ERROR'), 'No instance fits'),
            (self.trove(a=UP), ('--datastore', 'redis'), 'No instance fits'),
            (self.trove(), (), 'There is no instance in this cloud'),
            (broken, (), r'a ¦ bad=0\.$'),
        ):
            options = self.options(cloud.url)
            self.assert_unknown(words, *options, '--all', *argv)

    def test_a_name_that_a_tenant_takes_costs_only_itself(self) -> None:
        """That name is unknown, and a dead guest stays critical."""
        cloud = self.trove()
        for id_, name in (('1', 'a'), ('2', 'a'), ('3', 'b')):
            cloud.add(inventory.Instance(id=id_, name=name), BROKEN)
        status, lines = self.check_trove(cloud, 'a', 'b', '-vv')
        self.assertEqual(2, status)
        self.assertIn('1 bad (1 agent-error), 1 unknown', lines[0])
        self.assertEqual(
            r'- unknown: not-found: "2 instances are named \"a\": 1, 2. Ask '
            'for one of them by its ID." "a"',
            lines[1],
        )
        self.assertEqual({'3'}, set(cloud.pinged))


class CloudTest(TestCase):
    """The usual options, the environment and clouds.yaml have their effect."""

    def choose(self, *argv: str) -> clouds.Cloud:
        cloud = clouds.Cloud(argv)
        parser = argparse.ArgumentParser()
        cloud.add_options(parser)
        cloud.choose(parser.parse_args(argv))
        return cloud

    def set(self, name: str, value: str) -> None:
        self.useFixture(fixtures.EnvironmentVariable(name, value))

    def write_cloud(self, **settings: Any) -> None:
        auth = {'auth_url': 'http://keystone', 'username': 'x'}
        self.write_clouds({'a': {'auth': auth, **settings}})

    def test_settings_in_clouds_yaml_are_not_overridden(self) -> None:
        """Defaults of options do not replace them."""
        self.write_cloud(
            insecure=True, interface='internal', region_name='North'
        )
        region = self.choose('--os-cloud', 'a').region
        self.assertIs(False, region.get_session().verify)
        self.assertEqual('internal', region.get_interface('database'))
        self.assertEqual('North', region.get_region_name('database'))

    def test_options_override_clouds_yaml(self) -> None:
        """Those of the login replace only the settings under auth."""
        self.write_cloud(interface='internal', cacert='/a', cert='/b')
        cloud = ('--os-cloud', 'a')
        region = self.choose(
            *(*cloud, '--os-interface', 'admin', '--os-cacert', '/ca'),
            *('--os-region-name', 'South', '--os-username', 'y'),
            *('--os-cert', '/cert', '--os-key', '/key'),
        ).region
        session = region.get_session()
        self.assertEqual('admin', region.get_interface('database'))
        self.assertEqual('South', region.get_region_name('database'))
        self.assertEqual('/ca', session.verify)
        self.assertEqual(('/cert', '/key'), session.cert)
        auth = region.config['auth']
        self.assertEqual(
            ('http://keystone', 'y'), (auth['auth_url'], auth['username'])
        )
        insecure = self.choose(*cloud, '--insecure').region
        self.assertIs(False, insecure.get_session().verify)
        self.write_cloud()
        self.assertIs(True, self.choose(*cloud).region.get_session().verify)

    def test_the_environment_is_read(self) -> None:
        """OS_CLOUD works, and so does a cloud of variables alone."""
        self.write_cloud(interface='internal')
        self.set('OS_CLOUD', 'a')
        self.assertEqual(
            'internal', self.choose().region.get_interface('database')
        )
        self.set('OS_CLOUD', 'envvars')
        self.set('OS_AUTH_URL', 'http://elsewhere')
        self.set('OS_USERNAME', 'x')
        self.set('OS_INTERFACE', 'admin')
        region = self.choose().region
        self.assertEqual('admin', region.get_interface('database'))
        self.assertEqual('http://elsewhere', region.config['auth']['auth_url'])

    def test_the_kind_of_login_brings_its_own_options(self) -> None:
        """A cloud or an option may choose the kind."""
        self.write_clouds({'a': {'auth_type': 'admin_token'}})
        for argv in (('--os-cloud', 'a'), ('--os-auth-type', 'admin_token')):
            cloud = self.choose(
                *argv, '--os-token', 'secret', '--os-endpoint', 'http://x/'
            )
            self.assertEqual('http://x', cloud.client().client.management_url)

    def test_an_empty_variable_is_not_set(self) -> None:
        """A script without a value leaves it empty."""
        options = self.options(self.serve(base.PONG).url)
        for name in ('CLOUD', 'AUTH_TYPE', 'AUTH_URL', 'REGION_NAME', 'KEY'):
            self.set(f'OS_{name}', '')
        for argv in (
            ('--os-cloud', '', '--os-region-name', '', '--os-cacert='),
            ('--os-interface=', '--os-cert', '', '--os-key', ''),
        ):
            status, lines = self.check(*options, base.GUEST, *argv)
            self.assertEqual(0, status, str(lines))
        for empty in (['--os-auth-type', ''], ['--os-auth-type='], []):
            status, (line,) = self.check(base.GUEST, *empty)
            self.assertEqual(3, status)
            self.assertIn('there are no credentials. Name a cloud', line)

    def test_a_missing_file_of_guests_is_not_a_failed_login(self) -> None:
        """The credentials may come from the environment alone."""
        for name in ('AUTH_URL', 'USERNAME', 'PASSWORD', 'PROJECT_NAME'):
            self.set(f'OS_{name}', 'http://keystone')
        for argv in (('--from-file',), ('--all', '--exclude')):
            status, (line,) = self.check(*argv, '/nosuch')
            self.assertEqual(3, status)
            self.assertNotIn('credentials', line)
            self.assertIn('/nosuch', line)

    def not_found(self) -> str:
        """Return the reason why a cloud was not found."""
        status, (line,) = self.check('--os-cloud', 'nosuch', base.GUEST)
        self.assertEqual(3, status)
        _, colon, said = line.partition('Cloud nosuch was not found: ')
        self.assertTrue(colon, line)
        return said

    def test_a_file_that_this_user_cannot_read_is_named(self) -> None:
        """openstacksdk passes it over in silence; a folder is named once."""
        self.write_cloud()
        self.set('OS_CLIENT_SECURE_FILE', str(self.folder / 'secure.yaml'))
        file = self.folder / 'clouds.yaml'
        self.addCleanup(self.folder.chmod, 0o700)
        for path, mode, said in (
            (file, 0o755, rf'.*cannot read {file} \(Permission denied\)'),
            (self.folder, 0, f'cannot search {self.folder}'),
        ):
            path.chmod(0)
            self.folder.chmod(mode)
            if not os.geteuid():
                # Root can read and search everything.
                os.seteuid(12345)
                self.addCleanup(os.seteuid, 0)
            with testtools.ExpectedException(
                sdk_exceptions.ConfigException,
                f'Cloud a was not found: {said}(;|$)',
            ):
                self.choose('--os-cloud', 'a')
            if not os.getuid():
                os.seteuid(0)

    def test_the_file_without_the_cloud_is_named(self) -> None:
        """The file may have other clouds, be broken, or be missing."""
        file = self.folder / 'clouds.yaml'
        self.write_clouds({'north': {}, 'south': {}})
        self.assertEqual(f'{file} has north, south', self.not_found())
        file.write_text('{')
        for argv, said in (
            (('--os-cloud', 'nosuch'), 'nosuch was not found: '),
            ((), 'no credentials.*; '),
        ):
            _, (line,) = self.check(base.GUEST, *argv)
            # Old versions of openstacksdk raise the error of the parser.
            self.assertRegex(
                line, f'{said}{file} is not YAML|ParserError.*{file}'
            )
        # A wrong indentation, or a key without a value.
        for text in ('clouds:', 'clouds: {nosuch: }', 'clouds: x'):
            file.write_text(text)
            self.assert_unknown(
                f'{file} is not as clouds.yaml should be: ',
                *('--os-cloud', 'nosuch', base.GUEST),
            )
        file.write_text('clouds: {1: {}}')
        self.assertEqual(f'{file} has 1', self.not_found())
        file.unlink()
        self.assertIn(f'there is no file {file}', self.not_found())

    def test_a_cloud_without_a_file_is_not_found(self) -> None:
        """openstacksdk would ignore OS_CLOUD."""
        self.set('OS_CLIENT_CONFIG_FILE', '')
        config = sdk_config.OpenStackConfig(
            config_files=['/nosuch/clouds.yaml']
        )
        if list(config.get_cloud_names()) != ['defaults']:
            self.skipTest('this machine has a clouds.yaml of its own')
        self.assertIn('there is no clouds.yaml in ', self.not_found())


class ProcessTest(TestCase):
    """The process, and how it ends."""

    def start(
        self,
        *argv: str,
        program: tuple[str, ...] = PROGRAM,
        stdout: int | IO[str] = subprocess.PIPE,
        **variables: str,
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*program, *argv],
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Wait for the end of a process that writes nothing on stderr.

        Icinga would show it.
        """
        stdout, stderr = process.communicate(timeout=120)
        self.assertEqual('', stderr)
        return process.returncode, stdout

    def start_pinging(
        self,
        *argv: str,
        program: tuple[str, ...] = PROGRAM,
        reply: replies.Reply = UP,
    ) -> subprocess.Popen[str]:
        """Start the plugin, and wait until one of two guests has answered."""
        server = self.one_and_silence(reply)
        process = self.start(
            *self.options(server.url),
            *('--concurrency', '1', base.GUEST, base.OTHER),
            *argv,
            program=program,
        )
        # The second guest is pinged when the first has answered.
        while len(server.requests) < 2:
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        return process

    def test_each_signal_that_would_kill_it_ends_it_with_its_line(
        self,
    ) -> None:
        """The line names the signal and the results; the status is 3."""
        # The next test checks that all the others are handled alike.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGRTMIN):
            process = self.start_pinging('-vv', '--unknown', '9')
            process.send_signal(number)
            status, stdout = self.finish(process)
            self.assertEqual(3, status, number.name)
            self.assertRegex(
                stdout,
                rf'(?s)\ATROVE GUEST RPC UNKNOWN - ended by {number.name} '
                r'while pinging; 1 of 2 guests reachable, '
                r'1 unknown \(1 not-asked\): .* \| bad=0;.*\n'
                r'.* "The sweep was cancelled before an answer came"\n\Z',
            )

    def test_a_signal_does_not_hide_a_guest_in_error(self) -> None:
        """A sweep holds such a result back until its end."""
        process = self.start_pinging(reply=BROKEN)
        process.send_signal(signal.SIGTERM)
        self.assertIn(
            '0 of 2 guests reachable, 1 bad (1 agent-error), '
            '1 unknown (1 not-asked)',
            self.finish(process)[1],
        )

    def test_no_signal_is_forgotten(self) -> None:
        """Signals that end no process, and faults, keep their handlers."""
        program = (
            'import signal\n'
            'from troveclient_rpcping.plugin import main\n'
            'main._handle_signals_by(main._end)\n'
            'print(*(signal.Signals(each).name\n'
            '    for each in sorted(signal.valid_signals())\n'
            '    if signal.getsignal(each) is not main._end\n'
            '    and each <= signal.SIGSYS))\n'
        )
        process = self.start(program=(sys.executable, '-c', program))
        self.assertEqual(
            # Python ignores SIGPIPE and SIGXFSZ.
            'SIGILL SIGBUS SIGFPE SIGKILL SIGSEGV SIGPIPE SIGCHLD SIGCONT '
            'SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXFSZ SIGWINCH\n',
            self.finish(process)[1],
        )

    def test_a_signal_may_come_twice(self) -> None:
        """``timeout`` signals the process, and then its process group."""
        process = self.start_pinging()
        for _ in range(20):
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGHUP)
        status, stdout = self.finish(process)
        self.assertEqual(3, status)
        self.assertRegex(stdout, r'\A.* ended by SIG(TERM|HUP) while .*\n\Z')

    def test_a_second_signal_ends_it_if_its_output_is_blocked(self) -> None:
        """The plugin cannot print its line after the first signal."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(writer, bytes(4096)):
                pass
        os.set_blocking(writer, True)
        with os.fdopen(writer, 'w') as full:
            server = self.serve(base.PONG)
            process = self.start(
                *(*self.options(server.url), base.GUEST), stdout=full
            )
        while not server.requests:
            time.sleep(0.01)
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        self.assertEqual(3, process.returncode)

    def test_a_signal_that_its_caller_ignores_does_not_end_it(self) -> None:
        """``nohup`` makes its command ignore SIGHUP."""
        process = self.start_pinging(
            program=('sh', '-c', 'trap "" HUP; exec "$@"', 'sh', *PROGRAM)
        )
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        self.assertIn('ended by SIGTERM', self.finish(process)[1])

    def test_a_signal_before_the_check_begins_ends_it_with_a_line(
        self,
    ) -> None:
        """The line names the signal alone."""
        program = (
            *PROGRAM[:2],
            'import signal, sys\n'
            'class Finder:\n'
            '    def find_spec(self, name, *rest):\n'
            '        if name == "troveclient_rpcping.plugin.timed_check":\n'
            '            signal.raise_signal(signal.SIGTERM)\n'
            'sys.meta_path.insert(0, Finder())\n'
            f'{PROGRAM[2]}',
        )
        self.assertEqual(
            (3, 'TROVE GUEST RPC UNKNOWN - ended by SIGTERM while starting\n'),
            self.finish(self.start(program=program)),
        )

    def test_the_exit_status_is_that_of_the_check(self) -> None:
        """0 is OK, 1 a warning, 2 critical, and 3 unknown."""
        for answer, argv, expected in (
            (base.PONG, (), 0),
            (base.DEAD, ('-w', '0', '-c', '1'), 1),
            (base.DEAD, (), 2),
            (NOT_READY, (), 3),
        ):
            server = self.serve(answer)
            process = self.start(*self.options(server.url), base.GUEST, *argv)
            status, stdout = self.finish(process)
            self.assertEqual(expected, status)
            self.assertEqual(1, stdout.count('\n'))

    def test_libraries_print_nothing(self) -> None:
        """Logs of keystoneauth and warnings of openstacksdk are silent."""
        process = self.start(
            *('--os-auth-url', 'http://127.0.0.1:1', '--os-project-name', 'x'),
            *('--os-username', 'x', '--os-password', 'x', base.GUEST),
            *('--os-cacert', '/a', '--insecure'),
        )
        status, stdout = self.finish(process)
        self.assertEqual((3, 1), (status, stdout.count('\n')))

    def test_an_output_without_a_reader_is_unknown(self) -> None:
        """The output may be closed at the start, closed later, or full."""
        options = [*self.options(self.serve(base.PONG).url), base.GUEST]
        closed = ('sh', '-c', 'exec "$@" >&-', 'sh', *PROGRAM)
        process = self.start(*options, program=closed)
        self.assertEqual(3, self.finish(process)[0])
        reader, writer = os.pipe()
        os.close(reader)
        for file in (writer, '/dev/full'):
            with open(file, 'w') as stream:
                process = self.start(*options, stdout=stream)
                self.assertEqual(3, self.finish(process)[0])

    def test_a_broken_installation_is_unknown(self) -> None:
        """A module may be missing early or late."""
        server = self.serve(base.PONG)
        for module in ('openstack', 'troveclient', 'pycurl'):
            program = (
                *PROGRAM[:2],
                f'import sys; sys.modules[{module!r}] = None; {PROGRAM[2]}',
            )
            process = self.start(
                *self.options(server.url), base.GUEST, program=program
            )
            status, stdout = self.finish(process)
            self.assertEqual(3, status)
            self.assertRegex(
                stdout, rf'\ATROVE GUEST RPC UNKNOWN - .*{module}.*\n\Z'
            )

    def test_a_name_is_printed_in_every_encoding(self) -> None:
        """Letters that the encoding lacks are escaped."""
        server = self.trove(**{'db-🐘': UP})
        process = self.start(
            *(*self.options(server.url), '--all', '-vvv'),
            PYTHONIOENCODING='ascii',
        )
        status, stdout = self.finish(process)
        self.assertEqual(0, status)
        self.assertIn('db-\\U0001f418', stdout)
