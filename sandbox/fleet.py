# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

"""The guests: what each one is, and how its agent behaves.

Stdlib only: both the controller and the servers in the control plane's own
virtual environment read it.
"""

import collections
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import enum
import uuid

_NAMESPACE = uuid.UUID('6f1c7f0e-6b0c-5f43-9d0a-3d6b8d4c2a11')

PROJECTS = ('tenant-a', 'tenant-b')


class Behaviour(enum.StrEnum):
    """What a guest agent does with a ping."""

    ANSWERING = 'answering'
    #: No agent consumes the queue.
    DEAD = 'dead'
    #: An image from before rpc_ping: the agent has no such method.
    OLD = 'old'
    #: The agent raises; its text would play tricks on a terminal.
    FAILING = 'failing'
    #: The agent answers after ``Guest.delay`` seconds.
    SLOW = 'slow'


class Heartbeat(enum.StrEnum):
    """When the agent last reported to Trove, as the listing shows it."""

    #: Now, and every few seconds again.
    FRESH = 'fresh'
    #: An hour ago: the listing says that the agent timed out.
    STALE = 'stale'


class Nova(enum.StrEnum):
    """What Nova, on which the guests' servers run, makes of requests."""

    OK = 'ok'
    #: Everything is answered with 500.
    BROKEN = 'broken'
    #: It knows no server.
    MISSING = 'missing'


class Broker(enum.StrEnum):
    """What RabbitMQ makes of those who are connected."""

    OK = 'ok'
    #: Nobody may send: ACCESS_REFUSED.
    REFUSING = 'refusing'


class Worker(enum.StrEnum):
    """What a worker of trove-api is able to do."""

    OK = 'ok'
    #: Its connections to RabbitMQ carry nothing, and are not closed. New
    #: ones work: it sends pings, and their answers never come.
    LOST = 'lost'
    #: New ones carry nothing, either: its pings hang.
    CUT = 'cut'
    #: It stands still (SIGSTOP).
    FROZEN = 'frozen'


def stable_id(kind: str, name: str) -> str:
    """An ID that is the same in every sandbox."""
    return str(uuid.uuid5(_NAMESPACE, f'{kind}/{name}'))


def project_id(project: str) -> str:
    """The ID that Keystone gives to one of :data:`PROJECTS`."""
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
    heartbeat: Heartbeat = Heartbeat.FRESH
    #: False: Nova answers 404 for its server.
    in_nova: bool = True
    clustered: bool = False
    deleted: bool = False

    @property
    def server_id(self) -> str:
        """The ID of its Nova server."""
        return stable_id('server', self.id)

    @property
    def alive(self) -> bool:
        """Whether an agent consumes its queue."""
        return self.behaviour is not Behaviour.DEAD and not self.deleted

    def behaving(
        self,
        behaviour: Behaviour,
        delay: float | None = None,
        heartbeat: Heartbeat | None = None,
    ) -> 'Guest':
        """The same guest with another behaviour.

        :param delay: seconds, for ``slow``; None keeps what it was.
        :param heartbeat: None means stale for a dead guest, fresh otherwise.
        """
        if heartbeat is None:
            dead = behaviour is Behaviour.DEAD
            heartbeat = Heartbeat.STALE if dead else Heartbeat.FRESH
        return dataclasses.replace(
            self,
            behaviour=behaviour,
            delay=self.delay if delay is None else delay,
            heartbeat=heartbeat,
        )

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> 'Guest':
        """Back from ``dataclasses.asdict`` and JSON."""
        guest = cls(**value)  # type: ignore[arg-type]
        return dataclasses.replace(
            guest,
            behaviour=Behaviour(guest.behaviour),
            heartbeat=Heartbeat(guest.heartbeat),
        )


def _guest(name: str, **what: object) -> Guest:
    project = what.get('project', 'tenant-a')
    value = {'name': name, 'id': stable_id(f'guest/{project}', name), **what}
    guest = Guest.from_json(value)
    return guest.behaving(guest.behaviour)


def default_fleet(more: int = 0, dead: int = 0) -> tuple[Guest, ...]:
    """One guest of each kind, and ``more`` that answer.

    :param more: how many guests ``guest-0001``, ``guest-0002``, … to add.
    :param dead: how many of these, counted from the last, are dead.
    """
    one_of_each = (
        _guest('db-healthy'),
        _guest('db-dead', behaviour='dead', datastore='postgresql'),
        _guest('db-old', behaviour='old'),
        _guest('db-failing', behaviour='failing', datastore='postgresql'),
        _guest('db-slow', behaviour='slow', project='tenant-b'),
        _guest('db-unready', in_nova=False, project='tenant-b'),
        _guest('db-clustered', clustered=True, datastore='postgresql'),
        _guest('db-twin', project='tenant-a'),
        _guest('db-twin', project='tenant-b'),
        _guest('db-deleted', deleted=True),
    )
    return one_of_each + tuple(
        _guest(
            f'guest-{number:04}',
            behaviour='dead' if number > more - dead else 'answering',
            project=PROJECTS[number % 2],
            datastore='mysql' if number % 4 else 'postgresql',
        )
        for number in range(1, more + 1)
    )


def by_name(fleet: Iterable[Guest]) -> dict[str, Guest]:
    """The guests by name; namesakes as ``NAME@PROJECT``."""
    guests = list(fleet)
    namesakes = collections.Counter(guest.name for guest in guests)
    return {
        guest.name
        if namesakes[guest.name] == 1
        else f'{guest.name}@{guest.project}': guest
        for guest in guests
    }
