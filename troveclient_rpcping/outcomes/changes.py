# SPDX-License-Identifier: Apache-2.0

"""The changes from sweep to sweep, of guests and of the control plane.

A guest keeps its last known verdict while the control plane fails. The failure
is reported once, as one of the control plane.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
import dataclasses

from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.outcomes import shared


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GuestChange:
    """A guest has another verdict than before, is new, or is gone.

    :param before: its verdict until now; None for a guest that is new.
    :param after: its verdict from now on; None for a guest that is gone.
    :param seconds: how long *before* lasted.
    :param result: the ping with the verdict *after*.
    """

    instance_id: str
    name: str | None
    before: verdicts.Verdict | None
    after: verdicts.Verdict | None
    seconds: float | None = None
    result: verdicts.PingResult | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why some guests, or all, are unknown: the control plane fails.

    :param reason: the most frequent reason; None if the sweep brought nothing.
    :param detail: the text of the first guest with this reason: a clean line.
    :param unknown: how many of the *guests* are unknown; None for all.
    """

    reason: verdicts.Reason | None
    detail: str
    unknown: int | None = None
    guests: int | None = None

    @property
    def widespread(self) -> bool:
        """Whether most guests are unknown, or all."""
        if self.unknown is None or self.guests is None:
            return True
        return 2 * self.unknown > self.guests

    @property
    def kind(self) -> tuple[verdicts.Reason | None, bool]:
        """Two failures of the same kind are one event."""
        return self.reason, self.widespread


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlaneChange:
    """The control plane begins to fail, fails in another way, or works again.

    :param seconds: how long *before* lasted, or how long all failures lasted
        if there are none now; None if there was none.
    """

    before: Failure | None
    after: Failure | None
    seconds: float | None = None


#: A common trait stands for many guests that became bad.
Change = GuestChange | ControlPlaneChange | shared.CommonTrait


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KnownGuest:
    """The latest ping of a guest with its last known verdict.

    :param since: when it got this verdict.
    """

    instance_id: str
    name: str | None
    since: float
    result: verdicts.PingResult


class Watch:
    """Remembers what is known of each guest that still exists.

    Times are seconds on a clock that the caller reads. *now* is the end of a
    sweep.
    """

    def __init__(self) -> None:
        self._known: dict[str, KnownGuest] = {}
        # The guests of the first sweep that still exist; None before it.
        self._first: set[str] | None = None
        #: Why the control plane fails; None if it does not.
        self.failure: Failure | None = None
        #: The common trait of the bad guests of the last sweep; None for none.
        self.common: shared.CommonTrait | None = None
        # The reported common traits that are not over.
        self._waves: list[shared.CommonTrait] = []
        # The start of the present failure, and of the first one in a row.
        self._since = self._failing_since = 0.0

    @property
    def not_reachable(self) -> list[KnownGuest]:
        """The guests that are not reachable, in the order of *since*."""
        found = [each for each in self._known.values() if not each.result.ok]
        return sorted(found, key=lambda guest: guest.since)

    def swept(self, findings: outcomes.Findings, now: float) -> list[Change]:
        """Record a sweep of all guests, and return what it changes.

        A reachable guest is a change only if it had another verdict, or if it
        was not there in the first sweep.
        """
        by_id = {
            each.target.instance_id: each
            for each in findings.outcomes
            if each.target.instance_id
        }
        failure = _failure([each.result for each in findings.outcomes])
        changes = [*self._fail(failure, now), *self._compare(findings)]
        gone = [id_ for id_ in self._known if id_ not in by_id]
        changes += [self._forget(id_, now) for id_ in gone]
        for id_, outcome in by_id.items():
            if outcome.result.reason not in verdicts.CONTROL_PLANE:
                changes += self._learn(id_, outcome, now)
        ids = set(by_id)
        self._first = ids if self._first is None else self._first & ids
        return changes

    def failed(self, why: str, now: float) -> Sequence[Change]:
        """Record a sweep that brought nothing, and return what it changes.

        :param why: a clean line.
        """
        return self._fail(Failure(reason=None, detail=why), now)

    def _compare(self, findings: outcomes.Findings) -> list[Change]:
        """Return what the bad guests have in common, if that is new."""
        guests = findings.outcomes
        self._waves = [w for w in self._waves if not w.is_over(guests)]
        self.common = shared.common_trait(guests)
        known = {each.kind for each in self._waves}
        if self.common is None or self.common.kind in known:
            return []
        self._waves.append(self.common)
        return [self.common]

    def _forget(self, id_: str, now: float) -> GuestChange:
        known = self._known.pop(id_)
        return GuestChange(
            instance_id=id_,
            name=known.name,
            before=known.result.verdict,
            after=None,
            seconds=now - known.since,
        )

    def _learn(
        self, id_: str, outcome: outcomes.Outcome, now: float
    ) -> list[Change]:
        known, result = self._known.get(id_), outcome.result
        before = known.result.verdict if known else None
        stays = before is result.verdict
        name = outcome.target.name or (known.name if known else None)
        self._known[id_] = KnownGuest(
            instance_id=id_,
            name=name,
            since=known.since if known and stays else now,
            result=result,
        )
        # A reachable guest of the first sweep is expected.
        is_of_the_first = self._first is None or id_ in self._first
        if stays or (known is None and result.ok and is_of_the_first):
            return []
        return [
            GuestChange(
                instance_id=id_,
                name=name,
                before=before,
                after=result.verdict,
                seconds=now - known.since if known else None,
                result=result,
            )
        ]

    def _fail(self, failure: Failure | None, now: float) -> list[Change]:
        before, self.failure = self.failure, failure
        if (before and before.kind) == (failure and failure.kind):
            return []
        since = self._since if failure else self._failing_since
        self._since = now
        if before is None:
            self._failing_since = now
        seconds = now - since if before else None
        return [
            ControlPlaneChange(before=before, after=failure, seconds=seconds)
        ]


def _failure(results: Sequence[verdicts.PingResult]) -> Failure | None:
    unknown = [
        each for each in results if each.reason in verdicts.CONTROL_PLANE
    ]
    if not unknown:
        return None
    # NOT_ASKED is the effect of another reason. Report the other reason.
    not_asked = verdicts.Reason.NOT_ASKED
    causes = [each for each in unknown if each.reason is not not_asked]
    causes = causes or unknown
    counts = collections.Counter(each.reason for each in causes)
    [(reason, _)] = counts.most_common(1)
    return Failure(
        reason=reason,
        detail=next(each.detail for each in causes if each.reason is reason),
        unknown=len(unknown),
        guests=len(results),
    )
