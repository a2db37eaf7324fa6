# SPDX-License-Identifier: Apache-2.0

"""What the commands are made of, without a server."""

import argparse
from collections.abc import Sequence
import dataclasses
import io
import pty
import termios

import hypothesis
from hypothesis import strategies
import testtools

from troveclient_rpcping import durations
from troveclient_rpcping import inventory
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.cli import arguments as cli_arguments
from troveclient_rpcping.osc import exits
from troveclient_rpcping.osc import report
from troveclient_rpcping.osc import rows
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.tests import base
from troveclient_rpcping.tests import hostile


def result(
    verdict: verdicts.Verdict,
    reason: verdicts.Reason | None = None,
    message: str = '',
    rtt: float | None = None,
    request_id: str | None = None,
) -> verdicts.PingResult:
    return verdicts.PingResult(
        instance_id=base.GUEST,
        verdict=verdict,
        reason=reason,
        message=message,
        rtt=rtt,
        request_id=request_id,
    )


UP = result(verdicts.Verdict.REACHABLE, rtt=0.03)
DEAD = result(
    verdicts.Verdict.UNREACHABLE,
    verdicts.Reason.AGENT_TIMEOUT,
    'Timeout',
    15.0,
)
FAILED = result(
    verdicts.Verdict.ERROR, verdicts.Reason.AGENT_ERROR, 'disk is full', 0.1
)
LOST = result(verdicts.Verdict.UNKNOWN, verdicts.Reason.CONNECTION, 'refused')
ON_BUS = result(
    verdicts.Verdict.UNKNOWN,
    verdicts.Reason.MESSAGE_BUS,
    'Half of all are lost',
)


def series(*results: verdicts.PingResult) -> outcomes.Series:
    return base.outcome(outcomes.Target(base.GUEST), *results).series


def detail(result: verdicts.PingResult, pings: outcomes.Series) -> str:
    return report.detail(
        outcomes.Outcome(outcomes.Target(base.GUEST), result, pings)
    )


def status_of(*found: verdicts.Verdict) -> int:
    return exits.of(outcomes.Summary.of(map(result, found)))


class ExitStatusTest(testtools.TestCase):
    def test_the_exit_status_is_a_contract(self) -> None:
        """A bad guest outweighs an unknown one."""
        up, dead = verdicts.Verdict.REACHABLE, verdicts.Verdict.UNREACHABLE
        error, unknown = verdicts.Verdict.ERROR, verdicts.Verdict.UNKNOWN
        for found, status in (
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
            self.assertEqual(status, status_of(*found), str(found))

    def test_the_numbers_are_those_of_the_documentation(self) -> None:
        """Runbooks depend on these numbers."""
        self.assertEqual(
            (0, 1, 2, 3),
            (
                *(exits.ALL_REACHABLE, exits.UNKNOWN),
                *(exits.USAGE, exits.BAD_GUESTS),
            ),
        )
        self.assertEqual((130, 143), (exits.INTERRUPTED, exits.TERMINATED))


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
    @hypothesis.given(strategies.floats(0, 1_000_000))
    def test_what_is_printed_can_be_given_again(self, seconds: float) -> None:
        """Both formats lose digits, but never the size of a duration."""
        for form in (durations.human, durations.compact):
            read = durations.parse(form(seconds))
            self.assertEqual(form(read), form(seconds))


class ArgumentsTest(testtools.TestCase):
    def test_a_name_is_trimmed_and_never_empty(self) -> None:
        """An empty name is a variable of a script that was not set."""
        parser = argparse.ArgumentParser(exit_on_error=False)
        cli_arguments.add_targets(parser)
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
        self.assertEqual(120.0, cli_arguments.wait_seconds('2m'))
        error = self.assertRaises(
            argparse.ArgumentTypeError, cli_arguments.wait_seconds, 'db-1'
        )
        self.assertIn('an instance goes before --wait', str(error))


class RowsTest(testtools.TestCase):
    def row(
        self, result: verdicts.PingResult, formatter: str = 'table'
    ) -> tuple[object, ...]:
        instance = inventory.Instance(
            base.GUEST, 'db-1', 'p', 'mysql 8.0', 'ACTIVE', None
        )
        target = outcomes.Target(base.GUEST, 'db-1', instance)
        return rows.row(
            base.outcome(target, result),
            formatter=formatter,
            columns=rows.COLUMNS,
        )

    def test_each_form_gets_its_kind_of_rtt(self) -> None:
        """People read units, and programs seconds. No cell is a None in text.

        Without an answer, the RTT is null, or empty where null is a text.
        """
        row = self.row(DEAD)
        self.assertEqual(
            (base.GUEST, 'db-1', 'unreachable', '15.0 s', 'Timeout'),
            tuple(str(cell) for cell in row),
        )
        for formatter in ('json', 'yaml', 'csv'):
            self.assertEqual(0.03, self.row(UP, formatter)[3])
            self.assertIsNone(self.row(LOST, formatter)[3])
        for result, expected in ((UP, 0.03), (LOST, '')):
            cell = self.row(result, 'value')[3]
            assert isinstance(cell, rows.Seconds)
            self.assertEqual(expected, cell.machine_readable())

    def test_no_text_is_ever_none(self) -> None:
        """A missing text is empty. Only a missing RTT is a None."""
        for target in (
            outcomes.Target(None),
            outcomes.Target(base.GUEST, None, inventory.Instance(base.GUEST)),
        ):
            cells = rows.row(
                outcomes.Outcome(target, LOST, outcomes.Series()),
                formatter='json',
                columns=rows.LONG_COLUMNS,
            )
            self.assertEqual(
                ['RTT', 'RTT Min', 'RTT Avg', 'RTT Max'],
                [
                    name
                    for name, cell in zip(
                        rows.LONG_COLUMNS, cells, strict=True
                    )
                    if cell is None
                ],
            )

    def test_cells_sort_with_the_worst_last(self) -> None:
        """The worst rows stand next to the prompt. A missing RTT is last."""
        times = sorted(rows.Seconds(value) for value in (None, 2.0, 0.5))
        self.assertEqual(['500 ms', '2.0 s', ''], list(map(str, times)))
        grades = sorted(map(rows.Grade, verdicts.Verdict))
        self.assertEqual(
            ['reachable', 'unknown', 'error', 'unreachable'],
            [grade.machine_readable() for grade in grades],
        )

    def test_several_pings_have_their_times_and_losses(self) -> None:
        """The RTTs are those of pings received; the detail has the loss."""
        pings = series(UP, DEAD, result(verdicts.Verdict.REACHABLE, rtt=0.05))
        columns = ('Sent', 'Received', 'RTT Min', 'RTT Avg', 'RTT Max')
        self.assertEqual(
            (3, 2, 0.03, 0.04, 0.05, '1 of 3 pings lost: Timeout'),
            rows.row(
                outcomes.Outcome(outcomes.Target(base.GUEST), DEAD, pings),
                formatter='json',
                columns=(*columns, 'Detail'),
            ),
        )

    def test_a_guest_that_was_waited_for_has_no_loss(self) -> None:
        """The pings before its answer are the wait itself."""
        pings = series(DEAD, UP)
        self.assertEqual('1 of 2 pings lost', detail(UP, pings))
        pings.stable = 1
        self.assertEqual('', detail(UP, pings))

    def test_the_detail_tells_lost_pings_from_failed_ones(self) -> None:
        """A ping that was answered with an error is not lost."""
        failed = dataclasses.replace(FAILED, http_status=400)
        lost = dataclasses.replace(UP, lost=2)
        for pings, expected in (
            ((failed, failed), '2 of 2 pings failed: disk is full'),
            ((UP, failed), '1 of 2 pings failed: disk is full'),
            ((DEAD, failed), '1 of 2 pings lost, 1 failed: disk is full'),
            # The sweep pinged the guest again, and it answered.
            ((lost,), '2 of 3 pings lost'),
        ):
            self.assertEqual(expected, detail(pings[-1], series(*pings)))
        both = [
            base.outcome(outcomes.Target(base.GUEST), first, failed)
            for first in (UP, DEAD)
        ]
        self.assertEqual(
            ['4 pings: 1 answered, 1 lost, 2 failed'], report.loss(both)
        )

    def test_an_old_agent_is_reachable_and_says_so(self) -> None:
        """Its image cannot answer the ping, but RPC works."""
        text = 'Endpoint does not support RPC method rpc_ping.'
        old = result(
            verdicts.Verdict.REACHABLE,
            verdicts.Reason.NO_SUCH_METHOD,
            text,
            0.04,
        )
        self.assertEqual(
            ('reachable', text), tuple(map(str, self.row(old)[2::2]))
        )


class RecordsTest(testtools.TestCase):
    names = ('ID', 'Detail', 'Status')

    def records(self, table: Sequence[Sequence[str]], width: int) -> str:
        """Return what a terminal of this width gets; empty for a table."""
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, width))
        with open(ours), open(theirs, 'w') as terminal:
            return rows.records(self.names, table, terminal)

    def test_a_row_is_lines_of_a_name_and_a_value(self) -> None:
        """Empty values are left out, and long ones are wrapped."""
        table = [('1', 'a b ' * 12, ''), ('2', '', 'ACTIVE')]
        self.assertEqual(
            'ID      1\n'
            'Detail  a b a b a b a b a b a b a b a b\n'
            '        a b a b a b a b\n'
            '\n'
            'ID      2\n'
            'Status  ACTIVE',
            self.records(table, 39),
        )
        # A pipe gets the table, however wide it is.
        self.assertEqual('', rows.records(self.names, table, io.StringIO()))

    def test_the_width_of_a_table_is_that_of_its_longest_cells(self) -> None:
        """cliff draws a border, and a space around each cell."""
        for border, first in (
            ('| ID | Detail | Status |', '1'),
            ('| 12345 | Detail | Status |', '12345'),
        ):
            table = [(first, '', ''), ('', '', '')]
            self.assertEqual('', self.records(table, len(border)))
            self.assertNotEqual('', self.records(table, len(border) - 1))


class SummaryTest(testtools.TestCase):
    def test_the_summary_counts_each_verdict(self) -> None:
        """It has the percentiles of the reachable guests alone."""
        rtts = [
            result(verdicts.Verdict.REACHABLE, rtt=n / 1000)
            for n in range(1, 101)
        ]
        for results, seconds, line in (
            (
                [*rtts, DEAD, DEAD, FAILED, LOST],
                6.4,
                '104 guests: 100 reachable, 2 unreachable, 1 error, 1 unknown '
                'in 6.4 s (RTT p50 50 ms, p95 95 ms, max 100 ms)',
            ),
            (
                [DEAD, LOST],
                15.0,
                '2 guests: 0 reachable, 1 unreachable, 0 error, 1 unknown '
                'in 15.0 s',
            ),
        ):
            self.assertEqual(
                line,
                report.summary_line(outcomes.Summary.of(results), seconds),
            )

    def test_a_percentile_is_a_value_that_was_measured(self) -> None:
        """It is the nearest rank, also of few values."""
        summary = outcomes.Summary.of(
            [UP, result(verdicts.Verdict.REACHABLE, rtt=0.5)]
        )
        self.assertEqual(
            [0.03, 0.5, 0.5], [summary.percentile(p) for p in (50, 51, 100)]
        )


class ReportTest(testtools.TestCase):
    def sentence(
        self,
        *pings: verdicts.PingResult,
        result: verdicts.PingResult | None = None,
        target: outcomes.Target = outcomes.Target(base.GUEST),  # noqa: B008 -- frozen
    ) -> str:
        """Return the sentence about a guest, by default of its last ping."""
        outcome = outcomes.Outcome(target, result or pings[-1], series(*pings))
        return report.sentence(outcome)

    def advice(
        self,
        *results: verdicts.PingResult,
        instance: inventory.Instance | None = None,
    ) -> str:
        targets = [outcomes.Target(base.GUEST, 'db-1', instance)] * len(
            results
        )
        return '\n'.join(report.pattern(base.findings(targets, results)))

    def test_every_reason_has_a_sentence(self) -> None:
        """It has the guest, the fault, the advice and the request ID."""
        for reason in verdicts.Reason:
            said = self.sentence(
                result(
                    verdicts.Verdict.UNKNOWN,
                    reason,
                    'why {x}',
                    request_id='req-1',
                ),
                target=outcomes.Target(base.GUEST, 'db-1'),
            )
            self.assertTrue(said.startswith(f'Guest {base.GUEST} is '), said)
            end = ' (request ID req-1, name "db-1")'
            self.assertTrue(said.endswith(end), said)
            self.assertTrue(said.isprintable())

    def test_the_sentence_says_the_verdict_and_what_to_do(self) -> None:
        """It has the state of the guest in words."""
        refused = result(
            *(verdicts.Verdict.UNKNOWN, verdicts.Reason.DENIED),
            'HTTP 403: User with tenant id 7 cannot access this resource.',
        )
        for pinged, words in (
            (DEAD, f'Guest {base.GUEST} is unreachable: Trove asked'),
            (
                FAILED,
                f'Guest {base.GUEST} is in error: The guest agent failed the '
                'ping: '
                '"disk is full". Look into the log of the agent in the guest.',
            ),
            (
                LOST,
                f'Guest {base.GUEST} is unknown: The Trove API cannot be '
                'reach',
            ),
            # An administrator is refused for a wrong URL, too.
            (refused, 'The project in the URL of the endpoint must'),
        ):
            self.assertIn(words, self.sentence(pinged))
        self.assertNotIn('administrator', self.sentence(refused))

    def test_the_sentence_has_losses_only(self) -> None:
        """A guest may be unknown though each ping was answered."""
        cut = result(
            verdicts.Verdict.UNKNOWN, verdicts.Reason.NOT_ASKED, 'why'
        )
        for pings, told in (((UP, UP), False), ((UP, DEAD), True)):
            said = self.sentence(*pings, result=cut)
            self.assertEqual(told, '1 of 2 pings lost' in said, said)
            self.assertEqual(told, 'lost' in said, said)

    def test_lost_calls_point_at_the_bus(self) -> None:
        """The advice is to look at trove-api, and to repair no guest."""
        for said in (self.sentence(ON_BUS), self.advice(UP, ON_BUS)):
            self.assertIn('The guest may be well', said)
            self.assertIn('message bus (RabbitMQ), and repair no guest.', said)

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
            row = inventory.Instance(
                base.GUEST, status=status, heartbeat_age=age
            )
            for said in (
                self.sentence(
                    DEAD, target=outcomes.Target(base.GUEST, None, row)
                ),
                self.advice(UP, DEAD, instance=row),
            ):
                self.assertEqual(deaf, 'last heartbeat' in said, said)
                self.assertEqual(age == 12.0 and deaf, '12.0 s' in said)
        row = inventory.Instance(
            base.GUEST, status='ACTIVE', heartbeat_age=12.0
        )
        for other in (UP, FAILED, LOST):
            advice = self.advice(other, other, instance=row)
            self.assertNotIn('heartbeat', advice)

    def test_only_failures_of_the_control_plane_have_advice(self) -> None:
        """Each failure comes once. The rows say enough about guests."""
        missing = result(
            verdicts.Verdict.UNKNOWN, verdicts.Reason.NOT_FOUND, 'x'
        )
        for results, advice in (
            ((UP, LOST, LOST), r'2 of 3 guests: The Trove API cannot be.*'),
            ((UP, ON_BUS), r'1 of 2 guests: Half of all.*'),
            ((UP, FAILED, missing), ''),
            # The sweep has proven these deaths.
            ((DEAD, DEAD, UP), ''),
            ((DEAD, DEAD, FAILED), ''),
        ):
            self.assertRegex(self.advice(*results), rf'\A{advice}\Z')
