# SPDX-License-Identifier: Apache-2.0

"""The guests: the instance, its server, and the behaviour of its agent.

This module imports no package: the controller uses it, and the servers in the
virtual environment of the control plane use it too.
"""

import collections
from collections.abc import Iterable
import contextlib
import dataclasses
import enum
import random
from typing import Any
import uuid

from sandbox import error

_NAMESPACE = uuid.UUID('6f1c7f0e-6b0c-5f43-9d0a-3d6b8d4c2a11')

PROJECTS = ('tenant-a', 'tenant-b')

# The number of hosts for the servers of guest-0001 and so on.
_HOSTS = 5

# Seconds: a hundred years. A date can hold this.
_LONGEST_AGE = 100 * 365 * 86400


class Behaviour(enum.StrEnum):
    """The reaction of a guest agent to a ping."""

    ANSWERING = 'answering'
    #: No agent consumes the queue.
    DEAD = 'dead'
    #: An image from before rpc_ping: the agent has no such method.
    OLD = 'old'
    #: The agent raises an exception. Its text attacks a terminal.
    FAILING = 'failing'
    #: The agent answers after ``Guest.delay`` seconds.
    SLOW = 'slow'


class Heartbeat(enum.StrEnum):
    """The last report of the agent to Trove, as the listing shows it."""

    #: Now, and then every 30 s, as with trove-guestagent.
    FRESH = 'fresh'
    #: An hour ago: the listing says that the agent timed out.
    STALE = 'stale'


def heartbeat(value: str | float) -> Heartbeat | float:
    """Return the heartbeat of this name, or its age in seconds.

    :raises sandbox.SandboxError: if the value is neither a name nor an age.
    """
    if value in list(Heartbeat):
        return Heartbeat(value)
    with contextlib.suppress(ValueError, OverflowError):
        age = float(value)
        if abs(age) <= _LONGEST_AGE:
            return age
    raise error.SandboxError(
        f'a heartbeat is fresh, stale, or its age in seconds, not {value}'
    )


class Status(enum.StrEnum):
    """The status that Trove reports for a guest."""

    ACTIVE = 'ACTIVE'
    BUILD = 'BUILD'
    REBOOT = 'REBOOT'
    RESIZE = 'RESIZE'
    UPGRADE = 'UPGRADE'
    PROMOTE = 'PROMOTE'
    EJECT = 'EJECT'
    #: Trove records no heartbeat then (trove/conductor/manager.py).
    RESTART_REQUIRED = 'RESTART_REQUIRED'
    #: Trove deletes the guest.
    SHUTDOWN = 'SHUTDOWN'


class ServerStatus(enum.StrEnum):
    """The status that Nova reports for the server of a guest."""

    ACTIVE = 'ACTIVE'
    SHUTOFF = 'SHUTOFF'
    PAUSED = 'PAUSED'
    SUSPENDED = 'SUSPENDED'
    SHELVED_OFFLOADED = 'SHELVED_OFFLOADED'
    #: ACTIVE, but without the tag by which Trove's listing finds servers.
    UNTAGGED = 'UNTAGGED'


class DeadOrder(enum.StrEnum):
    """Which of the guests of a fleet are dead."""

    #: The last ones.
    ROW = 'row'
    #: Guests at random, the same ones in each sandbox.
    RANDOM = 'random'


class Nova(enum.StrEnum):
    """The state of Nova."""

    OK = 'ok'
    #: Nova answers 500 to everything.
    BROKEN = 'broken'
    #: Nova knows no server.
    MISSING = 'missing'


class Broker(enum.StrEnum):
    """The state of RabbitMQ, while it runs."""

    OK = 'ok'
    #: RabbitMQ lets nobody send: ACCESS_REFUSED.
    REFUSING = 'refusing'


class Worker(enum.StrEnum):
    """The state of a worker of trove-api."""

    OK = 'ok'
    #: The connections of the worker to RabbitMQ carry nothing, and are not
    #: closed. New ones work: it sends pings, and their answers never come.
    LOST = 'lost'
    #: New connections carry nothing either: the pings of the worker hang.
    CUT = 'cut'
    #: The worker is paused (SIGSTOP).
    FROZEN = 'frozen'


def stable_id(kind: str, name: str) -> str:
    """Return an ID that is the same in every sandbox."""
    return str(uuid.uuid5(_NAMESPACE, f'{kind}/{name}'))


def project_id(project: str) -> str:
    """Return the ID that Keystone has for one of :data:`PROJECTS`."""
    return stable_id('project', project).replace('-', '')


@dataclasses.dataclass(frozen=True, slots=True)
class Guest:
    """A database instance, the server under it and the agent in it."""

    name: str
    id: str
    behaviour: Behaviour = Behaviour.ANSWERING
    project: str = 'tenant-a'
    datastore: str = 'mysql'
    #: Seconds until a slow agent answers.
    delay: float = 1.0
    #: A number is the age in seconds; such a heartbeat is not renewed.
    heartbeat: Heartbeat | float = Heartbeat.FRESH
    status: Status = Status.ACTIVE
    #: The status and the host that Nova reports for the server.
    server: ServerStatus = ServerStatus.ACTIVE
    host: str = 'compute-01'
    #: False: Nova answers 404 for the server.
    in_nova: bool = True
    clustered: bool = False
    deleted: bool = False

    @property
    def server_id(self) -> str:
        """The ID of the server in Nova."""
        return stable_id('server', self.id)

    @property
    def alive(self) -> bool:
        """True if an agent consumes the queue of the guest."""
        return self.behaviour is not Behaviour.DEAD and not self.deleted

    def __post_init__(self) -> None:
        # JSON and the user have texts in place of the members.
        for name, kind in (
            ('behaviour', Behaviour),
            ('heartbeat', heartbeat),
            ('status', Status),
            ('server', ServerStatus),
        ):
            object.__setattr__(self, name, kind(getattr(self, name)))

    def behaving(
        self, behaviour: str, heartbeat: str | float | None, **what: Any
    ) -> 'Guest':
        """Return the same guest with another behaviour.

        :param heartbeat: None means stale for a dead guest and for a guest
            that must be restarted, else fresh.
        :param what: other fields; one that is None is left as it is.
        """
        if heartbeat is None:
            stale = (
                behaviour == Behaviour.DEAD
                or what.get('status') == Status.RESTART_REQUIRED
            )
            heartbeat = Heartbeat.STALE if stale else Heartbeat.FRESH
        what |= {'behaviour': behaviour, 'heartbeat': heartbeat}
        given = {
            key: value for key, value in what.items() if value is not None
        }
        return dataclasses.replace(self, **given)


def _guest(name: str, behaviour: str = 'answering', **what: Any) -> Guest:
    project = what.get('project', 'tenant-a')
    age = what.pop('heartbeat', None)
    guest = Guest(name, stable_id(f'guest/{project}', name), **what)
    return guest.behaving(behaviour, age)


def default_fleet(
    more: int = 0,
    dead: int = 0,
    dead_order: DeadOrder = DeadOrder.ROW,
    dead_heartbeat: Heartbeat = Heartbeat.STALE,
) -> tuple[Guest, ...]:
    """Return one guest of each kind, and ``more`` guests beside them.

    :param more: the number of guests to add: ``guest-0001`` and so on.
    :param dead: the number of dead guests among the added ones.
    :param dead_order: which of the added guests are dead.
    :param dead_heartbeat: the last heartbeat of the dead guests.
    """
    numbers = range(1, more + 1)
    if dead_order is DeadOrder.RANDOM:
        those = set(random.Random(0).sample(numbers, dead))  # noqa: S311
    else:
        those = set(numbers[more - dead :])
    one_of_each = (
        _guest('db-healthy'),
        _guest('db-dead', 'dead', datastore='postgresql'),
        _guest('db-old', 'old'),
        _guest('db-failing', 'failing', datastore='postgresql'),
        _guest('db-slow', 'slow', project='tenant-b'),
        _guest('db-unready', in_nova=False, project='tenant-b'),
        _guest('db-clustered', clustered=True, datastore='postgresql'),
        _guest('db-twin', project='tenant-a'),
        _guest('db-twin', project='tenant-b'),
        _guest('db-deleted', deleted=True),
    )
    return one_of_each + tuple(
        _guest(
            f'guest-{number:04}',
            behaviour='dead' if number in those else 'answering',
            heartbeat=dead_heartbeat if number in those else 'fresh',
            project=PROJECTS[number % 2],
            datastore='mysql' if number % 4 else 'postgresql',
            host=f'compute-{1 + (number - 1) % _HOSTS:02}',
        )
        for number in numbers
    )


def by_name(fleet: Iterable[Guest]) -> dict[str, Guest]:
    """Return the guests by name; if two share it, by ``NAME@PROJECT``."""
    guests = list(fleet)
    namesakes = collections.Counter(guest.name for guest in guests)
    return {
        guest.name
        if namesakes[guest.name] == 1
        else f'{guest.name}@{guest.project}': guest
        for guest in guests
    }
