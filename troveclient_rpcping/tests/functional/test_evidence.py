# SPDX-License-Identifier: Apache-2.0


"""Lost pings, and the promise: no command reports a live guest as dead.

The faults here are between trove-api and the agents, or in the agents. For
all of them Trove reports that its call timed out. The page
``doc/source/contributor/faults.rst`` lists the cases.
"""

import json
import time
from typing import Any

from troveclient_rpcping.tests.functional import base
from troveclient_rpcping.tests.functional import faults

DEAD = 'db-dead'
# Without a deadline, a sweep with lost pings looks for evidence for minutes.
PROMPTLY = ('--deadline', '12')
# The end of each sentence about lost calls.
NO_REPAIR = (
    r'The guest may be well: look at the workers of trove-api and at the '
    r'nodes of the message bus \(RabbitMQ\), and repair no guest\.'
)


class EvidenceTest(faults.SweepTest):
    """A sandbox whose live guests must never be reported as dead."""

    cloud = base.Cloud.BUS

    def ping(self, *arguments: str, **kwargs: Any) -> base.Run:
        """Run the ping command to its end, with JSON."""
        return super().ping('--long', *arguments, stderr=None, **kwargs)

    def plugin(self, *arguments: str) -> base.Run:
        """Run the monitoring plugin to its end."""
        return self.sweep(*arguments, name=base.PLUGIN)

    def monitor(self, *arguments: str) -> base.Command:
        """Start the monitor, with JSON."""
        return self.start(
            *(*base.MONITOR, '--json', '-q', '--interval', '0.5', *arguments)
        )

    def terminate(self, command: base.Command) -> list[tuple[str, str, str]]:
        """End the monitor; return the ID, from and to of each change."""
        command.process.terminate()
        run = self.end(command, [])
        self.assertEqual(143, run.status)
        events = map(json.loads, run.stdout.splitlines())
        return [
            (event['id'], event['from'], event['to'])
            for event in events
            if event['event'] == 'guest'
        ]

    def rows(self, run: base.Run) -> dict[str, tuple[str, str]]:
        """Return the verdict and the reason of each guest, by ID."""
        return {row['ID']: (row['Verdict'], row['Reason']) for row in run.rows}

    def assert_lost(self, run: base.Run) -> None:
        """Check that none of these live guests is reported as dead.

        They are reachable or unknown. For unknown guests, the advice points
        at the workers and the message bus.
        """
        found = {(row['Verdict'], row['Reason']) for row in run.rows}
        unknown = found - {('reachable', '')}
        self.assertEqual(
            set(),
            unknown
            - {
                ('unknown', 'message-bus'),
                # The deadline came before an answer.
                ('unknown', 'timeout'),
                ('unknown', 'not-asked'),
                # A worker that was cut off sometimes answers 500.
                ('unknown', 'api-error'),
            },
        )
        self.assertEqual(1 if unknown else 0, run.status)
        if ('unknown', 'message-bus') in unknown:
            self.assertRegex(run.stderr, f'[Gg]uests?.*: .* {NO_REPAIR}')


@base.needs_rabbitmq
class LossTest(EvidenceTest):
    """Pings are lost between trove-api and the agents."""

    def test_a_worker_without_the_bus_kills_no_guest(self) -> None:
        """The worker loses every other ping; Trove reports timeouts."""
        self.sandbox.set_worker(1, 'lost')
        self.assert_lost(self.ping('guest-*', *PROMPTLY))

    def test_a_worker_that_stands_still_kills_no_guest(self) -> None:
        """The worker finds the answers to its pings too late."""
        self.sandbox.set_guest(self.live[4:10], 'slow', 1.2)
        command = self.start(
            *(*base.PING, '-f', 'json', '--long', '--rate', '12'),
            # Longer than the worker stands still, on a busy machine too.
            *('--timeout', '300', *self.live),
        )
        self.wait_for_pings(command, 8)
        self.sandbox.set_worker(1, 'frozen')
        # Longer than Trove waits for an agent.
        time.sleep(4)
        self.sandbox.set_worker(1, 'ok')
        run = self.end(command)
        found = self.rows(run).values()
        self.assertEqual({('reachable', '')}, {*found})

    def test_lost_pings_kill_no_guest(self) -> None:
        """A guest that answers after a timeout is alive."""
        self.sandbox.set_loss(0.3, seed=1)
        self.assert_lost(self.ping('guest-*', *PROMPTLY))

    def test_the_summary_of_many_pings_counts_the_lost_ones(self) -> None:
        """With ``--count`` the command reports the number of lost pings."""
        self.sandbox.set_loss(0.3, seed=2)
        run = self.ping(
            *('guest-000*', '--count', '4', '--interval', '0.2'),
            *('--deadline', '20'),
        )
        self.assert_lost(run)
        self.assertIn('reachable', {row['Verdict'] for row in run.rows})
        self.assert_said(run, '[0-9]+ pings: [0-9]+ answered, [0-9]+ lost')

    def test_a_monitor_does_not_report_lost_pings(self) -> None:
        """The monitor reports no live guest."""
        self.sandbox.set_loss(0.3, seed=3)
        command = self.monitor('guest-000*')
        self.wait_for_pings(command, 3 * 9)
        self.assertEqual([], self.terminate(command))


@base.needs_rabbitmq
class OutageTest(EvidenceTest):
    """All agents are out of reach, or the message bus is."""

    def test_without_any_agent_nobody_is_dead(self) -> None:
        """A sweep, a lone ping and the plugin all report unknown."""
        self.sandbox.freeze('guests')
        ping = (*base.PING, '-f', 'json', '--long')
        everybody, alone = ('--all',), (self.live[0],)
        pings = [self.start(*ping, *guests) for guests in (everybody, alone)]
        plugins = [
            self.start('-t', '120', *guests, name=base.PLUGIN)
            for guests in (everybody, alone)
        ]
        run = self.end(pings[0])
        found = {row['Name']: row['Reason'] for row in run.rows}
        self.assertEqual({'unknown'}, {row['Verdict'] for row in run.rows})
        # Trove answers this without an agent, if the sweep comes so far.
        self.assertIn(found.pop('db-unready'), ('not-ready', 'not-asked'))
        self.assertIn('message-bus', found.values())
        self.assertEqual(1, run.status)
        self.assert_said(run, f'.* guests: .* {NO_REPAIR}')
        self.assertNotIn('alive', run.stderr)

        self.assert_unknown(self.end(pings[1]), f'.* {NO_REPAIR}.*')

        for command in plugins:
            run = self.end(command)
            self.assertIn(' UNKNOWN - 0 of ', run.stdout)
            self.assertIn('unreachable=0;', run.stdout)
            self.assertEqual(3, run.status)

    def test_a_broker_that_restarts_kills_no_named_guest(self) -> None:
        """The sweep runs during the restart, or just after it."""
        names = [f'guest-{number:04}' for number in range(1, 21)]
        self.sandbox.set_guest(self.live[:3], 'slow', 2)
        command = self.start(*(*base.PING, '-f', 'json', '--long', *names))
        self.wait_for_pings(command, 3)
        self.restart_broker()
        self.assert_lost(self.end(command))
        # Some agents are not connected again yet.
        self.assert_lost(self.ping(*names))

    def test_a_broker_that_restarts_kills_no_lone_guest(self) -> None:
        """The sweep has no other guest; guests of the listing are asked."""
        id_ = self.live[0]
        self.sandbox.set_guest(id_, 'slow', 1)
        command = self.start(*base.PING, '-f', 'json', '--long', id_)
        self.wait_for_pings(command, 1)
        self.restart_broker()
        self.assert_lost(self.end(command))
        self.restart_broker()
        plugin = self.start('-t', '120', id_, name=base.PLUGIN)
        self.assert_lost(self.ping(id_))
        run = self.end(plugin)
        self.assertIn('unreachable=0;', run.stdout)
        self.assertIn(run.status, (0, 3))

    def test_a_monitor_reports_no_guest_while_a_broker_restarts(self) -> None:
        """The monitor of one guest, or of three, reports no change."""
        alone, *others = self.live[:4]
        monitors = {
            alone: self.monitor(alone),
            others[0]: self.monitor(*others),
        }
        self.wait_for_two_sweeps(monitors)
        self.restart_broker()
        self.wait_for_two_sweeps(monitors)
        for command in monitors.values():
            self.assertEqual([], self.terminate(command))

    def wait_for_two_sweeps(self, monitors: dict[str, base.Command]) -> None:
        """Wait until each monitor has pinged this guest of its own twice."""
        for id_, command in monitors.items():
            self.wait_for_more_pings(command, 2, id_)

    def test_a_broker_that_refuses_trove_is_not_an_error_of_a_guest(
        self,
    ) -> None:
        """Trove reports kombu's words as an error of the guest."""
        self.sandbox.set_broker('refusing')
        run = self.ping('--all')
        reasons = {row['Name']: row['Reason'] for row in run.rows}
        self.assertEqual({'unknown'}, {row['Verdict'] for row in run.rows})
        # Trove answers this without an agent, if the sweep comes so far.
        self.assertIn(reasons.pop('db-unready'), ('not-ready', 'not-asked'))
        self.assertIn('message-bus', reasons.values())
        # A worker whose connection to RabbitMQ was closed answers 500 once.
        self.assertEqual(
            set(),
            set(reasons.values()) - {'message-bus', 'not-asked', 'api-error'},
        )
        self.assert_said(run, f'.* guests: .*ACCESS_REFUSED.* {NO_REPAIR}')
        self.assertEqual(1, run.status)

    def test_a_repair_gets_no_guest_that_nova_hides(self) -> None:
        """``--bad-only`` lists only guests that are known to be bad."""
        failing = self.id_of('db-failing')
        command = self.start(
            *(*base.PING, '--bad-only', '-f', 'value', '-c', 'ID'),
            *('--rate', '8', failing, *self.live),
        )
        self.wait_for_pings(command, 8)
        with command.frozen():
            self.sandbox.set_nova('broken')
        run = self.end(command)
        self.assertEqual([failing], run.stdout.split())
        self.assert_said(run, '.* of 41 guests: .* Look at Nova, not at .*')
        self.assertEqual(3, run.status)


@base.needs_rabbitmq
class GuestTest(EvidenceTest):
    """The message bus works; guests are silent, or answer otherwise."""

    def test_dead_guests_alone_are_proven_by_others(self) -> None:
        """No named guest answers, and still the bus is not suspected."""
        dead = self.live[-2:]
        self.sandbox.set_guest(dead, 'dead')
        ids = self.sweep(
            *(*base.PING, 'guest-*', '--failed-only'),
            *('-f', 'value', '-c', 'ID'),
        )
        self.assertEqual(dead, ids.stdout.split())
        file = self.folder() / 'failed'
        file.write_text(ids.stdout)
        run = self.ping('--from-file', str(file))
        self.assertEqual(
            dict.fromkeys(dead, ('unreachable', 'agent-timeout')),
            self.rows(run),
        )
        self.assert_lines(
            run.stderr.splitlines(),
            ['2 guests: 0 reachable, 2 unreachable, 0 error, 0 unknown .*'],
        )
        self.assertEqual(3, run.status)

    def test_a_guest_that_is_being_built_is_not_dead(self) -> None:
        """Trove itself would not ask the agent now."""
        states = ('BUILD', 'REBOOT', 'RESIZE')
        self.sandbox.set_guest(self.live[:3], 'dead')
        for id_, status in zip(self.live, states, strict=False):
            self.sandbox.set_guest(id_, 'dead', status=status)
        run = self.ping(*self.live[:4])
        *busy, well = run.rows
        self.assertEqual('reachable', well['Verdict'])
        for row, status in zip(busy, states, strict=True):
            self.assertEqual(
                ('unknown', 'not-ready'), (row['Verdict'], row['Reason'])
            )
            self.assertIn(status, row['Detail'])
        self.assertEqual(1, run.status)

    def test_a_sweep_that_ends_early_proves_nothing(self) -> None:
        """For a fresh heartbeat, one timeout is not enough evidence."""
        dead = self.live[-8:]
        self.sandbox.set_guest(dead, 'dead', heartbeat='fresh')
        # The deadline leaves time for one timeout, but not for two.
        run = self.ping('--deadline', '4.8', *dead)
        self.assertEqual({'unknown'}, {row['Verdict'] for row in run.rows})
        self.assertEqual(1, run.status)
        self.assertNotIn('No guest answers', run.stderr)

    def test_an_old_agent_is_reachable(self) -> None:
        """It answers that it has no such method, so RPC works."""
        old = self.id_of('db-old')
        run = self.ping(old)
        self.assertEqual(
            {old: ('reachable', 'no-such-method')}, self.rows(run)
        )
        self.assertEqual(0, run.status)
        self.assertEqual(0, self.ping(old, '--wait', '60').status)
        run = self.plugin(old)
        self.assertIn(' OK - 1 of 1 guests reachable', run.stdout)
        self.assertEqual(0, run.status)
        metrics = self.folder() / 'trove.prom'
        self.ping(old, '--textfile', str(metrics))
        self.assertRegex(
            metrics.read_text(), rf'rpc_up{{instance_id="{old}"}} 1\.0'
        )

    def test_a_timeout_shorter_than_troves_is_named(self) -> None:
        """Other guests answered, so the advice does not blame the bus."""
        dead = self.id_of(DEAD)
        run = self.ping('--timeout', '2', dead, *self.live)
        # On a busy machine, a live guest may take longer, too.
        self.assertEqual(('unknown', 'timeout'), self.rows(run)[dead])
        self.assert_said(run, '.* longer than --timeout: raise it.*')
        self.assertNotIn('RabbitMQ', run.stderr)
        self.assertEqual(1, run.status)


@base.needs_rabbitmq
class OneAtATimeTest(EvidenceTest):
    """Workers that serve one request at a time, as on most clouds."""

    cloud = base.Cloud.WSGI

    def test_dead_guests_are_dead_and_the_others_are_not(self) -> None:
        """A dead guest holds a worker; the plugin counts the same guests."""
        dead = self.live[-2:]
        self.sandbox.set_guest(dead, 'dead')
        run = self.ping('guest-*')
        self.assertEqual(
            dict.fromkeys(self.live, ('reachable', ''))
            | dict.fromkeys(dead, ('unreachable', 'agent-timeout')),
            self.rows(run),
        )
        self.assert_lines(
            run.stderr.splitlines(),
            ['24 guests: 22 reachable, 2 unreachable, 0 error, 0 unknown .*'],
        )
        self.assertEqual(3, run.status)
        plugin = self.plugin('-t', '60', 'guest-*')
        self.assertIn(
            ' CRITICAL - 22 of 24 guests reachable, 2 bad (2 agent-timeout)',
            plugin.stdout,
        )
        self.assertEqual(2, plugin.status)

    def test_a_worker_without_the_bus_kills_no_guest(self) -> None:
        """While it holds a lost ping, the other workers answer."""
        self.sandbox.set_worker(1, 'lost')
        self.assert_lost(self.ping('guest-*', *PROMPTLY))

    def test_the_monitor_reports_only_the_dead_guest(self) -> None:
        """It reports neither live guests nor the control plane."""
        command = self.monitor('guest-*')
        self.wait_for_pings(command, 2 * len(self.live))
        dead = self.live[-1:]
        self.sandbox.set_guest(dead, 'dead')
        self.wait_until(command, lambda: '"unreachable"' in command.stdout)
        changes = self.terminate(command)
        self.assertEqual([(*dead, 'reachable', 'unreachable')], changes)
        self.assertNotIn('failing', command.stdout)
