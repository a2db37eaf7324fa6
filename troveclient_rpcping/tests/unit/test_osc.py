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

"""What the commands are made of, without a server."""

import argparse
import dataclasses
import io

from hypothesis import given
from hypothesis import strategies as st
import testtools

from troveclient_rpcping import durations
from troveclient_rpcping.cli import arguments
from troveclient_rpcping.inventory import Instance
from troveclient_rpcping.osc import exits
from troveclient_rpcping.osc import report
from troveclient_rpcping.osc import rows
from troveclient_rpcping.outcomes.outcome import Outcome
from troveclient_rpcping.outcomes.outcome import Series
from troveclient_rpcping.outcomes.outcome import Summary
from troveclient_rpcping.outcomes.outcome import Target
from troveclient_rpcping.reply import Reply
from troveclient_rpcping.tests import base
from troveclient_rpcping.tests import hostile
from troveclient_rpcping.tests.base import GUEST
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict


def result(
    verdict: Verdict,
    reason: Reason | None = None,
    message: str = '',
    rtt: float | None = None,
    request_id: str | None = None,
) -> PingResult:
    return PingResult(
        instance_id=GUEST,
        verdict=verdict,
        reason=reason,
        message=message,
        rtt=rtt,
        request_id=request_id,
    )


UP = result(Verdict.REACHABLE, rtt=0.03)
DEAD = result(Verdict.UNREACHABLE, Reason.AGENT_TIMEOUT, 'Timeout', 15.0)
FAILED = result(Verdict.ERROR, Reason.AGENT_ERROR, 'disk is full', 0.1)
LOST = result(Verdict.UNKNOWN, Reason.CONNECTION, 'refused')
ON_BUS = result(Verdict.UNKNOWN, Reason.MESSAGE_BUS, 'Half of all are lost')


def series(*results: PingResult) -> Series:
    found = Series()
    for each in results:
        found.add(each)
    return found


def detail(result: PingResult, pings: Series) -> str:
    return report.detail(Outcome(Target(GUEST), result, pings))


def sentence(target: Target, result: PingResult, pings: Series) -> str:
    return report.sentence(Outcome(target, result, pings))


def status_of(*verdicts: Verdict) -> int:
    return exits.of(Summary.of(map(result, verdicts)))


class ExitStatusTest(testtools.TestCase):
    def test_the_exit_status_is_a_contract(self) -> None:
        """A bad guest outweighs an unknown one."""
        up, dead = Verdict.REACHABLE, Verdict.UNREACHABLE
        error, unknown = Verdict.ERROR, Verdict.UNKNOWN
        for verdicts, status in (
            ({up}, 0),
            ({up, dead}, 3),
            ({up, error}, 3),
            ({dead}, 3),
            ({error}, 3),
            ({up, unknown}, 1),
            ({unknown}, 1),
            ({unknown, dead, up}, 3),
            ({unknown, error}, 3),
            (set(), 0),
        ):
            self.assertEqual(status, status_of(*verdicts), str(verdicts))

    def test_the_numbers_are_those_of_the_documentation(self) -> None:
        """Runbooks depend on these numbers."""
        self.assertEqual(
            (0, 1, 2, 3, 130, 143),
            (
                exits.ALL_REACHABLE,
                exits.UNKNOWN,
                exits.USAGE,
                exits.BAD_GUESTS,
                exits.INTERRUPTED,
                exits.TERMINATED,
            ),
        )


class DurationsTest(testtools.TestCase):
    def test_durations_read_well(self) -> None:
        """Each one has a unit that suits it, and none is 60 s."""
        for seconds, text in {
            0.0: '0.0 ms',
            0.00034: '0.3 ms',
            0.031: '31 ms',
            0.9994: '999 ms',
            0.9996: '1.0 s',
            1.53: '1.5 s',
            59.94: '59.9 s',
            59.96: '1 min',
            250: '4 min 10 s',
            3600: '1 h',
            11520: '3 h 12 min',
        }.items():
            self.assertEqual(text, durations.human(seconds))

    def test_people_write_durations_with_or_without_units(self) -> None:
        """A number alone is in seconds; parts with units add up."""
        for text, seconds in {
            '90': 90.0,
            '1.5': 1.5,
            '500ms': 0.5,
            '1.1ms': 0.0011,
            '5m': 300.0,
            '1h30m': 5400.0,
            '1.5h': 5400.0,
            '2d3h4m5s6ms': 183_845.006,
        }.items():
            self.assertEqual(seconds, durations.parse(text))

    def test_a_text_that_can_be_misread_is_not_a_duration(self) -> None:
        """No unit is guessed, repeated, or out of order."""
        for text in (
            *('', 'm', '5M', '5mins', '5x', '-5m', '1h30', '30m1h', '5m5m'),
            *('1e3', 'nan', 'inf', '1_0', '٣', '5,5', ' 5', '5 ', '5m\n'),
            '1' * 41,
        ):
            self.assertRaises(ValueError, durations.parse, text)

    @hostile.settings(100)
    @given(st.floats(0, 1_000_000))
    def test_what_is_printed_can_be_given_again(self, seconds: float) -> None:
        """Both formats lose digits, but never the size of a duration."""
        for form in (durations.human, durations.compact):
            read = durations.parse(form(seconds))
            self.assertEqual(form(read), form(seconds))


class ArgumentsTest(testtools.TestCase):
    def test_a_duration_is_positive(self) -> None:
        """The message for any other text says what to give."""
        self.assertEqual(0.5, arguments.seconds('500ms'))
        for text in ('0', '0ms', '-1', '300h', 'x', ''):
            error = self.assertRaises(
                argparse.ArgumentTypeError, arguments.seconds, text
            )
            self.assertEqual(
                f'"{text}" is not a duration from 0.001 to 1000000 seconds: '
                'give seconds, or units, as in 90, 500ms, 5m or 1h30m',
                str(error),
            )

    def test_a_name_is_trimmed_and_never_empty(self) -> None:
        """An empty name is a variable of a script that was not set."""
        parser = argparse.ArgumentParser(exit_on_error=False)
        arguments.add_targets(parser)
        parsed = parser.parse_args([' db 1\n', '--project', ' web '])
        self.assertEqual(['db 1'], parsed.instances)
        self.assertEqual(['web'], parsed.project)
        for text in ('', ' ', '\t\n'):
            for argv in (
                [text],
                ['db-1', text],
                ['--all', '--project', text],
                ['--all', '--datastore', text],
                ['--all', '--status', text],
            ):
                error = self.assertRaises(
                    argparse.ArgumentError, parser.parse_args, argv
                )
                self.assertIn('is not a name: give', str(error))

    def test_a_wait_that_swallows_an_instance_says_so(self) -> None:
        """The duration behind --wait is optional."""
        self.assertEqual(120.0, arguments.wait_seconds('2m'))
        error = self.assertRaises(
            argparse.ArgumentTypeError, arguments.wait_seconds, 'db-1'
        )
        self.assertIn('an instance goes before --wait', str(error))

    def test_options_that_do_not_go_together_are_refused(self) -> None:
        """Each option of repetition needs its partner."""
        nothing = {
            'count': None,
            'wait': None,
            'stable': None,
            'interval': None,
        }
        for options, words in (
            ({'count': 2, 'wait': 1.0}, 'exclude each other'),
            ({'stable': 2}, '--stable goes with --wait'),
            ({'stable': 2, 'count': 2}, '--stable goes with --wait'),
            ({'interval': 2.0}, '--interval goes with'),
            ({'interval': 2.0, 'count': 1}, None),
            ({'interval': 2.0, 'wait': 1.0, 'stable': 2}, None),
            ({}, None),
        ):
            mistake = arguments.mistake_in_repetition(
                argparse.Namespace(**{**nothing, **options})
            )
            if words is None:
                self.assertIsNone(mistake)
            else:
                self.assertIn(words, mistake or '')


class RowsTest(testtools.TestCase):
    def row(
        self, result: PingResult, formatter: str = 'table', long: bool = False
    ) -> tuple[object, ...]:
        instance = Instance(GUEST, 'db-1', 'p', 'mysql 8.0', 'ACTIVE', None)
        target = Target(GUEST, 'db-1', instance)
        return rows.row(
            base.outcome(target, result),
            formatter=formatter,
            columns=rows.LONG_COLUMNS if long else rows.COLUMNS,
        )

    def test_a_dead_guest_shows_in_its_row(self) -> None:
        """The row has the verdict, the detail and an RTT for people."""
        row = self.row(DEAD)
        self.assertEqual(
            (GUEST, 'db-1', 'unreachable', '15.0 s', 'Timeout'),
            tuple(str(cell) for cell in row),
        )

    def test_machines_get_the_rtt_as_a_number(self) -> None:
        """It is in seconds; a missing one is null or empty."""
        for formatter in ('json', 'yaml', 'csv'):
            self.assertEqual(0.03, self.row(UP, formatter)[3])
            self.assertIsNone(self.row(LOST, formatter)[3])

    def test_the_value_formatter_gets_no_none(self) -> None:
        """It would print a None."""
        for result, expected in ((UP, 0.03), (LOST, '')):
            cell = self.row(result, 'value')[3]
            assert isinstance(cell, rows.Seconds)
            self.assertEqual(expected, cell.machine_readable())

    def test_no_text_is_ever_none(self) -> None:
        """A missing text is empty."""
        cells = self.row(LOST, 'json', long=True)
        self.assertEqual(len(rows.LONG_COLUMNS), len(cells))
        # The round-trip times are numbers, or null.
        self.assertEqual(
            ['RTT', 'RTT Min', 'RTT Avg', 'RTT Max'],
            [
                name
                for name, cell in zip(rows.LONG_COLUMNS, cells, strict=True)
                if cell is None
            ],
        )
        unnamed = rows.row(
            Outcome(Target(None, None), LOST, Series()),
            formatter='json',
            columns=rows.LONG_COLUMNS,
        )
        self.assertEqual(4, unnamed.count(None))

    def test_rtts_sort_with_none_last(self) -> None:
        """cliff could not compare a None with a number."""
        cells = [rows.Seconds(value) for value in (None, 2.0, 0.5)]
        self.assertEqual(
            ['500 ms', '2.0 s', ''], [str(cell) for cell in sorted(cells)]
        )

    def test_verdicts_sort_with_the_worst_last(self) -> None:
        """The worst rows then stand next to the prompt."""
        cells = sorted(rows.Grade(str(verdict)) for verdict in Verdict)
        self.assertEqual(
            ['reachable', 'unknown', 'error', 'unreachable'],
            [cell.machine_readable() for cell in cells],
        )

    def test_every_cell_is_one_clean_line(self) -> None:
        """Texts of guests, tenants and servers are cleaned."""
        evil = '\x1b[31m\x07evil\n\u202e\t'
        instance = Instance(evil, evil, evil, evil, evil, evil)
        reply = Reply(400, {'x-openstack-request-id': evil})
        bad = result(
            *(Verdict.ERROR, Reason.AGENT_ERROR, evil),
            request_id=reply.request_id,
        )
        cells = rows.row(
            base.outcome(Target(evil, evil, instance), bad),
            formatter='json',
            columns=rows.LONG_COLUMNS,
        )
        for cell in cells:
            self.assertTrue(str(cell).isprintable(), repr(cell))

    def test_several_pings_have_their_times_and_losses(self) -> None:
        """The RTTs are those of pings received; the detail has the loss."""
        pings = series(UP, DEAD, result(Verdict.REACHABLE, rtt=0.05))
        cells = dict(
            zip(
                rows.LONG_COLUMNS,
                rows.row(
                    Outcome(Target(GUEST), DEAD, pings),
                    formatter='json',
                    columns=rows.LONG_COLUMNS,
                ),
                strict=True,
            )
        )
        self.assertEqual((3, 2), (cells['Sent'], cells['Received']))
        self.assertEqual(
            [0.03, 0.04, 0.05],
            [cells[f'RTT {which}'] for which in ('Min', 'Avg', 'Max')],
        )
        self.assertEqual('1 of 3 pings lost: Timeout', cells['Detail'])

    def test_a_guest_that_was_waited_for_has_no_loss(self) -> None:
        """The pings before its answer are the wait itself."""
        pings = series(DEAD, UP)
        self.assertEqual('1 of 2 pings lost', detail(UP, pings))
        pings.stable = 1
        self.assertEqual('', detail(UP, pings))

    def test_a_ping_that_was_answered_with_an_error_is_not_lost(self) -> None:
        """It failed, and the detail says so."""
        failed = dataclasses.replace(
            result(Verdict.ERROR, Reason.AGENT_ERROR, 'disk is full'),
            http_status=400,
        )
        for pings, expected in (
            (series(failed, failed), '2 of 2 pings failed: disk is full'),
            (series(UP, failed), '1 of 2 pings failed: disk is full'),
            (
                series(DEAD, failed),
                '1 of 2 pings lost, 1 failed: disk is full',
            ),
        ):
            self.assertEqual(expected, detail(failed, pings))
        self.assertEqual(
            ['4 pings: 1 answered, 1 lost, 2 failed'],
            report.loss(
                [
                    base.outcome(Target(GUEST), UP, failed),
                    base.outcome(Target(GUEST), DEAD, failed),
                ]
            ),
        )

    def test_a_guest_that_lost_a_ping_is_reachable_and_says_so(self) -> None:
        """The sweep pinged it again, and it answered."""
        lost = dataclasses.replace(UP, lost=2)
        self.assertEqual('2 of 3 pings lost', detail(lost, series(lost)))
        self.assertEqual('reachable', str(self.row(lost)[2]))

    def test_an_old_agent_is_reachable_and_says_so(self) -> None:
        """Its image cannot answer the ping, but RPC works."""
        text = 'Endpoint does not support RPC method rpc_ping.'
        old = result(Verdict.REACHABLE, Reason.NO_SUCH_METHOD, text, 0.04)
        self.assertEqual(text, detail(old, series(old)))
        self.assertEqual('reachable', str(self.row(old)[2]))
        self.assertEqual(0, status_of(old.verdict))


class RecordsTest(testtools.TestCase):
    names = ('ID', 'Detail', 'Status')

    def test_a_row_is_lines_of_a_name_and_a_value(self) -> None:
        """Empty values are left out, and long ones are wrapped."""
        rows_ = [('1', 'a b ' * 12, ''), ('2', '', 'ACTIVE')]
        self.assertEqual(
            'ID      1\n'
            'Detail  a b a b a b a b a b a b a b a b\n'
            '        a b a b a b a b\n'
            '\n'
            'ID      2\n'
            'Status  ACTIVE',
            rows.records(self.names, rows_, 39),
        )

    def test_the_width_of_a_table_is_that_of_its_longest_cells(self) -> None:
        """cliff draws a border, and a space around each cell."""
        for border, first in (
            ('| ID | Detail | Status |', '1'),
            ('| 12345 | Detail | Status |', '12345'),
        ):
            table = [(first, '', ''), ('', '', '')]
            width = len(border)
            self.assertEqual('', rows.records(self.names, table, width))
            self.assertNotEqual('', rows.records(self.names, table, width - 1))

    def test_a_pipe_has_no_width(self) -> None:
        """It gets the table, however wide it is."""
        self.assertIsNone(rows.width_of(io.StringIO()))


class SummaryTest(testtools.TestCase):
    def test_the_summary_counts_each_verdict(self) -> None:
        """It has the percentiles of the reachable guests alone."""
        rtts = [result(Verdict.REACHABLE, rtt=n / 1000) for n in range(1, 101)]
        summary = Summary.of([*rtts, DEAD, DEAD, FAILED, LOST])
        self.assertEqual(
            '104 guests: 100 reachable, 2 unreachable, 1 error, 1 unknown '
            'in 6.4 s (RTT p50 50 ms, p95 95 ms, max 100 ms)',
            report.summary_line(summary, 6.4),
        )

    def test_without_a_reachable_guest_there_are_no_percentiles(self) -> None:
        """The summary leaves them out."""
        summary = Summary.of([DEAD, LOST])
        self.assertEqual(
            '2 guests: 0 reachable, 1 unreachable, 0 error, 1 unknown '
            'in 15.0 s',
            report.summary_line(summary, 15),
        )
        self.assertRaises(ValueError, summary.percentile, 50)

    def test_a_percentile_is_a_value_that_was_measured(self) -> None:
        """It is the nearest rank, also of few values."""
        summary = Summary.of([UP, result(Verdict.REACHABLE, rtt=0.5)])
        self.assertEqual(0.03, summary.percentile(50))
        self.assertEqual(0.5, summary.percentile(51))
        self.assertEqual(0.5, summary.percentile(100))


class ReportTest(testtools.TestCase):
    instance: Instance | None = None

    def advice(self, *results: PingResult) -> str:
        return '\n'.join(
            report.pattern(
                base.findings(
                    [Target(GUEST, 'db-1', self.instance)] * len(results),
                    results,
                )
            )
        )

    def test_every_reason_has_a_sentence(self) -> None:
        """It has the guest, the fault, the advice and the request ID."""
        for reason in Reason:
            said = sentence(
                Target(GUEST, 'db-1'),
                result(Verdict.UNKNOWN, reason, 'why {x}', request_id='req-1'),
                Series(),
            )
            self.assertTrue(said.startswith(f'Guest {GUEST} is '), said)
            end = ' (request ID req-1, name "db-1")'
            self.assertTrue(said.endswith(end), said)
            self.assertTrue(said.isprintable())

    def test_the_sentence_says_the_verdict(self) -> None:
        """It has the state of the guest in words."""
        target = Target(GUEST)
        self.assertIn(
            f'Guest {GUEST} is unreachable: Trove asked',
            sentence(target, DEAD, series(DEAD)),
        )
        self.assertIn(
            f'Guest {GUEST} is in error: The guest agent failed the ping: '
            '"disk is full". Look into the log of the agent in the guest.',
            sentence(target, FAILED, series(FAILED)),
        )
        self.assertIn(
            f'Guest {GUEST} is unknown: The Trove API cannot be reached',
            sentence(target, LOST, series(LOST)),
        )

    def test_a_wrong_project_in_the_url_has_its_advice(self) -> None:
        """An administrator is refused for it, too."""
        refused = result(
            Verdict.UNKNOWN,
            Reason.DENIED,
            'HTTP 403: User with tenant id 7 cannot access this resource.',
        )
        said = sentence(Target(GUEST), refused, series(refused))
        self.assertIn('The project in the URL of the endpoint must', said)
        self.assertNotIn('administrator', said)

    def test_the_sentence_has_losses_only(self) -> None:
        """A guest may be unknown though each ping was answered."""
        cut = result(Verdict.UNKNOWN, Reason.NOT_ASKED, 'why')
        for pings, told in (((UP, UP), False), ((UP, DEAD), True)):
            said = sentence(Target(GUEST), cut, series(*pings))
            self.assertEqual(told, '1 of 2 pings lost' in said, said)
            self.assertEqual(told, 'lost' in said, said)

    def test_lost_calls_point_at_the_bus(self) -> None:
        """The advice is to look at trove-api, and to repair no guest."""
        for said in (
            sentence(Target(GUEST), ON_BUS, series(ON_BUS)),
            self.advice(UP, ON_BUS),
        ):
            self.assertIn('The guest may be well', said)
            self.assertIn('message bus (RabbitMQ), and repair no guest.', said)
        self.assertIn('1 of 2 guests: Half of all', self.advice(UP, ON_BUS))

    def test_dead_guests_alone_do_not_point_at_the_bus(self) -> None:
        """The sweep has proven that they are dead."""
        self.assertEqual('', self.advice(DEAD, DEAD, UP))
        self.assertEqual('', self.advice(DEAD, DEAD))
        self.assertEqual('', self.advice(DEAD, DEAD, FAILED))

    def test_a_fresh_heartbeat_of_a_dead_guest_is_mentioned(self) -> None:
        """It has its age when Trove listed it."""
        for status, age, deaf in (
            ('ACTIVE', 12.0, True),
            ('ACTIVE', 0.0, True),
            ('ACTIVE', 300.0, False),
            ('ACTIVE', -30.0, False),
            ('SHUTDOWN', 12.0, False),
            ('ACTIVE', None, False),
        ):
            self.instance = Instance(GUEST, status=status, heartbeat_age=age)
            target = Target(GUEST, None, self.instance)
            for said in (
                sentence(target, DEAD, series(DEAD)),
                self.advice(UP, DEAD),
            ):
                self.assertEqual(deaf, 'last heartbeat' in said, said)
        self.instance = Instance(GUEST, status='ACTIVE', heartbeat_age=12.0)
        target = Target(GUEST, None, self.instance)
        said = sentence(target, DEAD, series(DEAD))
        self.assertIn('its last heartbeat was 12.0 s old when Trove', said)
        for other in (UP, FAILED, LOST):
            self.assertNotIn('heartbeat', self.advice(other, other))

    def test_failures_of_the_control_plane_are_named_once(self) -> None:
        """The advice counts the guests that each failure hits."""
        advice = self.advice(UP, LOST, LOST)
        self.assertIn('2 of 3 guests: The Trove API cannot be', advice)
        self.assertEqual(1, len(advice.splitlines()))

    def test_failures_of_single_guests_need_no_advice(self) -> None:
        """Their rows say enough."""
        missing = result(Verdict.UNKNOWN, Reason.NOT_FOUND, 'x')
        self.assertEqual('', self.advice(UP, FAILED, missing))
