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

"""The guests that timed out, and have no verdict yet."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
import dataclasses

from troveclient_rpcping.sweep import silence
from troveclient_rpcping.sweep.evidence import Evidence
from troveclient_rpcping.sweep.queue import Guest
from troveclient_rpcping.sweep.queue import Queue
from troveclient_rpcping.sweep.queue import Task
from troveclient_rpcping.sweep.silence import Next
from troveclient_rpcping.sweep.silence import Silent
from troveclient_rpcping.sweep.witnesses import Listing
from troveclient_rpcping.sweep.witnesses import Witnesses
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Verdict


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """What the sweep is doing while silent guests wait for a verdict.

    :param has_controls: whether there are guests for controls.
    :param is_asking: whether pings of guests are under way, or wait.
    :param is_stalled: whether agents answered before, and none answers now.
    :param is_alone: whether no other guest can be asked.
    """

    has_controls: bool
    is_asking: bool
    is_stalled: bool
    is_alone: bool


class Pending:
    """Holds each guest that timed out, until it answers or has a verdict.

    :param evidence: what the sweep has seen of the message bus.
    :param witnesses: has the rows of the listing.
    :param queue: takes the further pings that a guest needs.
    :param emit: takes each result.
    """

    def __init__(
        self,
        evidence: Evidence,
        witnesses: Witnesses,
        queue: Queue,
        emit: Callable[[PingResult], None],
    ):
        self._evidence = evidence
        self._witnesses = witnesses
        self._queue = queue
        self._emit = emit
        self._silent: dict[str, Silent] = {}

    def __len__(self) -> int:
        return len(self._silent)

    def __contains__(self, instance_id: str) -> bool:
        return instance_id in self._silent

    @property
    def ids(self) -> Iterable[str]:
        """The IDs of the guests."""
        return self._silent.keys()

    @property
    def lacks_row(self) -> bool:
        """Whether the listing has not been read for one of them."""
        return any(each.guest.row is None for each in self._silent.values())

    def timed_out(
        self, task: Task, result: PingResult, sent: float, now: float
    ) -> Silent:
        """Record a ping that timed out.

        :param sent: when it was sent.
        """
        silent = self._silent.get(result.instance_id)
        if silent is None:
            silent = Silent(task.guest, result)
            self._silent[result.instance_id] = silent
            self._fill_in_row(silent)
        silent.result = result
        silent.asked += 1
        silent.timeouts += self._evidence.steady(
            sent, now, stale=silent.is_stale
        )
        if not task.extra:
            silent.held.append(result)
        return silent

    def report(self, silent: Silent, *, is_alone: bool) -> None:
        """Report a guest as it looks now, and keep it.

        :param is_alone: as in :class:`Scene`.
        """
        needs = silent.needs(self._evidence, has_controls=False)
        if self._evidence.last is None:
            needs = Next.NOT_STEADY
            if self._witnesses.exhausted and is_alone:
                needs = silent.needs_alone()
        self._emit(self._result(silent, needs))
        silent.held.clear()

    def end_silence(self, task: Task, result: PingResult) -> PingResult:
        """Report the earlier timeouts of a guest that has another result now.

        :returns: that result, with the number of lost pings.
        """
        silent = self._silent.pop(result.instance_id, None)
        if silent is None:
            return result
        # A ping for more evidence stands for the last one of the caller.
        held = silent.held[:-1] if task.extra else silent.held
        explain = silence.unproven
        if result.verdict is Verdict.REACHABLE:
            explain = silence.lost
            # A timeout while no agent answered is not a loss.
            self._evidence.lose(silent.timeouts)
            lost = silent.asked - len(held)
            result = dataclasses.replace(result, lost=lost)
        for each in held:
            self._emit(explain(each))
        return result

    def fill_in_rows(self) -> None:
        """Give each guest its row, if the listing has been read."""
        for silent in self._silent.values():
            self._fill_in_row(silent)

    def settle_all(self, explain: Callable[[PingResult], PingResult]) -> None:
        """End the waiting of all guests.

        :param explain: makes the result of a guest of its latest timeout.
        """
        for silent in list(self._silent.values()):
            self._settle(silent, explain(silent.result))

    def decide(self, scene: Scene) -> bool:
        """Decide about each guest, as far as that is possible now.

        :returns: whether controls would help.
        """
        waiting = [each for each in self._silent.values() if not each.queued]
        if self._evidence.last is None:
            if not scene.is_asking and self._witnesses.exhausted:
                self._decide_without_answers(waiting, scene)
            return False
        if scene.is_stalled:
            if not scene.has_controls and self._witnesses.exhausted:
                for silent in waiting:
                    self._settle(silent, silence.not_steady(silent.result))
            return False
        undecided: list[tuple[Silent, Next]] = []
        for silent in waiting:
            if silent.guest.row is None and self._awaits_listing:
                continue
            needs = silent.needs(
                self._evidence, has_controls=scene.has_controls
            )
            if needs is Next.NOT_READY or (
                needs is Next.DEAD and self._is_settled(silent)
            ):
                self._act(silent, needs)
            else:
                undecided.append((silent, needs))
        # A round ends when no ping of a guest holds a worker.
        return not scene.is_asking and self._end_round(undecided)

    def _decide_without_answers(
        self, waiting: list[Silent], scene: Scene
    ) -> None:
        """Decide though no agent has answered in this sweep."""
        for silent in waiting:
            if silent.guest.row is None and self._awaits_listing:
                continue
            if scene.is_alone:
                self._act(silent, silent.needs_alone())
            else:
                self._settle(silent, silence.nobody(silent.result))

    def _end_round(self, needs: list[tuple[Silent, Next]]) -> bool:
        """Ping silent guests again, unless controls have to come first.

        :returns: whether controls have to come first.
        """
        kinds = {each for _, each in needs}
        if Next.CONTROLS in kinds:
            return True
        for silent, each in needs:
            # Another guest that answers its next ping may speak against a
            # death.
            if each is not Next.DEAD or kinds == {Next.DEAD}:
                self._act(silent, each)
        return False

    @property
    def _awaits_listing(self) -> bool:
        return self._witnesses.listing in (Listing.UNREAD, Listing.READING)

    def _is_settled(self, silent: Silent) -> bool:
        """Whether nothing else may still speak against a death.

        A guest with a fresh heartbeat that timed out may turn out to be a
        lost ping.
        """
        return not silent.is_stale or all(
            each.is_stale for each in self._silent.values()
        )

    def _act(self, silent: Silent, needs: Next) -> None:
        if needs is Next.PING:
            silent.queued = True
            self._queue.put(Task(silent.guest, extra=True))
        else:
            self._settle(silent, self._result(silent, needs))

    def _result(self, silent: Silent, needs: Next) -> PingResult:
        """Return the result of a guest that needs this."""
        result = silent.result
        match needs:
            case Next.DEAD | Next.DEAD_UNCONFIRMED:
                return silence.dead(result, confirmed=needs is Next.DEAD)
            case Next.NOT_READY:
                return silence.not_ready(silent)
            case Next.LOSSES:
                return silence.losses(result, self._evidence)
            case Next.NOT_STEADY:
                return silence.not_steady(result)
        return silence.unproven(result)

    def _settle(self, silent: Silent, result: PingResult) -> None:
        """Give all timeouts of a guest its verdict, and report them."""
        del self._silent[silent.guest.instance_id]
        if not silent.held:
            # They were reported when they came.
            return
        for each in silent.held[:-1]:
            self._emit(
                dataclasses.replace(
                    each,
                    verdict=result.verdict,
                    reason=result.reason,
                    message=result.message,
                )
            )
        self._emit(dataclasses.replace(result, lost=silent.asked - 1))

    def _fill_in_row(self, silent: Silent) -> None:
        id_ = silent.guest.instance_id
        if silent.guest.row is None and (row := self._witnesses.row(id_)):
            silent.guest = Guest(id_, row)
