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

"""The changes that the monitor finds from sweep to sweep."""

import dataclasses
import datetime
import json
import shlex

import testtools

from troveclient_rpcping import durations
from troveclient_rpcping.osc import events
from troveclient_rpcping.outcomes.changes import Change
from troveclient_rpcping.outcomes.changes import ControlPlaneChange
from troveclient_rpcping.outcomes.changes import Failure
from troveclient_rpcping.outcomes.changes import GuestChange
from troveclient_rpcping.outcomes.changes import Watch
from troveclient_rpcping.outcomes.outcome import Target
from troveclient_rpcping.tests import base
from troveclient_rpcping.verdict import CONTROL_PLANE
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict

NOON = datetime.datetime(2026, 11, 22, 12, 0, 7, 5, datetime.UTC)

UP = (Verdict.REACHABLE, None)
DOWN = (Verdict.UNREACHABLE, Reason.AGENT_TIMEOUT)
FAILED = (Verdict.ERROR, Reason.AGENT_ERROR)
UNREADY = (Verdict.UNKNOWN, Reason.NOT_READY)
CUT = (Verdict.UNKNOWN, Reason.CONNECTION)
SKIPPED = (Verdict.UNKNOWN, Reason.NOT_ASKED)

State = tuple[Verdict, Reason | None]


def result(
    id_: str, state: State, message: str = '', request_id: str | None = None
) -> PingResult:
    return PingResult(
        instance_id=id_,
        verdict=state[0],
        reason=state[1],
        message=message,
        request_id=request_id,
    )


class WatchTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.watch = Watch()
        self.now = 0.0

    def sweep(self, **states: State) -> list[Change]:
        """Sweep guests, ten seconds after the last sweep."""
        self.now += 10.0
        targets = [Target(id_, f'db-{id_}') for id_ in states]
        results = [result(id_, each, 'why') for id_, each in states.items()]
        return self.watch.swept(base.findings(targets, results), self.now)

    def changes(self, **states: State) -> list[tuple[str, str, str]]:
        """Return the changes of guests: ID, old and new verdict."""
        return [
            (
                change.instance_id,
                str(change.before or 'new'),
                str(change.after or 'gone'),
            )
            for change in self.sweep(**states)
            if isinstance(change, GuestChange)
        ]

    def test_an_unchanged_verdict_is_not_a_change(self) -> None:
        """Neither a good verdict nor a bad one."""
        self.sweep(a=UP, b=DOWN)
        self.assertEqual([], self.sweep(a=UP, b=DOWN))

    def test_a_guest_that_dies_and_comes_back_changes_twice(self) -> None:
        """Each change says how long the old verdict lasted."""
        self.sweep(a=UP)
        self.sweep(a=UP)
        (died,) = self.sweep(a=DOWN)
        assert isinstance(died, GuestChange)
        self.assertEqual(
            (Verdict.REACHABLE, Verdict.UNREACHABLE, 20.0),
            (died.before, died.after, died.seconds),
        )
        (back,) = self.sweep(a=UP)
        assert isinstance(back, GuestChange)
        self.assertEqual(10.0, back.seconds)

    def test_guests_come_and_go(self) -> None:
        """A new guest and a deleted guest are changes."""
        self.sweep(a=UP)
        self.sweep(a=UP)
        changes = [
            (each.instance_id, each.before, each.after, each.seconds)
            for each in self.sweep(b=DOWN, c=UP)
            if isinstance(each, GuestChange)
        ]
        self.assertEqual(
            [
                ('a', Verdict.REACHABLE, None, 20.0),
                ('b', None, Verdict.UNREACHABLE, None),
                ('c', None, Verdict.REACHABLE, None),
            ],
            changes,
        )

    def test_a_reachable_guest_of_the_first_sweep_is_not_a_change(
        self,
    ) -> None:
        """The first sweep reports only the other guests."""
        self.assertEqual([('b', 'new', 'error')], self.changes(a=UP, b=FAILED))

    def test_a_guest_is_expected_if_the_first_sweep_failed(self) -> None:
        """The guests of a first sweep in vain are not reported as new."""
        self.sweep(a=CUT, b=CUT)
        self.assertEqual([], self.changes(a=CUT, b=CUT, c=CUT))
        self.assertEqual(
            [('b', 'new', 'unreachable'), ('c', 'new', 'reachable')],
            self.changes(a=UP, b=DOWN, c=UP),
        )
        self.sweep(b=DOWN)
        self.assertEqual(
            [('a', 'new', 'reachable')], self.changes(a=UP, b=DOWN)
        )

    def test_a_guest_changes_while_others_are_unknown(self) -> None:
        """A failure of other pings does not hide the change."""
        self.sweep(a=UP, b=UP)
        self.assertEqual(
            [('b', 'reachable', 'unreachable')], self.changes(a=CUT, b=DOWN)
        )

    def test_of_several_failures_the_most_frequent_one_counts(self) -> None:
        """The failure counts all guests that are unknown."""
        slow = (Verdict.UNKNOWN, Reason.TIMEOUT)
        self.sweep(a=CUT, b=slow, c=slow, d=UP)
        self.assertEqual(
            Failure(
                reason=Reason.TIMEOUT,
                detail='why',
                unknown=3,
                guests=4,
            ),
            self.watch.failure,
        )

    def test_the_latest_name_is_kept(self) -> None:
        """A sweep without a listing keeps the name of an earlier one."""
        for name, kept in (('old', 'old'), ('new', 'new'), (None, 'new')):
            found = base.findings([Target('a', name)], [result('a', DOWN)])
            self.watch.swept(found, 1.0)
            self.assertEqual(
                [kept], [each.name for each in self.watch.not_reachable]
            )

    def test_a_failing_control_plane_takes_no_guest_down(self) -> None:
        """Guests keep their verdicts, whatever the reason of the failure."""
        for reason in CONTROL_PLANE:
            self.sweep(a=UP, b=DOWN)
            unknown = (Verdict.UNKNOWN, reason)
            self.assertEqual([], self.changes(a=unknown, b=unknown))
            self.assertEqual([], self.changes(a=UP, b=DOWN))

    def test_a_failure_is_reported_once(self) -> None:
        """It is reported when it begins and when it ends."""
        self.sweep(a=UP, b=UP)
        (begins,) = self.sweep(a=UP, b=CUT)
        assert isinstance(begins, ControlPlaneChange)
        self.assertEqual(
            Failure(
                reason=Reason.CONNECTION, detail='why', unknown=1, guests=2
            ),
            begins.after,
        )
        self.assertEqual([], self.sweep(a=CUT, b=UP))
        (ends,) = self.sweep(a=UP, b=UP)
        assert isinstance(ends, ControlPlaneChange)
        self.assertEqual((None, 20.0), (ends.after, ends.seconds))

    def test_another_failure_is_another_change(self) -> None:
        """The end says how long all failures lasted."""
        nova = (Verdict.UNKNOWN, Reason.COMPUTE_ERROR)
        self.sweep(a=CUT)
        self.sweep(a=CUT)
        (change,) = self.sweep(a=nova)
        assert isinstance(change, ControlPlaneChange) and change.after
        self.assertEqual(Reason.COMPUTE_ERROR, change.after.reason)
        self.assertEqual(20.0, change.seconds)
        (change,) = self.sweep(a=CUT)
        assert isinstance(change, ControlPlaneChange)
        self.assertEqual(10.0, change.seconds)
        (end,) = self.sweep(a=UP)
        assert isinstance(end, ControlPlaneChange)
        self.assertEqual(40.0, end.seconds)

    def test_a_failure_of_most_guests_is_another_failure(self) -> None:
        """It begins and ends while some guests always fail."""
        nova = (Verdict.UNKNOWN, Reason.COMPUTE_ERROR)
        self.sweep(a=nova, b=UP, c=UP, d=UP)
        self.assertEqual([], self.sweep(a=nova, b=nova, c=UP, d=UP), 'half')
        for states, unknown in (
            ({'a': nova, 'b': nova, 'c': nova, 'd': UP}, 3),
            ({'a': nova, 'b': UP, 'c': nova, 'd': UP}, 2),
        ):
            (change,) = self.sweep(**states)
            assert isinstance(change, ControlPlaneChange) and change.after
            self.assertEqual(unknown, change.after.unknown)
            self.assertEqual([], self.sweep(**states))

    def test_guests_that_were_not_asked_are_not_the_reason(self) -> None:
        """The reason is the one that ended the sweep."""
        (change,) = self.sweep(a=SKIPPED, b=SKIPPED, c=CUT)
        assert isinstance(change, ControlPlaneChange) and change.after
        self.assertEqual(Reason.CONNECTION, change.after.reason)
        self.assertEqual(3, change.after.unknown)

    def test_without_a_listing_no_guest_is_gone(self) -> None:
        """A sweep that brings nothing changes no guest."""
        self.sweep(a=UP, b=DOWN)
        (change,) = self.watch.failed('no login', 15.0)
        assert isinstance(change, ControlPlaneChange) and change.after
        self.assertEqual('no login', change.after.detail)
        self.assertEqual([], self.watch.failed('no listing', 16.0))
        self.assertEqual([], self.changes(a=UP, b=DOWN))

    def test_a_guest_that_is_not_ready_is_not_a_failure(self) -> None:
        """Not ready is a state of one guest."""
        self.sweep(a=UP)
        self.assertEqual(
            [('a', 'reachable', 'unknown')], self.changes(a=UNREADY)
        )
        self.assertIsNone(self.watch.failure)

    def test_guests_are_not_reachable_since_their_last_change(self) -> None:
        """A failure of the control plane does not reset the time."""
        self.sweep(a=DOWN, b=UP)
        self.sweep(a=DOWN, b=FAILED)
        self.sweep(a=CUT, b=CUT)
        self.assertEqual(
            [('a', 10.0), ('b', 20.0)],
            [
                (each.instance_id, each.since)
                for each in self.watch.not_reachable
            ],
        )

    def test_it_keeps_no_more_than_there_are_guests(self) -> None:
        """A monitor runs for weeks, while instances come and go."""
        for number in range(100):
            self.sweep(**{f'guest{number}': DOWN})
        self.assertEqual(1, len(self.watch.not_reachable))

    def test_a_name_without_an_instance_is_not_a_guest(self) -> None:
        """It is not a change, and is not kept."""
        gone = result('', (Verdict.UNKNOWN, Reason.NOT_FOUND))
        found = base.findings([Target(None, 'x')], [gone])
        self.assertEqual([], self.watch.swept(found, 1.0))


class EventsTest(testtools.TestCase):
    died = GuestChange(
        instance_id='id-7',
        name='db-7',
        before=Verdict.REACHABLE,
        after=Verdict.UNREACHABLE,
        seconds=11_520.0,
        result=result('id-7', DOWN, 'Timeout', 'req-1'),
    )
    failing = ControlPlaneChange(
        before=None,
        after=Failure(
            reason=Reason.CONNECTION, detail='refused', unknown=2, guests=9
        ),
    )

    def test_a_transition_is_a_line(self) -> None:
        """The line has time, ID, old and new verdict, duration and name."""
        self.assertEqual(
            '2026-11-22T12:00:07Z id-7 reachable -> unreachable after 3h12m '
            '"db-7"',
            events.line(self.died, NOON),
        )

    def test_neither_a_name_nor_a_text_forges_a_line(self) -> None:
        """The ID is the second word.

        The name comes last. Name and text are in quotes, and an error
        has its reason, which the verdict does not say.
        """
        name = 'db-8" id-8 reachable -> unreachable after 1s "db-8'
        text = 'x") "db-8"'
        change = dataclasses.replace(
            self.died,
            name=name,
            after=Verdict.ERROR,
            result=result('id-7', FAILED, text, 'req-1'),
        )
        line = events.line(change, NOON)
        self.assertEqual(
            '2026-11-22T12:00:07Z id-7 reachable -> error after 3h12m '
            r'(agent-error: "x\") \"db-8\"") '
            r'"db-8\" id-8 reachable -> unreachable after 1s \"db-8"',
            line,
        )
        # A parser of shell words agrees.
        words = shlex.split(line)
        self.assertEqual(('id-7', name), (words[1], words[-1]))

    def test_an_id_is_always_one_word(self) -> None:
        """A hostile ID moves no other word of the line."""
        change = dataclasses.replace(self.died, instance_id='a b')
        self.assertEqual('a b', shlex.split(events.line(change, NOON))[1])

    def test_new_and_gone_guests_have_lines(self) -> None:
        """Their lines leave out what they lack."""
        new = GuestChange(
            instance_id='a',
            name=None,
            before=None,
            after=Verdict.REACHABLE,
            result=result('a', UP),
        )
        gone = GuestChange(
            instance_id='a',
            name=None,
            before=Verdict.ERROR,
            after=None,
            seconds=5.0,
        )
        self.assertEqual(
            '2026-11-22T12:00:07Z a new -> reachable', events.line(new, NOON)
        )
        self.assertEqual(
            '2026-11-22T12:00:07Z a error -> gone after 5s',
            events.line(gone, NOON),
        )

    def test_the_control_plane_has_lines(self) -> None:
        """They count the unknown guests, or say that there was no sweep."""
        self.assertEqual(
            '2026-11-22T12:00:07Z control plane ok -> failing (2 of 9 guests '
            'unknown, connection: "refused")',
            events.line(self.failing, NOON),
        )
        self.assertEqual(
            'no sweep: "no login"',
            events.failure(Failure(reason=None, detail='no login')),
        )
        ends = ControlPlaneChange(
            before=self.failing.after, after=None, seconds=61.0
        )
        self.assertEqual(
            '2026-11-22T12:00:07Z control plane failing -> ok after 1m1s',
            events.line(ends, NOON),
        )

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
        (change,) = Watch().swept(
            base.findings([Target(evil, evil)], [result(evil, FAILED, evil)]),
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
