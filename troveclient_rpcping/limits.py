# SPDX-License-Identifier: Apache-2.0

"""The limits of a sweep that a caller may set, and their defaults."""

from __future__ import annotations

import dataclasses

#: Seconds for one ping, in all. Trove itself waits 15 s for the guest agent
#: (``agent_call_low_timeout``).
TIMEOUT = 30.0

#: Pings in flight at once.
CONCURRENCY = 64

#: Seconds from one ping of a guest to its next, if it is pinged repeatedly.
INTERVAL = 1.0

#: Seconds to wait for guests to be reachable.
WAIT = 300.0

#: The longest duration, in seconds, and the largest number of a command line.
LARGEST = 1_000_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a sweep.

    :param concurrency: pings in flight at once, at the most.
    :param timeout: seconds for each ping, in all.
    :param rate: pings a second, at the most; None for no limit.
    :param deadline: seconds for all of them; None for no limit.
    :raises ValueError: a limit is not a positive number.
    """

    concurrency: int = CONCURRENCY
    timeout: float = TIMEOUT
    rate: float | None = None
    deadline: float | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None:
                positive(field.name, value)


@dataclasses.dataclass(frozen=True, slots=True)
class Throttle:
    """The rate limit of the server, as its refusals show it.

    :param rate: the pings a second that the server seems to accept.
    :param pause: seconds until the next ping may be sent.
    """

    rate: float
    pause: float


def positive(name: str, value: float) -> float:
    """Return *value*.

    :param name: its name, for the error.
    :raises ValueError: it is not a positive number.
    """
    if not value > 0:
        raise ValueError(f'{name} must be positive: {value}')
    return value
