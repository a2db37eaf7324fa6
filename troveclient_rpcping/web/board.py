# SPDX-License-Identifier: Apache-2.0

"""The state of the guests after the last sweep, for page and live view.

The monitor reports each sweep to the :class:`Board`. The threads of the HTTP
server read its :class:`Status`, an object that never changes.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import datetime
from typing import Any

from troveclient_rpcping import inventory
from troveclient_rpcping import plaintext
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.outcomes import changes as outcomes_changes
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.outcomes import shared

# The most on the page, which must load even if the whole cloud is down.
_GUESTS, _CHANGES, _SWEEPS = 200, 50, 60

# Characters of a name, at the most.
_NAME = 80

# A sweep is stale after this many intervals, but not before this many seconds.
_STALE_INTERVALS = 3
_STALE_SECONDS = 60.0

#: An object of ``/status.json``. All its texts are clean lines.
Record = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of the guests after a sweep, as last known.

    :param interval: seconds from the start of a sweep to that of the next.
    :param swept: the end of the last sweep that brought results.
    :param seconds: how long it took.
    :param failing: since when the control plane fails, why, and whether most
        guests are unknown because of it.
    :param off: how many of the unknown guests are in a server that is off.
    :param guests: some guests that are not reachable; there are *more*.
    :param common: what the guests that are down have in common.
    :param events: the changes, the latest first. A change of the control plane
        has no ID, and a change of many guests has only a text.
    :param round_trips: percentiles in seconds of each sweep that reached a
        guest, the latest last.
    """

    interval: float
    labels: Mapping[str, str]
    swept: datetime.datetime | None = None
    seconds: float = 0.0
    failing: Record | None = None
    verdicts: Mapping[verdicts.Verdict, int] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(verdicts.Verdict, 0)
    )
    off: int = 0
    guests: Sequence[Record] = ()
    more: int = 0
    common: str = ''
    events: Sequence[Record] = ()
    round_trips: Sequence[Record] = ()

    def age(self, now: datetime.datetime) -> float | None:
        """Return how many seconds ago the last good sweep ended, if any."""
        if self.swept is None:
            return None
        return max(0.0, (now - self.swept).total_seconds())

    def is_stale(self, now: datetime.datetime) -> bool:
        """Whether there should have been another good sweep by now."""
        age = self.age(now)
        usual = _STALE_INTERVALS * max(self.interval, self.seconds)
        return age is None or age > max(_STALE_SECONDS, usual)


class Board:
    """Keeps the :class:`Status`."""

    def __init__(
        self, interval: float, labels: Mapping[str, str] | None = None
    ):
        #: The state after the last sweep.
        self.status = Status(interval=interval, labels=dict(labels or {}))

    def swept(
        self,
        watch: outcomes_changes.Watch,
        findings: outcomes.Findings,
        changes: Sequence[outcomes_changes.Change],
        *,
        seconds: float,
        now: float,
        when: datetime.datetime,
    ) -> None:
        """Record a sweep that brought results, and what it changed.

        :param seconds: how long it took.
        :param now: its end, on the clock of *watch*.
        :param when: its end, in UTC.
        """
        summary = findings.summary
        round_trips = list(self.status.round_trips)
        if summary.rtts:
            p50, p95 = map(summary.percentile, (50, 95))
            round_trips.append({'p50': p50, 'p95': p95})
        targets = [each.target for each in findings.outcomes]
        rows = {each.instance_id: each.instance for each in targets}
        guests = sorted(watch.not_reachable, key=_order)
        self.status = dataclasses.replace(
            self._changed(watch, changes, when),
            swept=when,
            seconds=seconds,
            verdicts={
                each: summary.by_verdict[each] for each in verdicts.Verdict
            },
            off=summary.by_reason[verdicts.Reason.SERVER_OFF],
            guests=[
                _guest(each, rows.get(each.instance_id))
                | {'since': when - datetime.timedelta(0, now - each.since)}
                for each in guests[:_GUESTS]
            ],
            more=max(0, len(guests) - _GUESTS),
            common=watch.common.text if watch.common else '',
            round_trips=round_trips[-_SWEEPS:],
        )

    def failed(
        self,
        watch: outcomes_changes.Watch,
        changes: Sequence[outcomes_changes.Change],
        *,
        when: datetime.datetime,
    ) -> None:
        """Record a sweep that brought nothing: the guests stay as they are."""
        self.status = self._changed(watch, changes, when)

    def _changed(
        self,
        watch: outcomes_changes.Watch,
        changes: Sequence[outcomes_changes.Change],
        when: datetime.datetime,
    ) -> Status:
        """Return the status with the changes of a sweep."""
        # The first change of a sweep stays first: it may be about many guests.
        news = [event(each, when) for each in changes[:_CHANGES]]
        failing = None
        if watch.failure is not None:
            last = self.status.failing
            failing = {
                'since': last['since'] if last else when,
                'why': _words(watch.failure),
                'widespread': watch.failure.widespread,
            }
        events = [*news, *self.status.events][:_CHANGES]
        return dataclasses.replace(self.status, failing=failing, events=events)


def _order(guest: outcomes_changes.KnownGuest) -> tuple[bool, bool, float]:
    """Order guests: down, unknown, off; of each kind the latest first."""
    result = guest.result
    off = result.reason is verdicts.Reason.SERVER_OFF
    return result.verdict not in outcomes.BAD, off, -guest.since


def _guest(
    known: outcomes_changes.KnownGuest, row: inventory.Instance | None
) -> dict[str, Any]:
    """Return all that helps to find a guest."""
    row, result = row or inventory.Instance(''), known.result
    return {
        'instance_id': known.instance_id,
        'name': plaintext.one_line(known.name or '', _NAME),
        'verdict': result.verdict,
        'reason': result.reason,
        'detail': result.detail,
        'project_id': row.project_id or '',
        'datastore': row.datastore or '',
        'host': (row.server and row.server.host) or '',
        'request_id': plaintext.one_line(result.request_id or ''),
    }


def event(
    change: outcomes_changes.Change,
    when: datetime.datetime,
    quote: Callable[[str], str] = str,
) -> Record:
    """Return the record of a change in a sweep that ended *when*.

    :param quote: quotes the text of a server.
    """
    texts = dict.fromkeys(('name', 'before', 'after', 'why'), '')
    record: dict[str, Any] = {'when': when, 'instance_id': None, **texts}
    if isinstance(change, shared.CommonTrait):
        return record | {'seconds': None, 'why': change.text}
    record['seconds'] = change.seconds
    if isinstance(change, outcomes_changes.GuestChange):
        return record | {
            'instance_id': change.instance_id,
            'name': plaintext.one_line(change.name or '', _NAME),
            'before': change.before or 'new',
            'after': change.after or 'gone',
            'why': _why(change.result, quote),
        }
    return record | {
        'before': 'failing' if change.before else 'ok',
        'after': 'failing' if change.after else 'ok',
        'why': _words(change.after, quote) if change.after else '',
    }


def _why(
    result: verdicts.PingResult | None, quote: Callable[[str], str]
) -> str:
    # An unreachable guest has one reason, and Trove one sentence for it.
    obvious = (None, verdicts.Reason.AGENT_TIMEOUT)
    if result is None or result.reason in obvious:
        return ''
    return f'{result.reason}: {quote(result.detail)}'


def _words(
    failure: outcomes_changes.Failure, quote: Callable[[str], str] = str
) -> str:
    """Say how the control plane fails, in a clean line."""
    detail = quote(failure.detail)
    if failure.reason is None:
        return f'no sweep: {detail}'
    guests = f'{failure.unknown} of {failure.guests} guests unknown'
    return f'{guests}, {failure.reason}: {detail}'
