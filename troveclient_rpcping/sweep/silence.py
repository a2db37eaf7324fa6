# SPDX-License-Identifier: Apache-2.0

"""Guests whose ping timed out: the next step for each, and its result."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import enum

from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.sweep import evidence as sweep_evidence
from troveclient_rpcping.sweep import queue as queues
from troveclient_rpcping.sweep import witnesses as sweep_witnesses


class Next(enum.Enum):
    """The need of a silent guest: more evidence, or a certain result.

    The value of an unknown result is its reason and its message.
    """

    #: A further ping.
    PING = enum.auto()
    #: Further controls.
    CONTROLS = enum.auto()
    #: It is dead.
    DEAD = enum.auto()
    #: It is dead on Trove's word alone: no other guest can be asked.
    DEAD_UNCONFIRMED = enum.auto()
    SERVER_OFF = (
        verdicts.Reason.SERVER_OFF,
        'The server of the guest is {server} in Nova, so no agent can answer '
        'in it',
    )
    BUSY = (
        verdicts.Reason.NOT_READY,
        'The agent does not answer while the guest has status {status}',
    )
    LOSSES = (
        verdicts.Reason.MESSAGE_BUS,
        "Trove's call timed out, but so did {lost} of {pings} pings of guests "
        'that answer',
    )
    LOST = (
        verdicts.Reason.MESSAGE_BUS,
        "Trove's call timed out, but the agent answered another ping",
    )
    NOT_STEADY = (
        verdicts.Reason.MESSAGE_BUS,
        "Trove's call timed out, but meanwhile the agents of other guests did "
        'not answer either',
    )
    NOBODY = (
        verdicts.Reason.MESSAGE_BUS,
        "Trove's call timed out, and the agent of no guest answers",
    )
    UNPROVEN = (
        verdicts.Reason.TIMEOUT,
        "Trove's call timed out, and the sweep ended before that could be "
        'proven',
    )


@dataclasses.dataclass(slots=True)
class Silent:
    """A guest that timed out, and has not answered since.

    :param guest: the guest.
    :param result: the latest timeout.
    :param held: its timeouts that are results, and have no verdict yet.
    :param asked: how often it was pinged since it fell silent.
    :param timeouts: how many of these timed out while agents answered.
    :param queued: whether a further ping of it waits, or is under way.
    """

    guest: queues.Guest
    result: verdicts.PingResult
    held: list[verdicts.PingResult] = dataclasses.field(default_factory=list)
    asked: int = 0
    timeouts: int = 0
    queued: bool = False

    def needs(
        self, evidence: sweep_evidence.Evidence, *, may_control: bool = True
    ) -> Next:
        """Return what comes next if agents answered in this sweep.

        :param may_control: whether controls may add to the evidence.
        """
        if not_ready := self._not_ready():
            return not_ready
        stale = self.guest.is_stale
        if evidence.proves(self.timeouts, stale=stale):
            return Next.DEAD
        may_ping = self.asked < sweep_evidence.MOST_TIMEOUTS and not (
            evidence.hopeless and self.asked > 1
        )
        least = 1 if stale else 2
        for timeouts in (self.timeouts, self.timeouts + may_ping):
            # Controls may be enough, and take less time than a timeout. And
            # they come before a ping, which may hide a worker from them.
            needed = max(least, timeouts)
            if may_control and evidence.wants_controls(needed, stale=stale):
                return Next.CONTROLS
        if may_ping:
            return Next.PING
        if evidence.lost:
            return Next.LOSSES
        return Next.NOT_STEADY if self.timeouts < least else Next.UNPROVEN

    def needs_alone(self) -> Next:
        """Return what comes next if there is no other guest to ask."""
        if not_ready := self._not_ready():
            return not_ready
        return Next.PING if self.asked < 2 else Next.DEAD_UNCONFIRMED

    def _not_ready(self) -> Next | None:
        row = self.guest.row
        if row is not None and row.is_off:
            return Next.SERVER_OFF
        return Next.BUSY if row is not None and row.is_busy else None


class SilentGuests:
    """Holds each guest that timed out until it answers or has a verdict.

    :param evidence: what the sweep has seen of the message bus.
    :param witnesses: has the rows of the listing.
    :param queue: takes the further pings that a guest needs.
    :param emit: takes each result.
    """

    def __init__(
        self,
        evidence: sweep_evidence.Evidence,
        witnesses: sweep_witnesses.Witnesses,
        queue: queues.Queue,
        emit: Callable[[verdicts.PingResult], None],
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
    def lacks_row(self) -> bool:
        """Whether the listing has not been read for one of them."""
        return any(each.guest.row is None for each in self._silent.values())

    def timed_out(
        self,
        task: queues.Task,
        result: verdicts.PingResult,
        sent: float,
        now: float,
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
            sent, now, stale=silent.guest.is_stale
        )
        if not task.extra:
            silent.held.append(result)
        return silent

    def report(self, *, is_alone: bool) -> None:
        """Report each timeout that is held, as it looks now; keep its guest.

        :param is_alone: whether no other guest can be asked.
        """
        for silent in self._silent.values():
            needs = silent.needs(self._evidence, may_control=False)
            if self._evidence.last is None:
                needs = Next.NOT_STEADY
                if self._witnesses.exhausted and is_alone:
                    needs = silent.needs_alone()
            for each in silent.held:
                self._emit(self._result(each, needs, silent))
            silent.held.clear()

    def end_silence(
        self, task: queues.Task, result: verdicts.PingResult
    ) -> verdicts.PingResult:
        """Report the earlier timeouts of a guest that has another result now.

        :returns: that result, with the number of lost pings.
        """
        silent = self._silent.pop(result.instance_id, None)
        if silent is None:
            return result
        # A ping for more evidence stands for the last one of the caller.
        held = silent.held[:-1] if task.extra else silent.held
        ending = Next.UNPROVEN
        if result.ok:
            ending = Next.LOST
            # A timeout while no agent answered is not a loss.
            self._evidence.lose(silent.timeouts)
            lost = silent.asked - len(held)
            result = dataclasses.replace(result, lost=lost)
        for each in held:
            self._emit(self._result(each, ending, silent))
        return result

    def fill_in_rows(self) -> None:
        """Give each guest its row, if the listing has been read."""
        for silent in self._silent.values():
            self._fill_in_row(silent)

    def end(self, needs: Next) -> None:
        """Give every guest this result."""
        for silent in list(self._silent.values()):
            self._act(silent, needs)

    def decide(
        self, *, is_asking: bool, is_alone: bool, may_control: bool
    ) -> bool:
        """Decide about each guest, as far as that is possible now.

        :param is_asking: whether pings of guests are under way, or wait.
        :param is_alone: whether no other guest can be asked.
        :param may_control: whether a guest can be pinged as a control.
        :returns: whether controls would help.
        """
        waiting = [each for each in self._silent.values() if not each.queued]
        if self._evidence.last is None:
            if not is_asking and self._witnesses.exhausted:
                for silent in waiting:
                    alone = silent.needs_alone() if is_alone else Next.NOBODY
                    self._act(silent, alone)
            return False
        undecided: list[tuple[Silent, Next]] = []
        for silent in waiting:
            if silent.guest.row is None and self._witnesses.is_reading:
                continue
            needs = silent.needs(self._evidence, may_control=may_control)
            if needs in (Next.SERVER_OFF, Next.BUSY) or (
                needs is Next.DEAD and self._is_settled(silent)
            ):
                self._act(silent, needs)
            else:
                undecided.append((silent, needs))
        # A round ends when no ping of a guest holds a worker.
        return not is_asking and self._end_round(undecided)

    def want_controls(self) -> bool:
        """Whether controls would add to the evidence about one of them."""
        evidence = self._evidence
        return (
            evidence.last is not None
            and not evidence.overdue
            and any(
                each.needs(evidence) is Next.CONTROLS
                for each in self._silent.values()
            )
        )

    def _end_round(self, undecided: list[tuple[Silent, Next]]) -> bool:
        """Ping silent guests again, unless controls have to come first.

        :returns: whether controls have to come first.
        """
        kinds = {needs for _, needs in undecided}
        if Next.CONTROLS in kinds:
            return True
        for silent, needs in undecided:
            # Another guest that answers its next ping may speak against a
            # death.
            if needs is not Next.DEAD or kinds == {Next.DEAD}:
                self._act(silent, needs)
        return False

    def _is_settled(self, silent: Silent) -> bool:
        """Whether nothing else may still speak against a death.

        The timeout of a guest with a fresh heartbeat may turn out to be a
        lost ping.
        """
        return not silent.guest.is_stale or all(
            each.guest.is_stale for each in self._silent.values()
        )

    def _act(self, silent: Silent, needs: Next) -> None:
        """Queue a further ping, or give all timeouts of a guest a verdict."""
        if needs is Next.PING:
            silent.queued = True
            self._queue.put(queues.Task(silent.guest, extra=True))
            return
        del self._silent[silent.guest.instance_id]
        if not silent.held:
            # Its timeouts were reported when they came.
            return
        result = self._result(silent.result, needs, silent)
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

    def _result(
        self, timeout: verdicts.PingResult, needs: Next, silent: Silent
    ) -> verdicts.PingResult:
        """Return a timeout as the result of a guest that needs this."""
        if needs is Next.DEAD:
            return timeout
        if needs is Next.DEAD_UNCONFIRMED:
            text = timeout.message.rstrip('.')
            return dataclasses.replace(
                timeout, message=f'{text}; no other guest confirms it'
            )
        if needs in (Next.PING, Next.CONTROLS):
            needs = Next.UNPROVEN
        reason, text = needs.value
        row, evidence = silent.guest.row, self._evidence
        message = text.format(
            server=row.server.status if row and row.server else None,
            status=row.status if row else None,
            lost=evidence.lost,
            pings=evidence.lost + evidence.answered,
        )
        return timeout.as_unknown(reason, message)

    def _fill_in_row(self, silent: Silent) -> None:
        id_ = silent.guest.instance_id
        if silent.guest.row is None and (row := self._witnesses.row(id_)):
            silent.guest = queues.Guest(id_, row)
