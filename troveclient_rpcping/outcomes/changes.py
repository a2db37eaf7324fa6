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

"""What changes from sweep to sweep, and what is only the control plane's.

A guest is not down because the API was. While nothing can be learnt of it, it
stays what it was when last known, and the trouble is told of the control
plane, once.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
import dataclasses

from troveclient_rpcping.cli.targets import Target
from troveclient_rpcping.verdict import CONTROL_PLANE
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A guest is not what it was.

    :param instance_id: which guest.
    :param name: its name, if known.
    :param before: its verdict until now; None for a guest that is new.
    :param after: its verdict from now on; None for a guest that is gone.
    :param seconds: how long it was what it was; None for a guest that is new.
    :param result: the ping that told; None for a guest that is gone.
    """

    instance_id: str
    name: str | None
    before: Verdict | None
    after: Verdict | None
    seconds: float | None = None
    result: PingResult | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why nothing is known of some guests, or of all.

    :param reason: the most frequent one; None if not even a listing came.
    :param detail: what the first of them said, as a clean line.
    :param unknown: of how many guests nothing is known; None for all.
    :param guests: how many there are; None if that is not known.
    :param widespread: whether nothing is known of most of them.
    """

    reason: Reason | None
    detail: str
    unknown: int | None = None
    guests: int | None = None
    widespread: bool = False

    @property
    def kind(self) -> tuple[Reason | None, bool]:
        """What tells it from another."""
        return self.reason, self.widespread


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """The control plane is not what it was.

    :param before: what was wrong until now; None for nothing.
    :param after: what is wrong from now on; None for nothing.
    :param seconds: for how long that was wrong, or for how long anything was
        if all is well now; None if nothing was.
    """

    before: Trouble | None
    after: Trouble | None
    seconds: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A guest that is not reachable.

    :param instance_id: which guest.
    :param name: its name, if known.
    :param since: since when its verdict is what it is.
    :param result: the latest ping that told of it.
    """

    instance_id: str
    name: str | None
    since: float
    result: PingResult


@dataclasses.dataclass(slots=True)
class _Known:
    """What is known of a guest, and since when."""

    name: str | None
    verdict: Verdict
    since: float
    result: PingResult


class Watch:
    """Keeps what is known of each guest, and as much as there are guests.

    Times are seconds on one clock, which the caller reads.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        # Whom it began with, as far as they are still there; None before that.
        self._first: set[str] | None = None
        #: What is wrong with the control plane; None for nothing.
        self.trouble: Trouble | None = None
        # Since when that, and since when anything is.
        self._since = self._failing_since = 0.0

    @property
    def bad(self) -> list[Bad]:
        """Who is not reachable, in the order in which that began."""
        found = [
            Bad(
                instance_id=id_,
                name=known.name,
                since=known.since,
                result=known.result,
            )
            for id_, known in self._known.items()
            if known.verdict is not Verdict.REACHABLE
        ]
        return sorted(found, key=lambda each: each.since)

    def swept(
        self,
        asked: Sequence[Target],
        results: Sequence[PingResult],
        now: float,
    ) -> list[Change | Shift]:
        """Take in a sweep, and return what it changes.

        That a guest is reachable is news only if it was known to be
        otherwise, or if it came later than the first sweep.

        :param asked: all that is watched now.
        :param results: what came of it, in the same order.
        :param now: when it ended.
        """
        changes: list[Change | Shift] = []
        changes += self._shift(_trouble_in(results), now)
        ids = {target.instance_id for target in asked if target.instance_id}
        changes += self._forget(ids, now)
        for target, result in zip(asked, results, strict=True):
            if target.instance_id is None or result.reason in CONTROL_PLANE:
                continue
            change = self._take(target.instance_id, target, result, now)
            if change is not None:
                changes.append(change)
        self._first = ids if self._first is None else self._first & ids
        return changes

    def failed(self, why: str, now: float) -> list[Shift]:
        """Take in a sweep that brought nothing, and return what changes.

        :param why: a clean line.
        :param now: when that was known.
        """
        return self._shift(Trouble(reason=None, detail=why), now)

    def _forget(self, ids: set[str], now: float) -> list[Change]:
        gone = [id_ for id_ in self._known if id_ not in ids]
        changes = []
        for id_ in gone:
            known = self._known.pop(id_)
            changes.append(
                Change(
                    instance_id=id_,
                    name=known.name,
                    before=known.verdict,
                    after=None,
                    seconds=now - known.since,
                )
            )
        return changes

    def _take(
        self, id_: str, target: Target, result: PingResult, now: float
    ) -> Change | None:
        known = self._known.get(id_)
        if known is not None:
            known.name = target.name or known.name
            known.result = result
            if known.verdict is result.verdict:
                return None
        self._known[id_] = _Known(target.name, result.verdict, now, result)
        from_the_first = self._first is None or id_ in self._first
        if (
            known is None
            and from_the_first
            and result.verdict is Verdict.REACHABLE
        ):
            return None
        return Change(
            instance_id=id_,
            name=target.name,
            before=known.verdict if known else None,
            after=result.verdict,
            seconds=now - known.since if known else None,
            result=result,
        )

    def _shift(self, trouble: Trouble | None, now: float) -> list[Shift]:
        """Take in what is wrong with the control plane now."""
        before, self.trouble = self.trouble, trouble
        if (before and before.kind) == (trouble and trouble.kind):
            return []
        since = self._since if trouble else self._failing_since
        self._since = now
        if before is None:
            self._failing_since = now
            return [Shift(before=None, after=trouble)]
        return [Shift(before=before, after=trouble, seconds=now - since)]


def _trouble_in(results: Sequence[PingResult]) -> Trouble | None:
    unknown = [each for each in results if each.reason in CONTROL_PLANE]
    if not unknown:
        return None
    # Who was not asked was not asked for another reason: tell that one.
    told = [
        each for each in unknown if each.reason is not Reason.NOT_ASKED
    ] or unknown
    [(reason, _)] = collections.Counter(
        each.reason for each in told
    ).most_common(1)
    first = next(each for each in told if each.reason is reason)
    return Trouble(
        reason=reason,
        detail=first.detail,
        unknown=len(unknown),
        guests=len(results),
        widespread=2 * len(unknown) > len(results),
    )
