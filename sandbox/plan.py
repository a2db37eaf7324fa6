# SPDX-License-Identifier: Apache-2.0

"""The plan of a sandbox: all that is decided before a server starts.

The supervisor writes the plan to the run folder. The servers read it there.
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

from sandbox import error
from sandbox import fleet

LOOPBACK = '127.0.0.1'
REGION = 'RegionOne'

# The kernel takes the source ports of outgoing connections from a range above
# these (ip_local_port_range). Otherwise such a connection could take the port
# of a stopped server.
_PORTS = range(20000, 32000)


class Transport(enum.StrEnum):
    """The message bus between trove-api and the guests."""

    MEMORY = 'memory'
    RABBIT = 'rabbit'


class ApiServer(enum.StrEnum):
    """The server of trove-api's WSGI application."""

    #: Trove's own server: each worker serves many requests at a time.
    EVENTLET = 'eventlet'
    #: Each worker serves one request at a time, as with uWSGI and mod_wsgi.
    WSGI = 'wsgi'


def _option(default: Any, text: str) -> Any:
    return dataclasses.field(default=default, metadata={'help': text})


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """The choices of the user. Texts become members of enumerations.

    :raises sandbox.SandboxError: if an option is absurd.
    """

    transport: Transport = _option(
        Transport.MEMORY,
        'memory needs no broker: trove-api and the guests share a process; '
        'rabbit starts a RabbitMQ node, a process for the guests, and the '
        'workers of trove-api',
    )
    server: ApiServer = _option(
        ApiServer.EVENTLET,
        'the server of trove-api; with wsgi, which needs rabbit, each worker '
        'serves one request at a time',
    )
    workers: int = _option(2, 'worker processes of trove-api; only for rabbit')
    guests: int = _option(
        0, 'guests to add to the default fleet: guest-0001 and so on'
    )
    dead: int = _option(0, 'dead guests among the added ones')
    dead_order: fleet.DeadOrder = _option(
        fleet.DeadOrder.ROW,
        'row: the last of the added guests are dead; random: guests at '
        'random are dead, the same ones in each sandbox',
    )
    dead_heartbeat: fleet.Heartbeat = _option(
        fleet.Heartbeat.STALE, 'the last heartbeat of the dead guests'
    )
    agent_timeout: int = _option(
        3, 'seconds that Trove waits for an agent; 15 in Trove itself'
    )
    rate_limit: int = _option(
        200, 'GET requests a minute for each project, in each worker'
    )
    token_lifetime: int = _option(3600, 'seconds until a token expires')

    def fleet(self) -> tuple[fleet.Guest, ...]:
        """Return the guests of the start."""
        return fleet.default_fleet(
            self.guests, self.dead, self.dead_order, self.dead_heartbeat
        )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            kind: Any = type(field.default)
            value = getattr(self, field.name)
            if kind is not int:
                if value not in list(kind):
                    raise error.SandboxError(
                        f'{field.name} must be {" or ".join(kind)}, not '
                        f'{value}'
                    )
                object.__setattr__(self, field.name, kind(value))
            elif field.default and value < 1:
                raise error.SandboxError(f'{field.name} must be at least 1')
        if (
            self.server is ApiServer.WSGI
            and self.transport is not Transport.RABBIT
        ):
            raise error.SandboxError(
                'server wsgi needs transport rabbit: in memory, trove-api '
                'and the guests are one process'
            )
        if not 0 <= self.dead <= self.guests:
            raise error.SandboxError(
                'dead must be between 0 and the number of guests'
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on loopback."""

    keystone: int
    cloud: int
    trove: int
    amqp: int
    #: The proxy between trove-api and amqp: sandbox/wire.py.
    wire: int
    epmd: int
    erlang: int

    @classmethod
    def free(cls) -> Self:
        """Return ports that were free at the same time a moment ago."""
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
    """Random passwords for this sandbox only."""

    admin: str = dataclasses.field(default_factory=_password)
    member: str = dataclasses.field(default_factory=_password)
    #: Trove's service user. It has its own project, so its own rate limit.
    trove: str = dataclasses.field(default_factory=_password)
    #: The user "sandbox" of RabbitMQ.
    broker: str = dataclasses.field(default_factory=_password)
    #: With this key Trove encrypts the keys of the guests in its database.
    guest_keys: str = dataclasses.field(default_factory=_password)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One sandbox."""

    folder: pathlib.Path
    venv: pathlib.Path
    options: Options
    ports: Ports
    passwords: Passwords

    @property
    def auth_url(self) -> str:
        """The URL of Keystone."""
        return f'http://{LOOPBACK}:{self.ports.keystone}/v3'

    @property
    def cloud_url(self) -> str:
        """The URL of the stand-in for Nova and Neutron."""
        return f'http://{LOOPBACK}:{self.ports.cloud}'

    @property
    def trove_root(self) -> str:
        """The URL of trove-api, without a version and a project."""
        return f'http://{LOOPBACK}:{self.ports.trove}'

    @property
    def transport_url(self) -> str:
        """The transport_url of oslo.messaging for trove-api."""
        if self.options.transport is Transport.MEMORY:
            return 'fake://'
        return self._rabbit_url(self.ports.wire)

    @property
    def guests_transport_url(self) -> str:
        """The transport_url for guests in their own process."""
        return self._rabbit_url(self.ports.amqp)

    def _rabbit_url(self, port: int) -> str:
        return f'rabbit://sandbox:{self.passwords.broker}@{LOOPBACK}:{port}/'

    def file(self, *names: str) -> pathlib.Path:
        """Return a path in the run folder."""
        return self.folder.joinpath(*names)

    def log(self, server: str) -> pathlib.Path:
        """Return the path of the file with a server's stdout and stderr."""
        return self.file('logs', f'{server}.log')

    def save(self) -> None:
        """Write the plan to the file that :meth:`load` reads."""
        value = json.dumps(dataclasses.asdict(self), default=str, indent=1)
        write_private(self.file('plan.json'), value)

    @classmethod
    def load(cls, folder: str) -> Self:
        """Read the plan that :meth:`save` wrote."""
        path = pathlib.Path(folder, 'plan.json')
        value = json.loads(path.read_text())
        return cls(
            pathlib.Path(value['folder']),
            pathlib.Path(value['venv']),
            Options(**value['options']),
            Ports(**value['ports']),
            Passwords(**value['passwords']),
        )

    def save_fleet(self, guests: dict[str, fleet.Guest]) -> None:
        """Write the present guests, which servers read when they start."""
        value = [dataclasses.asdict(guest) for guest in guests.values()]
        write_private(self.file('fleet.json'), json.dumps(value))

    def load_fleet(self) -> list[fleet.Guest]:
        """Read the guests that :meth:`save_fleet` wrote."""
        value = json.loads(self.file('fleet.json').read_text())
        return [fleet.Guest(**guest) for guest in value]


def write_private(path: pathlib.Path, text: str) -> None:
    """Write a file that only its owner can read: all of it, or nothing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(path.name + '.draft')
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)
