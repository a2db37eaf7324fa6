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

"""The sweep: which request comes next, and what the answers mean.

It sends nothing: the engine sends what :meth:`Sweep.next` returns, and reports
what comes back. Times are handed in, so that a model can run millions of
sweeps on a clock of its own.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import math

from troveclient_rpcping import exceptions
from troveclient_rpcping import inventory
from troveclient_rpcping import transport
from troveclient_rpcping.engine.questions import Answer
from troveclient_rpcping.engine.questions import Purpose
from troveclient_rpcping.engine.questions import Question
from troveclient_rpcping.inventory import Instance
from troveclient_rpcping.reply import Failure
from troveclient_rpcping.reply import NoReply
from troveclient_rpcping.sweep import silence
from troveclient_rpcping.sweep.breaker import Breaker
from troveclient_rpcping.sweep.capacity import Capacity
from troveclient_rpcping.sweep.controls import Controls
from troveclient_rpcping.sweep.evidence import CONTROL
from troveclient_rpcping.sweep.evidence import Evidence
from troveclient_rpcping.sweep.held import Errors
from troveclient_rpcping.sweep.held import Unanswered
from troveclient_rpcping.sweep.pending import Pending
from troveclient_rpcping.sweep.pending import Scene
from troveclient_rpcping.sweep.queue import Guest
from troveclient_rpcping.sweep.queue import Queue
from troveclient_rpcping.sweep.queue import Task
from troveclient_rpcping.sweep.repeat import Repeat
from troveclient_rpcping.sweep.witnesses import Listing
from troveclient_rpcping.sweep.witnesses import Witnesses
from troveclient_rpcping.verdict import judge
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import unknown
from troveclient_rpcping.verdict import Verdict

# The sweep needs witnesses after this many seconds without an answer of any
# agent: at the beginning, and later.
_FIRST_ANSWER = 1.0
_NEXT_ANSWER = 2.5

# The sweep reads the listing for a guest that keeps Trove waiting for longer
# than this, in seconds.
_NO_ROW = 2.0

# After this many silent guests, and no answer, more pings are useless.
_MUTE = 8

# After this many seconds without an answer of any agent, the sweep sends only
# controls; and it ends. A restart of the broker takes less.
_STALLED = 5.0
_LOST = 60.0

# A guest whose ping takes longer than this many seconds keeps Trove waiting.
_LONG = 0.5

# Seconds between two decisions about silent guests.
_LOOK = 0.1

# A guest that answers within this many usual round trips is a good control.
# While there are only few controls, each guest that answers becomes one.
_QUICK = 2
_FEW = 4

_NOBODY = 'No guest answers: check the message bus (RabbitMQ) and trove-api'


@dataclasses.dataclass(frozen=True, slots=True)
class _Sent:
    """A request under way."""

    now: float
    task: Task | None


class Sweep:
    """An :class:`~troveclient_rpcping.engine.questions.Agenda` of pings.

    :param guests: the guests to ping; see :class:`Queue`.
    :param repeat: whether to ping a guest more than once.
    :param capacity: how many pings may be in flight.
    :param timeout: seconds for each ping.
    :param now: the time in seconds.
    :param spacing: returns the seconds between two requests under the rate
        limit.
    :param listing: the instances of the cloud, if the caller has listed them.
        Otherwise the sweep reads the listing, if it needs one.
    """

    def __init__(
        self,
        guests: Iterable[Guest],
        repeat: Repeat,
        capacity: Capacity,
        *,
        timeout: float,
        now: float,
        spacing: Callable[[], float] = lambda: 0.0,
        listing: Collection[Instance] | None = None,
    ):
        self.evidence = Evidence()
        # A guest of a list is never a witness.
        if isinstance(guests, Collection):
            guests = list(guests)
            listed = {guest.instance_id for guest in guests}
        else:
            listed = set()
        self._listed = frozenset(listed)
        self._queue = Queue(guests, self._is_suspect)
        self._repeat = repeat
        self._capacity = capacity
        self._timeout = timeout
        self._spacing = spacing
        self._controls = Controls()
        self._witnesses = Witnesses(listing)
        self._breaker = Breaker(timeout)
        self._results: collections.deque[PingResult] = collections.deque()
        # The requests under way, and how many of them are pings of guests.
        self._flight: dict[Question, _Sent] = {}
        self._guests_in_flight = 0
        self._next_task: Task | None = None
        self._pending = Pending(
            self.evidence, self._witnesses, self._queue, self._emit
        )
        # The IDs of the guests that were pinged before the first answer, and
        # how many guests were pinged at all.
        self._asked: set[str] = set()
        self._pinged = 0
        # The guests that have a result, and those that answered, if there may
        # be a second time.
        self._seen: set[str] = set()
        self._heard: set[str] = set()
        self._unanswered = Unanswered(self._emit)
        self._errors = Errors(self._emit)
        self._answers = 0
        self._mixed = False
        self._wants_controls = False
        self._look_next = now
        self._ended = False
        capacity.begin(now)

    # What the engine asks for, and reports.

    @property
    def done(self) -> bool:
        """See :class:`Agenda`."""
        return self._ended or not (
            self._guests_in_flight
            or self._pending
            or self._queue
            # A witness may show that only --timeout was too short.
            or (self._unanswered and not self._witnesses.exhausted)
        )

    def next(self, now: float) -> Question | None:
        """See :class:`Agenda`."""
        self._capacity.watch(now)
        if now >= self._look_next:
            self._look_next = now + _LOOK
            self._look(now)
        if self.done:
            return None
        return (
            self._needed_control(now)
            or self._page(now)
            or self._witness(now)
            or self._guest(now)
            or self._pair(now)
            or self._further_control(now)
        )

    def wakes(self, now: float) -> float:
        """See :class:`Agenda`."""
        wakes = [self._queue.wakes(), self._look_next]
        if self._wants_controls:
            wakes.append(self._controls.wakes())
        # A request that is due waits for room, and so for an answer.
        return min((when for when in wakes if when > now), default=now + _LOOK)

    def sent(self, question: Question, now: float) -> None:
        """See :class:`Agenda`."""
        task, self._next_task = self._next_task, None
        self._flight[question] = _Sent(now, task)
        risky = False
        if question.purpose is Purpose.CONTROL:
            self._controls.sent(question, now)
        elif question.purpose is Purpose.GUEST and task is not None:
            self._guests_in_flight += 1
            risky = self._is_suspect(task.guest)
            self._pinged += task.first
            if self.evidence.last is None:
                self._asked.add(question.instance_id)
        self._capacity.sent(
            question,
            now,
            risky=risky,
            control=question.purpose is not Purpose.GUEST,
        )

    def unsent(self, question: Question, now: float, pause: float) -> None:
        """See :class:`Agenda`."""
        task = self._flight.pop(question).task
        self._capacity.ended(question, now, None)
        if question.purpose is Purpose.LISTING:
            self._witnesses.again(question.path)
        elif question.purpose is Purpose.CONTROL:
            self._control_ended(question, now, None, pause)
        elif task is not None and question.purpose is Purpose.WITNESS:
            self._witnesses.refused(task.guest, now + pause)
        elif task is not None:
            self._guests_in_flight -= 1
            self._pinged -= task.first
            self._queue.put(task, now + pause)

    def answered(self, answer: Answer) -> None:
        """See :class:`Agenda`."""
        question, now = answer.question, answer.arrived
        sent = self._flight.pop(question)
        if question.purpose is Purpose.LISTING:
            self._capacity.ended(question, now, None)
            self._witnesses.read(answer.reply, self._no_witnesses())
            return
        result = judge(answer.reply, question.instance_id, answer.rtt)
        heard = result.verdict is Verdict.REACHABLE
        self._capacity.ended(question, now, result.rtt if heard else None)
        if result.reason is Reason.AGENT_TIMEOUT:
            self._capacity.timed_out(now - sent.now)
            self.evidence.timeout(sent.now)
        elif result.reason is Reason.TIMEOUT:
            self._capacity.gave_up(sent.now, now)
        if heard:
            self._agent_answered(result, sent, now)
        if question.purpose is Purpose.CONTROL:
            self._control_answered(question, result, now)
        elif question.purpose is Purpose.WITNESS:
            self._witnesses.mute += not heard
        elif sent.task is not None:
            self._guests_in_flight -= 1
            self._guest_answered(sent.task, result, sent.now, now)

    def end(self, why: str, now: float, *, late: bool = False) -> None:
        """See :class:`Agenda`."""
        if self._ended:
            return
        self.finish()
        not_asked = NoReply(Failure.NOT_ASKED, why)
        unanswered = NoReply(Failure.TIMEOUT, why) if late else not_asked
        for question, sent in self._flight.items():
            if sent.task is not None and question.purpose is Purpose.GUEST:
                self._give_up_task(sent.task, unanswered)
        for task in self._queue.rest():
            self._give_up_task(task, not_asked)

    def take(self) -> Iterator[PingResult]:
        """Return each result once, as soon as it is certain."""
        while self._results:
            yield self._results.popleft()

    def finish(self) -> None:
        """End the sweep: report what is known of each guest that was asked."""
        self._ended = True
        self._pending.settle_all(silence.unproven)
        self._unanswered.release(None)
        self._errors.release(self._answers)

    # Which request comes next.

    def _guest(self, now: float) -> Question | None:
        """Return the ping of the next guest."""
        # Without controls, only a guest can show that agents answer again.
        if self._controls and self._is_stalled(now):
            return None
        while True:
            task = self._queue.next(
                now, lambda risky: self._capacity.has_room(now, risky=risky)
            )
            if task is None or not self._is_impossible(task.guest):
                break
        if task is None:
            return None
        return self._ping(
            Purpose.GUEST, task, fresh=self._needs_connection(task, now)
        )

    def _needs_connection(self, task: Task, now: float) -> bool:
        """Whether a ping needs a new connection.

        All kept connections may lead to a worker that lost the bus.
        """
        return (
            task.extra
            or task.guest.instance_id in self._pending
            or CONTROL < self.evidence.silent_for(now) < math.inf
        )

    def _needed_control(self, now: float) -> Question | None:
        """Return a control if no agent has answered for a while."""
        if self._controls.is_unpaired:
            return self._control()
        last, spacing = self.evidence.last, self.evidence.spacing
        if last is None or not self._controls.is_due(now, last, spacing):
            return None
        if self.evidence.hopeless and not self._repeat.patient:
            # A control would prove nothing, and would hold a worker if lost.
            return None
        return self._control() if self._keeps_waiting(now) else None

    def _pair(self, now: float) -> Question | None:
        """Return the first of two controls, if guests wait for a place."""
        if (
            not self._controls
            or self._controls.has_pair
            # A lost control holds a worker until it ends.
            or self.evidence.overdue
            or self._is_stalled(now)
            or not self._capacity.wants_pair(now)
            or not self._queue
        ):
            return None
        self._controls.begin_pair()
        self._capacity.pair_sent(now)
        return self._control()

    def _further_control(self, now: float) -> Question | None:
        """Return a control that adds to the evidence."""
        if self._wants_controls and self._controls.is_free(now):
            return self._control()
        return None

    def _control(self) -> Question:
        return self._ping(
            Purpose.CONTROL, None, self._controls.turn(), fresh=True
        )

    def _witness(self, now: float) -> Question | None:
        guest = self._witnesses.next(now)
        if guest is None:
            return None
        return self._ping(Purpose.WITNESS, Task(guest), fresh=True)

    def _page(self, now: float) -> Question | None:
        """Return the request for the next page of the listing."""
        unread = self._witnesses.listing is Listing.UNREAD
        if unread and not self._wants_rows(now):
            return None
        path = self._witnesses.page(self._no_witnesses())
        if path is None:
            return None
        return Question(
            Purpose.LISTING,
            path,
            timeout=inventory.TIMEOUT,
            limit=inventory.PAGE_LIMIT,
        )

    def _ping(
        self,
        purpose: Purpose,
        task: Task | None,
        instance_id: str = '',
        *,
        fresh: bool = False,
    ) -> Question:
        self._next_task = task
        id_ = task.guest.instance_id if task else instance_id
        return Question(
            purpose,
            transport.ping_path(id_),
            id_,
            fresh=fresh,
            timeout=self._timeout,
        )

    def _no_witnesses(self) -> frozenset[str]:
        """Return the IDs of guests that cannot be witnesses."""
        return self._listed.union(self._asked, self._pending.ids)

    def _is_suspect(self, guest: Guest) -> bool:
        """Whether a guest is likely to keep Trove waiting."""
        row = guest.row
        return (
            (row is not None and row.is_stale)
            or guest.instance_id in self._pending
            or guest.instance_id in self._capacity.suspects
        )

    def _is_impossible(self, guest: Guest) -> bool:
        """Whether the text cannot be an ID; report that as its result."""
        try:
            transport.ping_path(guest.instance_id)
        except exceptions.InvalidInstanceID as error:
            self._emit(
                unknown(guest.instance_id, Reason.NOT_FOUND, str(error))
            )
            return True
        return False

    def _keeps_waiting(self, now: float) -> bool:
        """Whether a guest keeps Trove waiting."""
        return self._oldest_wait(now) > _LONG

    def _oldest_wait(self, now: float) -> float:
        """Return how long the oldest ping of a guest is under way."""
        for sent in self._flight.values():
            if sent.task is not None:
                return now - sent.now
        return 0.0

    def _is_stalled(self, now: float) -> bool:
        """Whether agents answered before, and no agent answers now."""
        return (
            self.evidence.last is not None
            and not self._repeat.patient
            and not self.evidence.hopeless
            and bool(self.evidence.overdue)
            and self.evidence.silent_for(now)
            > max(_STALLED, 4 * self.evidence.spacing)
        )

    # What came back.

    def _agent_answered(
        self, result: PingResult, sent: _Sent, now: float
    ) -> None:
        id_ = result.instance_id
        task = sent.task
        new = task is not None and id_ not in self._heard
        if task is not None and (self._repeat.repeats or not task.first):
            self._heard.add(id_)
        stale = (
            task is not None
            and task.guest.row is not None
            and task.guest.row.is_stale
        )
        self.evidence.answer(now, new=new, stale=stale)
        self._asked.clear()
        self._breaker.heard()
        self._witnesses.dismiss()
        self._capacity.suspects.discard(id_)
        self._answers += new
        usual = self._capacity.usual or math.inf
        quick = (result.rtt or 0.0) <= _QUICK * usual
        if new and (quick or len(self._controls) < _FEW):
            self._controls.add(id_)
        self._unanswered.release(now)

    def _control_answered(
        self, question: Question, result: PingResult, now: float
    ) -> None:
        heard = result.verdict is Verdict.REACHABLE
        if result.reason in (Reason.AGENT_TIMEOUT, Reason.TIMEOUT):
            self.evidence.lose()
        self._controls.heard(question.instance_id, answered=heard)
        rtt = result.rtt if heard else None
        self._control_ended(question, now, rtt, (rtt or 0.2) / 2)

    def _control_ended(
        self, question: Question, now: float, rtt: float | None, pause: float
    ) -> None:
        pair = self._controls.ended(question, now, rtt, pause)
        if pair is not None:
            self._capacity.pair_ended(now, pair)

    def _guest_answered(
        self, task: Task, result: PingResult, sent: float, now: float
    ) -> None:
        guest = task.guest
        due = None
        if not task.extra:
            due = self._repeat.due(result, sent, now)
        if due is not None:
            self._queue.put(Task(guest), due)
        if result.reason is Reason.AGENT_TIMEOUT:
            silent = self._pending.timed_out(task, result, sent, now)
            silent.queued = due is not None
            self._capacity.suspects.add(guest.instance_id)
            self._look_next = now
            if self._repeat.patient:
                self._pending.report(silent, is_alone=self._is_alone)
        else:
            self._not_timed_out(task, result, now)
        why = self._breaker.saw(result, self._capacity.peak)
        if why and not self._repeat.patient:
            self.end(why, now)

    def _not_timed_out(
        self, task: Task, result: PingResult, now: float
    ) -> None:
        result = self._pending.end_silence(task, result)
        if result.reason is Reason.TIMEOUT:
            self._unanswered.add(result, now)
            if self.evidence.last is not None or self._repeat.patient:
                self._unanswered.release(self.evidence.last)
        elif result.reason is Reason.AGENT_ERROR and not self._repeat.patient:
            self._errors.add(result)
        else:
            self._emit(result)

    def _emit(self, result: PingResult) -> None:
        if self._repeat.repeats:
            self._seen.add(result.instance_id)
        self._results.append(result)

    def _give_up_task(self, task: Task, reply: NoReply) -> None:
        id_ = task.guest.instance_id
        if not task.extra and id_ not in self._seen:
            self._emit(judge(reply, id_, None))

    # What becomes of silent guests.

    def _wants_rows(self, now: float) -> bool:
        """Whether the listing is needed."""
        if self._pending.lacks_row:
            return True
        if self.evidence.last is None:
            return bool(
                self._unanswered
                or self._pending
                or self._oldest_wait(now) > _FIRST_ANSWER
            )
        if self.evidence.silent_for(now) > _NEXT_ANSWER:
            return self._keeps_waiting(now)
        return any(
            sent.task is not None
            and sent.task.guest.row is None
            and now - sent.now > _NO_ROW
            for sent in self._flight.values()
        )

    def _look(self, now: float) -> None:
        """Decide about each silent guest, as far as that is possible now."""
        self._pending.fill_in_rows()
        evidence = self.evidence
        evidence.spacing = self._spacing()
        evidence.waits_since = min(
            (sent.now for sent in self._flight.values()), default=math.inf
        )
        usual = self._capacity.usual or 0.0
        evidence.overdue = self._controls.overdue(now, usual)
        self._unanswered.expire(now)
        if self._controls.give_up_pair(now, usual):
            self._capacity.pair_ended(now, ())
        if evidence.last is None:
            self._look_for_an_answer(now)
        elif evidence.silent_for(now) > _LOST and not self._repeat.patient:
            self._give_up(now)
        self._wants_controls = False
        if self._repeat.patient:
            return
        scene = Scene(
            has_controls=bool(self._controls),
            is_asking=bool(self._guests_in_flight or self._queue),
            is_stalled=self._is_stalled(now),
            is_alone=self._is_alone,
        )
        self._wants_controls = self._pending.decide(scene)

    def _look_for_an_answer(self, now: float) -> None:
        """Look for other guests, or give up, before the first answer."""
        if not self._mixed and self._oldest_wait(now) > _FIRST_ANSWER:
            self._mixed = True
            self._queue.mix()
        mute = len(self._pending) + self._witnesses.mute
        if (
            mute >= _MUTE
            and self._witnesses.exhausted
            and not self._repeat.patient
        ):
            self._give_up(now)

    def _give_up(self, now: float) -> None:
        explain = silence.not_steady
        if self.evidence.last is None:
            explain = silence.nobody
        self._pending.settle_all(explain)
        self.end(_NOBODY, now)

    @property
    def _is_alone(self) -> bool:
        """Whether no other guest can be asked."""
        return not self._witnesses.asked and (
            self._pinged == 1 or self._witnesses.listing is Listing.MISSING
        )
