# SPDX-License-Identifier: Apache-2.0

"""The guest agents: the real RPC servers, without virtual machines."""

# mypy: disable-error-code="import-not-found, import-untyped, misc"

from collections.abc import Callable
from collections.abc import Iterable
import functools
import random
import sys
import threading
import time
from typing import Any

import eventlet
import oslo_messaging
from trove import rpc
from trove.guestagent import api
from trove.guestagent.datastore import manager

from sandbox import channel
from sandbox import fleet
from sandbox import plan as plans
from sandbox.plane import instances

# An agent runs in the machine of a tenant, and may attack the terminal of an
# operator: with a line break, colour, a new window title, cursor movement, a
# bell, and an override of the writing direction.
_HOSTILE = (
    'disk is full\n'
    '\x1b[31mred\x1b[0m \x1b]0;new title\x07\x1b[2J\x1b[1;1H'
    'bell\x07 \u202eoverride'
)

# Seconds between two heartbeats: trove-guestagent's report_interval
# (trove/common/cfg.py).
_HEARTBEAT = 30


class _Answering:
    rpc_ping = manager.Manager.rpc_ping


class _Old:
    """An agent that has other methods, but not ``rpc_ping``."""

    def get_diagnostics(self, context: Any) -> dict[str, Any]:
        return {}


class _Failing:
    def rpc_ping(self, context: Any) -> None:
        # Only built-in exceptions carry their traceback into the reply of
        # Trove (oslo_messaging/_drivers/common.py,
        # deserialize_remote_exception, and trove/guestagent/api.py).
        raise RuntimeError(_HOSTILE)


class _Slow:
    def __init__(self, delay: float) -> None:
        self._delay = delay
        # Eventlet has patched it: other green threads run meanwhile.
        self._stopped = threading.Event()

    def rpc_ping(self, context: Any) -> bool:
        self._stopped.wait(self._delay)
        return True

    def stop(self) -> None:
        """Answer at once. The stop of an RPC server awaits its answers."""
        self._stopped.set()


def _endpoint(guest: fleet.Guest) -> object:
    match guest.behaviour:
        case fleet.Behaviour.OLD:
            return _Old()
        case fleet.Behaviour.FAILING:
            return _Failing()
        case fleet.Behaviour.SLOW:
            return _Slow(guest.delay)
        case _:
            return _Answering()


def _at_once(
    act: Callable[[fleet.Guest], None], guests: Iterable[fleet.Guest]
) -> None:
    """Call a function for all guests: each call waits for the broker."""
    for _ in eventlet.GreenPool(50).imap(act, list(guests)):
        pass


class Agents:
    """All agents of one sandbox, in this process."""

    def __init__(self, plan: plans.Plan) -> None:
        guests = plan.load_fleet()
        seeded = plan.file('trove.seeded')
        if seeded.exists():
            instances.update(guests)
        else:
            instances.create(guests)
            seeded.touch()
        self._guests = {guest.id: guest for guest in guests}
        self._keys = instances.keys()
        self._servers: dict[str, oslo_messaging.RPCServer] = {}
        self._slow: dict[str, _Slow] = {}
        self._loss = 0.0
        self._random = random.Random()  # noqa: S311

    def start(self) -> None:
        """Start the agents that are alive, and the heartbeats."""
        _at_once(self._start, self._guests.values())
        eventlet.spawn(self._beat)

    def carry_out(self, order: channel.Message) -> channel.Message:
        """Change the behaviour of guests, or the share of lost pings."""
        if 'loss' in order:
            self._loss = order['loss']
            self._random = random.Random(order['seed'])  # noqa: S311
            return {}
        guests = [fleet.Guest(**guest) for guest in order['guests']]
        _at_once(self._stop, guests)
        self._guests |= {guest.id: guest for guest in guests}
        instances.update(guests)
        _at_once(self._start, guests)
        return {}

    def _start(self, guest: fleet.Guest) -> None:
        if not guest.alive:
            return
        # trove-guestagent does the same (trove/cmd/guest.py and
        # trove/common/rpc/service.py).
        target = oslo_messaging.Target(
            topic=f'guestagent.{guest.id}',
            server=guest.id,
            version=api.API.API_LATEST_VERSION,
        )
        endpoint = _endpoint(guest)
        if isinstance(endpoint, _Slow):
            self._slow[guest.id] = endpoint
        server = rpc.get_server(target, [endpoint], key=self._keys[guest.id])
        answer = server._process_incoming
        server._process_incoming = functools.partial(self._receive, answer)
        server.start()
        self._servers[guest.id] = server

    def _receive(
        self, answer: Callable[[list[Any]], None], messages: list[Any]
    ) -> None:
        """Answer a message, unless it is chosen to be lost."""
        [message] = messages
        if self._loss and self._random.random() < self._loss:
            message.acknowledge()
            method = message.message['method']
            sys.stderr.write(f'never answered: {method}\n')
        else:
            answer(messages)

    def _stop(self, guest: fleet.Guest) -> None:
        server = self._servers.pop(guest.id, None)
        slow = self._slow.pop(guest.id, None)
        if server:
            server.stop()
            if slow:
                slow.stop()
            server.wait()

    def _beat(self) -> None:
        while True:
            time.sleep(_HEARTBEAT)
            instances.beat(
                [
                    guest
                    for guest in self._guests.values()
                    if guest.heartbeat is fleet.Heartbeat.FRESH
                ]
            )
