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

"""Everything that one sandbox is made of, decided before a server starts.

The supervisor writes it to the run folder; the servers read it there.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import enum
import json
import pathlib
import random
import secrets
import socket
from typing import Any
from typing import Self
from typing import TypeVar

from sandbox import error
from sandbox import fleet

LOOPBACK = '127.0.0.1'
REGION = 'RegionOne'

# Below the range from which the kernel takes the source ports of outgoing
# connections (ip_local_port_range): else one of these could be sitting on
# the port of a server that is stopped just now.
_PORTS = range(20000, 32000)


class Transport(enum.StrEnum):
    """How trove-api and the guests talk."""

    MEMORY = 'memory'
    RABBIT = 'rabbit'


class ApiServer(enum.StrEnum):
    """What serves trove-api's WSGI application."""

    #: Trove's own: each worker serves many requests at a time.
    EVENTLET = 'eventlet'
    #: One request at a time in each worker, as with uWSGI and mod_wsgi.
    WSGI = 'wsgi'


_Choice = TypeVar('_Choice', bound=enum.StrEnum)


def choice(option: str, kind: type[_Choice], name: str) -> _Choice:
    """The member of that name.

    :raises sandbox.SandboxError: when there is none; lists those that are.
    """
    try:
        return kind(name)
    except ValueError:
        raise error.SandboxError(
            f'{option} must be {" or ".join(kind)}, not {name}'
        ) from None


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What the user may choose."""

    transport: Transport = Transport.MEMORY
    #: Processes of trove-api; more than one only with rabbit.
    workers: int = 2
    #: How many guests beside the default fleet.
    guests: int = 0
    #: How many of these are dead.
    dead: int = 0
    #: Seconds; Trove's agent_call_low_timeout, there 15 by default.
    agent_timeout: int = 3
    #: GETs a minute for each project; Trove's http_get_rate.
    rate_limit: int = 200
    #: Seconds; Keystone's [token] expiration.
    token_lifetime: int = 3600
    #: What serves trove-api; wsgi only with rabbit.
    server: ApiServer = ApiServer.EVENTLET
    #: Which of the guests are dead, and what Trove got last from them.
    dead_order: fleet.DeadOrder = fleet.DeadOrder.ROW
    dead_heartbeat: fleet.Heartbeat = fleet.Heartbeat.STALE

    def fleet(self) -> tuple[fleet.Guest, ...]:
        """The guests as they are at the start."""
        return fleet.default_fleet(
            self.guests, self.dead, self.dead_order, self.dead_heartbeat
        )

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """Back from ``dataclasses.asdict`` and JSON."""
        kinds = {
            'transport': choice('transport', Transport, value['transport']),
            'server': choice('server', ApiServer, value['server']),
            'dead_order': choice(
                'dead_order', fleet.DeadOrder, value['dead_order']
            ),
            'dead_heartbeat': choice(
                'dead_heartbeat', fleet.Heartbeat, value['dead_heartbeat']
            ),
        }
        return cls(**{**value, **kinds})

    def __post_init__(self) -> None:
        if (
            self.server is ApiServer.WSGI
            and self.transport is not Transport.RABBIT
        ):
            raise error.SandboxError(
                'server wsgi needs transport rabbit: in memory, trove-api '
                'and the guests are one process'
            )
        for name in (
            'workers',
            'agent_timeout',
            'rate_limit',
            'token_lifetime',
        ):
            if getattr(self, name) < 1:
                raise error.SandboxError(f'{name} must be at least 1')
        if not 0 <= self.dead <= self.guests:
            raise error.SandboxError(
                'dead must be between 0 and the number of guests'
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """Free TCP ports on loopback."""

    keystone: int
    cloud: int
    trove: int
    amqp: int
    #: Between trove-api and amqp: sandbox/wire.py.
    wire: int
    epmd: int
    erlang: int

    @classmethod
    def free(cls) -> Self:
        """Ports that were free a moment ago, all of them at once."""
        with contextlib.ExitStack() as held:
            free = _free_ports(held)
            return cls(*(next(free) for _ in dataclasses.fields(cls)))


def _free_ports(held: contextlib.ExitStack) -> Iterator[int]:
    for port in random.sample(_PORTS, len(_PORTS)):
        sock = held.enter_context(socket.socket())
        with contextlib.suppress(OSError):
            sock.bind((LOOPBACK, port))
            yield port
    raise error.SandboxError('no TCP port is free')


def _password() -> str:
    return secrets.token_urlsafe(18)


@dataclasses.dataclass(frozen=True, slots=True)
class Passwords:
    """Random, and for this sandbox only."""

    admin: str = dataclasses.field(default_factory=_password)
    member: str = dataclasses.field(default_factory=_password)
    #: Trove's own service user, with a project (so a rate limit) of its own.
    trove: str = dataclasses.field(default_factory=_password)
    #: RabbitMQ's user "sandbox".
    broker: str = dataclasses.field(default_factory=_password)
    #: The key with which Trove encrypts the guests' keys in its database.
    guest_keys: str = dataclasses.field(default_factory=_password)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One sandbox."""

    folder: pathlib.Path
    venv: pathlib.Path
    options: Options
    ports: Ports
    passwords: Passwords

    @classmethod
    def draw_up(
        cls, folder: pathlib.Path, venv: pathlib.Path, options: Options
    ) -> Self:
        """With free ports and fresh passwords."""
        return cls(folder, venv, options, Ports.free(), Passwords())

    @property
    def auth_url(self) -> str:
        """Keystone."""
        return f'http://{LOOPBACK}:{self.ports.keystone}/v3'

    @property
    def cloud_url(self) -> str:
        """The stand-in for Nova and Neutron."""
        return f'http://{LOOPBACK}:{self.ports.cloud}'

    @property
    def trove_root(self) -> str:
        """trove-api, without a version and a project."""
        return f'http://{LOOPBACK}:{self.ports.trove}'

    @property
    def transport_url(self) -> str:
        """oslo.messaging's transport_url for trove-api."""
        if self.options.transport is Transport.MEMORY:
            return 'fake://'
        return self._rabbit_url(self.ports.wire)

    @property
    def guests_transport_url(self) -> str:
        """The same for the guests in a process of their own."""
        return self._rabbit_url(self.ports.amqp)

    def _rabbit_url(self, port: int) -> str:
        return f'rabbit://sandbox:{self.passwords.broker}@{LOOPBACK}:{port}/'

    def file(self, *names: str) -> pathlib.Path:
        """A path in the run folder."""
        return self.folder.joinpath(*names)

    def log(self, server: str) -> pathlib.Path:
        """What a server wrote to its stdout and stderr."""
        return self.file('logs', f'{server}.log')

    def save(self) -> None:
        """Write it where :meth:`load` looks for it."""
        value = json.dumps(dataclasses.asdict(self), default=str, indent=1)
        write_private(self.file('plan.json'), value)

    @classmethod
    def load(cls, folder: str) -> Self:
        """Read what :meth:`save` wrote."""
        path = pathlib.Path(folder, 'plan.json')
        value = json.loads(path.read_text())
        return cls(
            pathlib.Path(value['folder']),
            pathlib.Path(value['venv']),
            Options.from_dict(value['options']),
            Ports(**value['ports']),
            Passwords(**value['passwords']),
        )

    def save_fleet(self, guests: dict[str, fleet.Guest]) -> None:
        """Write the guests as they are now, for servers to start from."""
        value = [dataclasses.asdict(guest) for guest in guests.values()]
        write_private(self.file('fleet.json'), json.dumps(value))

    def load_fleet(self) -> list[fleet.Guest]:
        """Read what :meth:`save_fleet` wrote."""
        value = json.loads(self.file('fleet.json').read_text())
        return [fleet.Guest.from_json(guest) for guest in value]


def write_private(path: pathlib.Path, text: str) -> None:
    """Write a file that only its owner can read, all of it or nothing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(path.name + '.draft')
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)
