# SPDX-License-Identifier: Apache-2.0

"""The sweep: the next request, and the result of each guest.

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
from collections.abc import Sequence
import dataclasses
import math

from troveclient_rpcping import exceptions
from troveclient_rpcping import inventory
from troveclient_rpcping import reply as replies
from troveclient_rpcping import transport
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.sweep import breaker as breakers
from troveclient_rpcping.sweep import capacity as capacities
from troveclient_rpcping.sweep import controls
from troveclient_rpcping.sweep import evidence as sweep_evidence
from troveclient_rpcping.sweep import held
from troveclient_rpcping.sweep import queue as queues
from troveclient_rpcping.sweep import repeat as repeats
from troveclient_rpcping.sweep import silence
from troveclient_rpcping.sweep import witnesses as sweep_witnesses

# The sweep needs witnesses after this many seconds without an answer of any
# agent: at the beginning, and later.
_FIRST_ANSWER = 1.0
_NEXT_ANSWER = 2.5

# The sweep reads the listing for a guest that keeps Trove waiting for longer
# than this, in seconds.
_NO_ROW = 2.0

# After this many silent guests, and no answer, more pings are useless.
_MUTE = 8

# Seconds without an answer of any agent after which the sweep sends only
# controls, and after which it ends. A restart of the broker takes less. A rate
# limit makes answers rarer: then this many of them must be missing.
_STALLED = 5.0
_LOST = 60.0
_MISSED = 4

# A guest whose ping takes longer than this many seconds keeps Trove waiting.
_LONG = 0.5

# Seconds between two decisions about silent guests: for few and for many. A
# decision about one guest takes some 20 µs. A control is due every second.
_LOOK = 0.1
_LONGEST_LOOK = 0.5
_LOOK_EACH = 0.001

# In a wait, controls delay the next ping of a silent guest, unless they are
# this many seconds apart: then the wait would see too late that it is back.
_RARE = 0.2

# A guest that answers within this many usual round trips is a good control.
# While there are only few controls, each guest that answers becomes one.
_QUICK = 2
_FEW = 4

# The reasons of a ping without an answer.
_TIMEOUTS = (verdicts.Reason.AGENT_TIMEOUT, verdicts.Reason.TIMEOUT)

# The reasons for which a guest may be no control any more.
_USELESS = (
    verdicts.Reason.AGENT_ERROR,
    verdicts.Reason.NOT_FOUND,
    verdicts.Reason.NOT_READY,
)

_NOBODY = 'No guest answers: check the message bus (RabbitMQ) and trove-api'


@dataclasses.dataclass(frozen=True, slots=True)
class _Sent:
    """A request under way; only the ping of a guest or witness has a task."""

    now: float
    task: queues.Task | None


class Sweep:
    """An :class:`~troveclient_rpcping.engine.engine.Agenda` of pings.

    :param guests: the guests to ping; see ``Queue``.
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
        guests: Iterable[queues.Guest],
        repeat: repeats.Repeat,
        capacity: capacities.Capacity,
        *,
        timeout: float,
        now: float,
        spacing: Callable[[], float] = lambda: 0.0,
        listing: Collection[inventory.Instance] | None = None,
    ):
        self.evidence = sweep_evidence.Evidence()
        self._repeat = repeat
        self._capacity = capacity
        self._timeout = timeout
        self._spacing = spacing
        self._results: collections.deque[verdicts.PingResult] = (
            collections.deque()
        )
        # The requests under way, in the order of their times.
        self._flight: dict[replies.Question, _Sent] = {}
        self._queue = queues.Queue(guests, self._is_suspect)
        self._controls = controls.Controls(capacity)
        self._witnesses = sweep_witnesses.Witnesses(listing, self._is_asked)
        self._breaker = breakers.Breaker(timeout)
        self._silent = silence.SilentGuests(
            self.evidence, self._witnesses, self._queue, self._results.append
        )
        self._unanswered = held.Unanswered(self._results.append)
        self._errors: list[verdicts.PingResult] = []
        # The guests whose ping Trove failed, until their second ping ends.
        self._failed: list[verdicts.PingResult] = []
        # The IDs that the caller asked for: of a list, or else those that were
        # pinged before the first answer.
        self._asked: set[str] = set()
        self._is_list = isinstance(guests, Sequence)
        if isinstance(guests, Sequence):
            self._asked.update(guest.instance_id for guest in guests)
        # How many guests were pinged, and how many of them answered.
        self._pinged = self._answers = 0
        # The guests that answered, if they may answer again.
        self._heard: set[str] = set()
        self._mixed = False
        self._wants_controls = False
        self._looked = self._look_next = now
        # When the last request ended that left none under way, and when the
        # last longer pause ended.
        self._idle_since, self._resumed = now, -math.inf
        self._ended = False
        capacity.begin(now)

    # The agenda.

    @property
    def done(self) -> bool:
        """See ``Agenda``."""
        return self._ended or not (
            self._is_asking
            or self._silent
            # A witness may show that only --timeout was too short.
            or (self._unanswered and not self._witnesses.exhausted)
        )

    def next(self, now: float) -> replies.Question | None:
        """See ``Agenda``."""
        self._capacity.watch(now)
        if now >= self._look_next:
            self._look(now)
        if self.done:
            return None
        if self._controls and (
            self._controls.unpaired or self._needs_control(now)
        ):
            return self._control(now)
        question = self._page(now) or self._witness(now) or self._guest(now)
        if question is not None:
            return question
        if self._begins_pair(now) or (
            # A control adds to the evidence.
            self._wants_controls and self._controls.is_free(now)
        ):
            return self._control(now)
        return None

    def wakes(self, now: float) -> float:
        """See ``Agenda``."""
        wakes = [self._queue.wakes()]
        if self._wants_controls:
            wakes.append(self._controls.wakes())
        # A request that is due waits for room. A look waits for nothing.
        return min([self._look_next, *(when for when in wakes if when > now)])

    def unsent(
        self, question: replies.Question, now: float, pause: float
    ) -> None:
        """See ``Agenda``."""
        task = self._landed(question, now).task
        self._capacity.ended(question, now, None)
        if question.purpose is replies.Purpose.LISTING:
            self._witnesses.again(question.path)
        elif question.purpose is replies.Purpose.CONTROL:
            self._controls.ended(question, now, None, pause)
        elif task is not None and question.purpose is replies.Purpose.WITNESS:
            self._witnesses.refused(task.guest, now + pause)
        elif task is not None:
            self._pinged -= task.first
            self._queue.put(task, now + pause)

    def answered(
        self,
        question: replies.Question,
        reply: replies.Reply | replies.NoReply,
        now: float,
        rtt: float | None,
    ) -> None:
        """See ``Agenda``."""
        sent = self._landed(question, now)
        if question.purpose is replies.Purpose.LISTING:
            self._capacity.ended(question, now, None)
            self._witnesses.read(reply)
            return
        result = verdicts.judge(reply, question.instance_id, rtt)
        rtt = result.rtt if result.ok else None
        self._capacity.ended(question, now, rtt)
        if result.reason is verdicts.Reason.AGENT_TIMEOUT:
            self._capacity.timed_out(now - sent.now)
        elif result.reason is verdicts.Reason.TIMEOUT:
            self._capacity.gave_up(sent.now, now)
        if result.reason in _TIMEOUTS:
            self.evidence.timeout(sent.now)
        if result.ok:
            self._agent_answered(result, sent.task, now)
        if question.purpose is replies.Purpose.CONTROL:
            if result.reason in _TIMEOUTS:
                self.evidence.lose()
            useless = result.reason in _USELESS
            self._controls.answered(question, now, rtt, useless=useless)
            self._break(result, now)
        elif question.purpose is replies.Purpose.WITNESS:
            self._witnesses.mute += not result.ok
        elif sent.task is not None:
            self._guest_answered(sent.task, result, sent.now, now)

    def end(self, why: str, now: float, *, late: bool = False) -> None:
        """See ``Agenda``."""
        if self._ended:
            return
        self.finish()
        not_asked = replies.NoReply(replies.Failure.NOT_ASKED, why)
        unanswered = not_asked
        if late:
            unanswered = replies.NoReply(replies.Failure.TIMEOUT, why)
        for question, sent in self._flight.items():
            is_guest = question.purpose is replies.Purpose.GUEST
            if is_guest and sent.task is not None:
                self._report(unanswered, sent.task)
        for task in self._queue.rest():
            self._report(not_asked, task)

    def take(self) -> Iterator[verdicts.PingResult]:
        """Return each result once, as soon as it is certain."""
        while self._results:
            yield self._results.popleft()

    def finish(self) -> None:
        """End the sweep: report what is known of each guest that was asked."""
        self._ended = True
        if self._repeat.patient:
            self._silent.report(is_alone=self._is_alone)
        self._silent.end(silence.Next.UNPROVEN)
        self._unanswered.release(None)
        self._results += held.explain_errors(self._errors, self._answers)
        self._errors.clear()
        self._results += self._failed
        self._failed.clear()

    # The next request.

    def _guest(self, now: float) -> replies.Question | None:
        """Ping the next guest; report a text that cannot be an ID."""
        if self._is_stalled(now):
            return None
        while task := self._queue.next(
            now, lambda risky: self._has_room(now, risky)
        ):
            id_ = task.guest.instance_id
            # All kept connections may lead to a worker that lost the bus.
            fresh = (
                id_ in self._silent
                or sweep_evidence.CONTROL
                < self.evidence.silent_for(now)
                < math.inf
            )
            try:
                question = self._ping(
                    replies.Purpose.GUEST, id_, now, task, fresh=fresh
                )
            except exceptions.InvalidInstanceID as error:
                reason = verdicts.Reason.NOT_FOUND
                self._results.append(verdicts.unknown(id_, reason, str(error)))
                continue
            self._pinged += task.first
            if self.evidence.last is None:
                self._asked.add(id_)
            return question
        return None

    def _has_room(self, now: float, risky: bool) -> bool:
        # Beside a ping that may wait for long, controls prove nothing.
        apart = max(self._controls.pause, self.evidence.spacing)
        controls_first = self._repeat.patient and self._wants_controls
        if risky and controls_first and apart < _RARE:
            return False
        return self._capacity.has_room(now, risky=risky)

    def _needs_control(self, now: float) -> bool:
        """Whether no agent has answered for a while."""
        evidence = self.evidence
        return (
            evidence.last is not None
            and self._controls.is_due(now, evidence.last, evidence.spacing)
            # Else a control proves nothing, and holds a worker if it is lost.
            and (self._repeat.patient or not evidence.hopeless)
            and self._oldest_wait(now) > _LONG
        )

    def _begins_pair(self, now: float) -> bool:
        """Whether guests wait for a place that two controls may gain."""
        return (
            # A lost control holds a worker until it ends.
            not self.evidence.overdue
            and bool(self._queue)
            and self._controls.begin_pair(now)
        )

    def _control(self, now: float) -> replies.Question:
        question = self._ping(
            replies.Purpose.CONTROL, self._controls.turn(), now
        )
        self._controls.sent(question, now)
        return question

    def _witness(self, now: float) -> replies.Question | None:
        if self._controls or (guest := self._witnesses.next(now)) is None:
            return None
        return self._ping(
            replies.Purpose.WITNESS, guest.instance_id, now, queues.Task(guest)
        )

    def _page(self, now: float) -> replies.Question | None:
        """Get the next page of the listing, if it is needed."""
        unread = self._witnesses.listing is sweep_witnesses.Listing.UNREAD
        if unread and not self._wants_rows(now):
            return None
        question = self._witnesses.page()
        return question and self._send(question, now, None)

    def _ping(
        self,
        purpose: replies.Purpose,
        id_: str,
        now: float,
        task: queues.Task | None = None,
        *,
        fresh: bool = True,
    ) -> replies.Question:
        question = replies.Question(
            purpose,
            transport.ping_path(id_),
            id_,
            fresh=fresh,
            timeout=self._timeout,
        )
        return self._send(question, now, task)

    def _send(
        self, question: replies.Question, now: float, task: queues.Task | None
    ) -> replies.Question:
        self._flight[question] = _Sent(now, task)
        is_guest = question.purpose is replies.Purpose.GUEST
        risky = is_guest and task is not None and self._is_suspect(task.guest)
        self._capacity.sent(question, now, risky=risky, control=not is_guest)
        return question

    def _landed(self, question: replies.Question, now: float) -> _Sent:
        sent = self._flight.pop(question)
        if not self._flight:
            self._idle_since = now
        return sent

    def _is_asked(self, id_: str) -> bool:
        """Whether the caller asked for a guest, as far as is known."""
        return id_ in self._asked or id_ in self._silent

    def _is_suspect(self, guest: queues.Guest) -> bool:
        """Whether a guest is likely to keep Trove waiting."""
        return (
            guest.is_stale
            or guest.instance_id in self._silent
            or guest.instance_id in self._capacity.suspects
        )

    @property
    def _is_asking(self) -> bool:
        """Whether pings of guests are under way, or wait."""
        return any(
            question.purpose is replies.Purpose.GUEST
            for question in self._flight
        ) or bool(self._queue)

    def _oldest_wait(self, now: float) -> float:
        """Return how long the oldest ping of a guest is under way."""
        waits = (now - sent.now for sent in self._flight.values() if sent.task)
        return next(waits, 0.0)

    def _is_stalled(self, now: float) -> bool:
        """Whether agents answered before, and no agent answers now."""
        return (
            bool(self.evidence.overdue)
            and not self._repeat.patient
            and not self.evidence.hopeless
            and self.evidence.silent_for(now)
            > max(_STALLED, _MISSED * self.evidence.spacing)
        )

    def _note_pause(self, now: float) -> None:
        """Record that no agent could answer until now.

        No ping was due. Or the sweep did not run: its caller was absent, or
        the rate limit let nothing through.
        """
        long = _STALLED + self.evidence.spacing
        is_idle = not self._flight and bool(self._queue)
        if now - self._looked > long or (
            is_idle and now - self._idle_since > long
        ):
            self._resumed = now

    def _is_lost(self, now: float) -> bool:
        """Whether requests have waited in vain for too long."""
        silence = min(self.evidence.silent_for(now), now - self._resumed)
        return silence > max(_LOST, _MISSED * self.evidence.spacing)

    def _wants_rows(self, now: float) -> bool:
        """Whether the listing is needed."""
        if self._silent.lacks_row:
            return True
        if self.evidence.last is None:
            return bool(
                self._unanswered
                or self._silent
                or self._oldest_wait(now) > _FIRST_ANSWER
            )
        if self.evidence.silent_for(now) > _NEXT_ANSWER:
            return self._oldest_wait(now) > _LONG
        return any(
            sent.task is not None
            and sent.task.guest.row is None
            and now - sent.now > _NO_ROW
            for sent in self._flight.values()
        )

    # The answers.

    def _agent_answered(
        self, result: verdicts.PingResult, task: queues.Task | None, now: float
    ) -> None:
        id_ = result.instance_id
        new = task is not None and id_ not in self._heard
        if task is not None and (self._repeat.repeats or not task.first):
            self._heard.add(id_)
        stale = task is not None and task.guest.is_stale
        self.evidence.answer(now, new=new, stale=stale)
        if not self._is_list:
            self._asked.clear()
        self._breaker.heard()
        self._capacity.answered(id_, result.rtt or 0.0)
        self._answers += new
        usual = self._capacity.usual or math.inf
        quick = (result.rtt or 0.0) <= _QUICK * usual
        if new and (quick or len(self._controls) < _FEW):
            self._controls.add(id_)
        self._unanswered.release(now)

    def _guest_answered(
        self,
        task: queues.Task,
        result: verdicts.PingResult,
        sent: float,
        now: float,
    ) -> None:
        if not task.first:
            self._forget_failure(result.instance_id)
        due = None if task.extra else self._repeat.due(result, sent, now)
        if due is not None:
            self._queue.put(queues.Task(task.guest), due)
        if result.reason in _TIMEOUTS:
            self._capacity.suspects.add(result.instance_id)
        if result.reason is verdicts.Reason.AGENT_TIMEOUT:
            silent = self._silent.timed_out(task, result, sent, now)
            silent.queued = due is not None
            self._look_next = now
        else:
            self._not_timed_out(task, result, now)
        self._break(result, now)

    def _break(self, result: verdicts.PingResult, now: float) -> None:
        """End the sweep if the control plane fails."""
        why = self._breaker.saw(result, self._capacity.peak)
        if why and not self._repeat.patient:
            self.end(why, now)

    def _not_timed_out(
        self, task: queues.Task, result: verdicts.PingResult, now: float
    ) -> None:
        result = self._silent.end_silence(task, result)
        reason, repeat = result.reason, self._repeat
        if reason is verdicts.Reason.TIMEOUT:
            self._unanswered.add(result, now)
            if self.evidence.last is not None or repeat.patient:
                self._unanswered.release(self.evidence.last)
        elif reason is verdicts.Reason.AGENT_ERROR and not repeat.patient:
            self._errors.append(result)
        elif (
            reason is verdicts.Reason.API_ERROR
            and task.first
            and not repeat.repeats
        ):
            # Trove 26 may fail a ping because of an earlier one, and serve
            # the next (instance_encryption_key_cache, instance/models.py).
            self._failed.append(result)
            self._queue.put(queues.Task(task.guest))
        else:
            self._results.append(result)

    def _forget_failure(self, instance_id: str) -> None:
        """Drop one result of a guest: its second ping has ended."""
        for result in self._failed:
            if result.instance_id == instance_id:
                self._failed.remove(result)
                return

    def _report(self, reply: replies.NoReply, task: queues.Task) -> None:
        # After its first ping, a guest has a result.
        if task.first:
            result = verdicts.judge(reply, task.guest.instance_id, None)
            self._results.append(result)

    # The silent guests.

    def _look(self, now: float) -> None:
        """Decide about each silent guest, as far as that is possible now."""
        self._note_pause(now)
        pause = min(_LOOK + _LOOK_EACH * len(self._silent), _LONGEST_LOOK)
        self._looked, self._look_next = now, now + pause
        self._silent.fill_in_rows()
        evidence, patient = self.evidence, self._repeat.patient
        may_control = bool(self._controls)
        evidence.spacing = self._spacing()
        evidence.waits_since = min(
            (sent.now for sent in self._flight.values()), default=math.inf
        )
        evidence.overdue = self._controls.overdue(now)
        self._unanswered.expire(now)
        if evidence.last is None:
            self._look_for_an_answer(now)
        elif self._is_lost(now):
            self._give_up(silence.Next.NOT_STEADY, now)
        if self._is_stalled(now):
            self._wants_controls = False
        elif patient:
            self._wants_controls = may_control and (
                self._silent.want_controls()
            )
            if not self._wants_controls:
                self._silent.report(is_alone=self._is_alone)
        else:
            self._wants_controls = self._silent.decide(
                is_asking=self._is_asking,
                is_alone=self._is_alone,
                may_control=may_control,
            )

    def _look_for_an_answer(self, now: float) -> None:
        """Look for other guests, or give up, before the first answer."""
        if not self._mixed and self._oldest_wait(now) > _FIRST_ANSWER:
            self._mixed = True
            self._queue.mix()
        mute = len(self._silent) + self._witnesses.mute
        if mute >= _MUTE and self._witnesses.exhausted:
            self._give_up(silence.Next.NOBODY, now)

    def _give_up(self, ending: silence.Next, now: float) -> None:
        if not self._repeat.patient:
            self._silent.end(ending)
            self.end(_NOBODY, now)

    @property
    def _is_alone(self) -> bool:
        """Whether no other guest can be asked."""
        return not self._witnesses.asked and (
            self._pinged == 1
            or self._witnesses.listing is sweep_witnesses.Listing.MISSING
        )
