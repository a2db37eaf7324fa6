# SPDX-License-Identifier: Apache-2.0

"""The changes that the monitor finds from sweep to sweep."""

import dataclasses
import datetime
import json
import shlex

import testtools

from troveclient_rpcping import durations
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.osc import events
from troveclient_rpcping.outcomes import changes as outcomes_changes
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.tests import base

NOON = datetime.datetime(2026, 11, 22, 12, 0, 7, 5, datetime.UTC)

State = tuple[verdicts.Verdict, verdicts.Reason | None]

DOWN = (verdicts.Verdict.UNREACHABLE, verdicts.Reason.AGENT_TIMEOUT)
FAILED = (verdicts.Verdict.ERROR, verdicts.Reason.AGENT_ERROR)
STATES: dict[str, State] = {
    'up': (verdicts.Verdict.REACHABLE, None),
    'down': DOWN,
    'failed': FAILED,
    'unready': (verdicts.Verdict.UNKNOWN, verdicts.Reason.NOT_READY),
    'cut': (verdicts.Verdict.UNKNOWN, verdicts.Reason.CONNECTION),
    'nova': (verdicts.Verdict.UNKNOWN, verdicts.Reason.COMPUTE_ERROR),
    'slow': (verdicts.Verdict.UNKNOWN, verdicts.Reason.TIMEOUT),
    'skipped': (verdicts.Verdict.UNKNOWN, verdicts.Reason.NOT_ASKED),
}


def result(
    id_: str, state: State, message: str = '', request_id: str | None = None
) -> verdicts.PingResult:
    return verdicts.PingResult(
        instance_id=id_,
        verdict=state[0],
        reason=state[1],
        message=message,
        request_id=request_id,
    )


#: Cases. Each line of a case is a sweep, ten seconds after the last one, and
#: the changes that it brings: the subject, the old and the new state, and for
#: how many seconds the old one lasted.
CASES = """
The same verdict is no change, nor is a guest that is up at first.
  a=up b=down: b new unreachable
  a=up b=down:
A change says how long the old verdict lasted.
  a=up:
  a=up:
  a=down: a reachable unreachable 20
  a=up: a unreachable reachable 10
Guests come and go.
  a=up:
  b=down c=up: a reachable gone 10, b new unreachable, c new reachable
A guest is expected if its first sweep was in vain.
  a=cut b=cut: plane ok connection*2
  a=cut b=cut c=cut:
  a=up b=down: plane connection*3 ok 20, b new unreachable
  b=down: a reachable gone 10
  a=up b=down: a new reachable
Another guest is new, also after a sweep in vain.
  a=cut: plane ok connection*1
  a=up b=up: plane connection*1 ok 10, b new reachable
So is a guest whose own first ping was in vain.
  a=up:
  a=up b=cut: plane ok connection*1
  a=up b=up: plane connection*1 ok 10, b new reachable
A guest changes while others are unknown.
  a=up b=up:
  a=cut b=down: plane ok connection*1, b reachable unreachable 10
A guest that is not ready is not a failure.
  a=up:
  a=unready: a reachable unknown 10
A failure is reported when it begins and when it ends.
  a=up b=up:
  a=up b=cut: plane ok connection*1
  a=cut b=up:
  a=up b=up: plane connection*1 ok 20
Another failure is another change, and the end counts all of them.
  a=cut: plane ok connection*1
  a=cut:
  a=nova: plane connection*1 compute-error*1 20
  a=cut: plane compute-error*1 connection*1 10
  a=up: plane connection*1 ok 40
A failure of more than half of the guests is another one.
  a=nova b=up c=up d=up: plane ok compute-error*1
  a=nova b=nova c=up d=up:
  a=nova b=nova c=nova d=up: plane compute-error*2 compute-error*3 20
  a=nova b=nova c=nova d=up:
  a=nova b=up c=nova d=up: plane compute-error*3 compute-error*2 20
Of several failures the most frequent one is the reason.
  a=cut b=slow c=slow d=up: plane ok timeout*3
The reason that ended the sweep is the reason.
  a=skipped b=skipped c=cut: plane ok connection*3
"""


def named(failure: outcomes_changes.Failure | None) -> str:
    return f'{failure.reason}*{failure.unknown}' if failure else 'ok'


def named_change(change: outcomes_changes.Change) -> str:
    """Return a change as it stands in the cases."""
    assert isinstance(
        change,
        outcomes_changes.GuestChange | outcomes_changes.ControlPlaneChange,
    )
    lasted = '' if change.seconds is None else f' {change.seconds:g}'
    if isinstance(change, outcomes_changes.ControlPlaneChange):
        return f'plane {named(change.before)} {named(change.after)}{lasted}'
    states = f'{change.before or "new"} {change.after or "gone"}'
    return f'{change.instance_id} {states}{lasted}'


class WatchTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.watch = outcomes_changes.Watch()
        self.now = 0.0

    def sweep(self, guests: str, **more: State) -> str:
        """Sweep guests, ten seconds after the last sweep; return changes."""
        self.now += 10.0
        words = dict(each.split('=') for each in guests.split())
        states = {id_: STATES[word] for id_, word in words.items()} | more
        targets = [outcomes.Target(id_, f'db-{id_}') for id_ in states]
        results = [result(id_, each, 'why') for id_, each in states.items()]
        found = base.findings(targets, results)
        return ', '.join(map(named_change, self.watch.swept(found, self.now)))

    def test_each_change_is_reported_once(self) -> None:
        """The changes are those of guests, and of the control plane."""
        case = ''
        for line in CASES.strip().splitlines():
            if not line.startswith(' '):
                case, self.watch, self.now = (
                    line,
                    outcomes_changes.Watch(),
                    0.0,
                )
                continue
            guests, _, changes = line.partition(':')
            self.assertEqual(
                changes.strip(), self.sweep(guests), f'{case} {line}'
            )

    def test_a_failing_control_plane_takes_no_guest_down(self) -> None:
        """Guests keep their verdicts, whatever the reason of the failure."""
        self.sweep('a=up b=down')
        for reason in verdicts.CONTROL_PLANE:
            unknown = (verdicts.Verdict.UNKNOWN, reason)
            self.assertEqual(
                f'plane ok {reason}*2', self.sweep('', a=unknown, b=unknown)
            )
            self.assertEqual(
                f'plane {reason}*2 ok 10', self.sweep('a=up b=down')
            )

    def test_without_a_listing_no_guest_is_gone(self) -> None:
        """A sweep that brings nothing changes no guest."""
        self.sweep('a=up b=down')
        [change] = self.watch.failed('no login', 15.0)
        self.assertEqual('plane ok None*None', named_change(change))
        self.assertEqual([], self.watch.failed('no listing', 16.0))
        self.assertEqual('plane None*None ok 5', self.sweep('a=up b=down'))

    def test_the_latest_name_is_kept(self) -> None:
        """A sweep without a listing keeps the name of an earlier one."""
        for name, kept in (('old', 'old'), ('new', 'new'), (None, 'new')):
            found = base.findings(
                [outcomes.Target('a', name)], [result('a', DOWN)]
            )
            self.watch.swept(found, 1.0)
            self.assertEqual(
                [kept], [each.name for each in self.watch.not_reachable]
            )

    def test_guests_are_not_reachable_since_their_last_change(self) -> None:
        """A failure of the control plane does not reset the time."""
        self.sweep('a=down b=up')
        self.sweep('a=down b=failed')
        self.sweep('a=cut b=cut')
        self.assertEqual(
            [('a', 10.0), ('b', 20.0)],
            [
                (each.instance_id, each.since)
                for each in self.watch.not_reachable
            ],
        )

    def test_it_keeps_no_more_than_there_are_guests(self) -> None:
        """A monitor runs for weeks, while instances come and go.

        A name without an instance is not a guest.
        """
        for number in range(100):
            self.sweep(f'guest{number}=down')
        self.assertEqual(1, len(self.watch.not_reachable))
        gone = result(
            '', (verdicts.Verdict.UNKNOWN, verdicts.Reason.NOT_FOUND)
        )
        found = base.findings([outcomes.Target(None, 'x')], [gone])
        [_] = self.watch.swept(found, 1.0)
        self.assertEqual([], self.watch.not_reachable)


class FailureTest(testtools.TestCase):
    def test_a_failure_is_widespread_if_most_guests_are_unknown(self) -> None:
        """Without a sweep, no guest is known."""
        for unknown, guests, widespread in (
            *((1, 3, False), (2, 4, False), (2, 3, True)),
            (None, None, True),
        ):
            failure = outcomes_changes.Failure(
                reason=None, detail='why', unknown=unknown, guests=guests
            )
            self.assertEqual(widespread, failure.widespread)


class EventsTest(testtools.TestCase):
    died = outcomes_changes.GuestChange(
        instance_id='id-7',
        name='db-7',
        before=verdicts.Verdict.REACHABLE,
        after=verdicts.Verdict.UNREACHABLE,
        seconds=11_520.0,
        result=result('id-7', DOWN, 'Timeout', 'req-1'),
    )
    failing = outcomes_changes.ControlPlaneChange(
        before=None,
        after=outcomes_changes.Failure(
            reason=verdicts.Reason.CONNECTION,
            detail='refused',
            unknown=2,
            guests=9,
        ),
    )

    def test_each_event_is_a_line(self) -> None:
        """A line has time, ID, old and new verdict, duration and name, if any.

        The control plane has no ID. A failure counts the unknown guests, or
        says that there was no sweep.
        """
        gone = dataclasses.replace(
            self.died, name=None, after=None, seconds=5.0, result=None
        )
        new = dataclasses.replace(
            self.died, name=None, before=None, seconds=None
        )
        for change, line in (
            (
                self.died,
                'id-7 reachable -> unreachable after 3h12m "db-7"',
            ),
            (new, 'id-7 new -> unreachable'),
            (gone, 'id-7 reachable -> gone after 5s'),
            (
                self.failing,
                'control plane ok -> failing (2 of 9 guests unknown, '
                'connection: "refused")',
            ),
            (
                outcomes_changes.ControlPlaneChange(
                    before=self.failing.after, after=None, seconds=61.0
                ),
                'control plane failing -> ok after 1m1s',
            ),
            (
                outcomes_changes.ControlPlaneChange(
                    before=None,
                    after=outcomes_changes.Failure(
                        reason=None, detail='no login'
                    ),
                ),
                'control plane ok -> failing (no sweep: "no login")',
            ),
        ):
            self.assertEqual(
                f'2026-11-22T12:00:07Z {line}', events.line(change, NOON)
            )

    def test_neither_a_name_nor_a_text_forges_a_line(self) -> None:
        """The ID is the second word, and always one word.

        The name comes last. Name and text are in quotes, and an error
        has its reason, which the verdict does not say.
        """
        name = 'db-8" id-8 reachable -> unreachable after 1s "db-8'
        text = 'x") "db-8"'
        change = dataclasses.replace(
            self.died,
            instance_id='a b',
            name=name,
            after=verdicts.Verdict.ERROR,
            result=result('id-7', FAILED, text, 'req-1'),
        )
        line = events.line(change, NOON)
        self.assertEqual(
            '2026-11-22T12:00:07Z "a b" reachable -> error after 3h12m '
            r'(agent-error: "x\") \"db-8\"") '
            r'"db-8\" id-8 reachable -> unreachable after 1s \"db-8"',
            line,
        )
        # A parser of shell words agrees.
        words = shlex.split(line)
        self.assertEqual(('a b', name), (words[1], words[-1]))

    def test_json_is_one_object_a_line(self) -> None:
        """All events of a kind have the same keys."""
        self.assertEqual(
            {
                'time': '2026-11-22T12:00:07Z',
                'event': 'guest',
                'id': 'id-7',
                'name': 'db-7',
                'from': 'reachable',
                'to': 'unreachable',
                'reason': 'agent-timeout',
                'detail': 'Timeout',
                'request_id': 'req-1',
                'seconds': 11520.0,
            },
            json.loads(events.json_line(self.died, NOON)),
        )
        self.assertEqual(
            {
                'time': '2026-11-22T12:00:07Z',
                'event': 'control-plane',
                'from': 'ok',
                'to': 'failing',
                'reason': 'connection',
                'detail': 'refused',
                'unknown': 2,
                'guests': 9,
                'seconds': None,
            },
            json.loads(events.json_line(self.failing, NOON)),
        )

    def test_every_event_is_one_clean_line(self) -> None:
        """Texts of guests, tenants and servers are cleaned."""
        evil = '\x1b[31m\x07evil\n\u202e\u2028{"'
        (change,) = outcomes_changes.Watch().swept(
            base.findings(
                [outcomes.Target(evil, evil)], [result(evil, FAILED, evil)]
            ),
            0.0,
        )
        for style in (events.line, events.json_line):
            line = style(change, NOON)
            self.assertTrue(line.isprintable(), repr(line))
        self.assertIn('evil', json.loads(events.json_line(change, NOON))['id'])

    def test_durations_are_short(self) -> None:
        """A duration has its two largest units."""
        for seconds, text in {
            0.2: '0s',
            59.6: '1m',
            61.0: '1m1s',
            3600.0: '1h',
            11_520.0: '3h12m',
            90_061.0: '1d1h',
            864_000.0: '10d',
        }.items():
            self.assertEqual(text, durations.compact(seconds))
