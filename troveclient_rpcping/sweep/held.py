# SPDX-License-Identifier: Apache-2.0

"""Results that the sweep holds back until it knows more."""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Iterator
import dataclasses

from troveclient_rpcping import verdict as verdicts

# Seconds before the end of a ping without a reply, and after it, in which the
# answer of another agent shows that only --timeout was too short.
_BEFORE = 2.5
_AFTER = 10.0

# At least this many guests in error with the same text, and this share of the
# guests that answered at all, point at the message bus.
_SAME_ERRORS = 5
_SAME_SHARE = 0.5

_TOO_SHORT = (
    '{detail}, but other guests answered meanwhile. Trove may wait for this '
    'one longer than --timeout: raise it'
)
_NO_ANSWER = '{detail}. Check trove-api and the message bus (RabbitMQ) first'
_SAME = '{count} guests fail with this same text: {text}'


class Unanswered:
    """Holds pings without a reply until the answer of another agent.

    :param emit: takes each result.
    """

    def __init__(self, emit: Callable[[verdicts.PingResult], None]):
        self._emit = emit
        self._held: list[tuple[verdicts.PingResult, float]] = []

    def __len__(self) -> int:
        return len(self._held)

    def add(self, result: verdicts.PingResult, now: float) -> None:
        """Hold a result."""
        self._held.append((result, now))

    def expire(self, now: float) -> None:
        """Report all results if one has been held for too long."""
        if self._held and now - self._held[0][1] > _AFTER:
            self.release(None)

    def release(self, last: float | None) -> None:
        """Report all results.

        :param last: when an agent answered last; None if no agent did.
        """
        for result, ended in self._held:
            heard = last is not None and last > ended - _BEFORE
            text = _TOO_SHORT if heard else _NO_ANSWER
            text = text.format(detail=result.message.rstrip('.'))
            self._emit(dataclasses.replace(result, message=text))
        self._held.clear()


def explain_errors(
    results: list[verdicts.PingResult], answers: int
) -> Iterator[verdicts.PingResult]:
    """Return the results of the guests in error, at the end of the sweep.

    Trove reports an error of the message bus as an error of the guest. If many
    guests fail with the same text, the error is one of the bus.

    :param answers: how many guests answered without an error.
    """
    # A guest may have been pinged more than once.
    failed = {(each.instance_id, each.message) for each in results}
    texts = collections.Counter(text for _, text in failed)
    guests = answers + len({id_ for id_, _ in failed})
    most = max(_SAME_ERRORS, _SAME_SHARE * guests)
    for result in results:
        count = texts[result.message]
        if count >= most:
            text = _SAME.format(count=count, text=result.detail)
            result = result.as_unknown(verdicts.Reason.MESSAGE_BUS, text)
        yield result
