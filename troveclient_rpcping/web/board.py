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

"""The state of the guests after the last sweep, for the status page.

The monitor reports each sweep to the :class:`Board`. The threads of the HTTP
server read a :class:`Status` from it, which never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import datetime

from troveclient_rpcping import plaintext
from troveclient_rpcping.inventory import Instance
from troveclient_rpcping.outcomes.changes import Change
from troveclient_rpcping.outcomes.changes import Failure
from troveclient_rpcping.outcomes.changes import GuestChange
from troveclient_rpcping.outcomes.changes import KnownGuest
from troveclient_rpcping.outcomes.changes import Watch
from troveclient_rpcping.outcomes.changes import Wave
from troveclient_rpcping.outcomes.outcome import BAD
from troveclient_rpcping.outcomes.outcome import Findings
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict

#: Guests in a list, at the most: the page of a cloud that is down must load.
GUESTS = 200

#: Changes in a list, at the most.
CHANGES = 50

#: Sweeps whose round-trip times are drawn.
SWEEPS = 60

# Characters of a name, at the most.
_NAME = 80

# A sweep is stale after this many intervals, but not before this many seconds.
_STALE_INTERVALS = 3
_STALE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A guest that is not reachable, and since when. All texts are clean."""

    instance_id: str
    name: str
    verdict: Verdict
    reason: Reason | None
    detail: str
    since: datetime.datetime
    project_id: str
    datastore: str
    host: str
    request_id: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A change in a sweep that ended *when*. All texts are clean lines.

    A change of a guest has an ID, and verdicts from *before* (or ``new``) and
    *after* (or ``gone``). One of the control plane has no ID, and ``ok`` and
    ``failing`` for verdicts. One of many guests has only a text.

    :param seconds: how long *before* had lasted; None for a new guest.
    :param why: what the verdict does not say; empty for nothing.
    """

    when: datetime.datetime
    instance_id: str | None = None
    name: str = ''
    before: str = ''
    after: str = ''
    seconds: float | None = None
    why: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class RoundTrips:
    """Percentiles of the round-trip times of one sweep, in seconds."""

    p50: float
    p95: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """The control plane fails, since when and why (a clean line).

    :param widespread: whether most guests are unknown for it, or all.
    """

    since: datetime.datetime
    why: str
    widespread: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of the guests after a sweep, as last known."""

    # Seconds from the start of a sweep to that of the next.
    interval: float
    labels: Mapping[str, str]
    # The end of the last sweep that brought results, and how long it took.
    swept: datetime.datetime | None = None
    seconds: float = 0.0
    failing: Failing | None = None
    verdicts: Mapping[Verdict, int] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(Verdict, 0)
    )
    # How many of the unknown guests are in a server that is off.
    off: int = 0
    # Some guests that are not reachable, and how many more there are.
    guests: Sequence[Guest] = ()
    more: int = 0
    # What the guests that are down have in common.
    common: str = ''
    # The latest change first, and the latest sweep last.
    events: Sequence[Event] = ()
    round_trips: Sequence[RoundTrips] = ()

    @property
    def down(self) -> int:
        """How many guests are unreachable or in error."""
        return sum(self.verdicts[each] for each in BAD)

    def age(self, now: datetime.datetime) -> float | None:
        """Return how many seconds ago the last good sweep ended, if any."""
        if self.swept is None:
            return None
        return max(0.0, (now - self.swept).total_seconds())

    def is_stale(self, now: datetime.datetime) -> bool:
        """Whether there should have been another good sweep long ago."""
        age = self.age(now)
        usual = max(self.interval, self.seconds)
        return age is None or age > max(
            _STALE_SECONDS, _STALE_INTERVALS * usual
        )


class Board:
    """Keeps the :class:`Status`.

    :param interval: seconds from the start of a sweep to that of the next.
    :param labels: the labels of the monitor.
    """

    def __init__(
        self, interval: float, labels: Mapping[str, str] | None = None
    ):
        #: The state after the last sweep.
        self.status = Status(interval=interval, labels=dict(labels or {}))

    def swept(
        self,
        watch: Watch,
        findings: Findings,
        changes: Sequence[Change],
        *,
        seconds: float,
        now: float,
        when: datetime.datetime,
    ) -> None:
        """Record a sweep that brought results.

        :param watch: what is known of each guest after it.
        :param findings: the outcomes of the sweep.
        :param changes: what the sweep changed.
        :param seconds: how long it took.
        :param now: its end, on the clock of *watch*.
        :param when: its end, in UTC.
        """
        summary = findings.summary
        round_trips = list(self.status.round_trips)
        if summary.rtts:
            percentiles = (summary.percentile(50), summary.percentile(95))
            round_trips.append(RoundTrips(*percentiles))
        rows = {
            each.target.instance_id: each.target.instance
            for each in findings.outcomes
        }
        guests = sorted(watch.not_reachable, key=_order)
        status = dataclasses.replace(
            self.status,
            swept=when,
            seconds=seconds,
            verdicts={each: summary.verdicts[each] for each in Verdict},
            off=summary.reasons[Reason.SERVER_OFF],
            guests=[
                _guest(
                    each,
                    rows.get(each.instance_id) or Instance(''),
                    when - datetime.timedelta(seconds=now - each.since),
                )
                for each in guests[:GUESTS]
            ],
            more=max(0, len(guests) - GUESTS),
            common=watch.common.text if watch.common else '',
            round_trips=round_trips[-SWEEPS:],
        )
        self._show(status, watch, changes, when)

    def failed(
        self,
        watch: Watch,
        changes: Sequence[Change],
        *,
        when: datetime.datetime,
    ) -> None:
        """Record a sweep that brought nothing: the guests stay as they were.

        The parameters are those of :meth:`swept`.
        """
        self._show(self.status, watch, changes, when)

    def _show(
        self,
        status: Status,
        watch: Watch,
        changes: Sequence[Change],
        when: datetime.datetime,
    ) -> None:
        """Put the changes of a sweep into a status, and show it."""
        # The first change of a sweep stays first: it may be about many guests.
        news = [_event(each, when) for each in changes[:CHANGES]]
        failing, failure = None, watch.failure
        if failure is not None:
            failing = Failing(
                since=status.failing.since if status.failing else when,
                why=_words(failure),
                widespread=failure.reason is None or failure.widespread,
            )
        self.status = dataclasses.replace(
            status, failing=failing, events=[*news, *status.events][:CHANGES]
        )


def _order(guest: KnownGuest) -> tuple[bool, bool, float]:
    """Order the guests that are down first, and the latest of each first."""
    result = guest.result
    off = result.reason is Reason.SERVER_OFF
    return result.verdict not in BAD, off, -guest.since


def _guest(
    known: KnownGuest, row: Instance, since: datetime.datetime
) -> Guest:
    result = known.result
    return Guest(
        instance_id=known.instance_id,
        name=plaintext.one_line(known.name or '', _NAME),
        verdict=result.verdict,
        reason=result.reason,
        detail=result.detail,
        since=since,
        project_id=row.project_id or '',
        datastore=row.datastore or '',
        host=(row.server and row.server.host) or '',
        request_id=plaintext.one_line(result.request_id or ''),
    )


def _event(change: Change, when: datetime.datetime) -> Event:
    if isinstance(change, GuestChange):
        result = change.result
        return Event(
            when=when,
            instance_id=change.instance_id,
            name=plaintext.one_line(change.name or '', _NAME),
            before=change.before or 'new',
            after=change.after or 'gone',
            seconds=change.seconds,
            why=_why(result) if result else '',
        )
    if isinstance(change, Wave):
        return Event(when=when, why=change.common.text)
    return Event(
        when=when,
        before='failing' if change.before else 'ok',
        after='failing' if change.after else 'ok',
        seconds=change.seconds,
        why=_words(change.after) if change.after else '',
    )


def _why(result: PingResult) -> str:
    # An unreachable guest has one reason, and Trove one sentence for it.
    if result.reason in (None, Reason.AGENT_TIMEOUT):
        return ''
    return f'{result.reason}: {result.detail}'


def _words(failure: Failure) -> str:
    """Say how the control plane fails, in a clean line."""
    if failure.reason is None:
        return f'no sweep: {failure.detail}'
    guests = f'{failure.unknown} of {failure.guests} guests unknown'
    return f'{guests}, {failure.reason}: {failure.detail}'
