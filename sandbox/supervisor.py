# SPDX-License-Identifier: Apache-2.0

"""Start, stop and break the servers of a sandbox, as the orders say."""

import asyncio
import dataclasses
import os
import signal
import threading

from sandbox import channel
from sandbox import config
from sandbox import error
from sandbox import fleet
from sandbox import plan as plans
from sandbox import probe
from sandbox import programs
from sandbox import rabbitmq
from sandbox import server
from sandbox import wire


class Supervisor:
    """The servers of one sandbox, and the state of servers and guests."""

    def __init__(self, plan: plans.Plan) -> None:
        self.plan = plan
        self.guests = {guest.id: guest for guest in plan.options.fleet()}
        self._original = dict(self.guests)
        self.nova = fleet.Nova.OK
        self.broker = fleet.Broker.OK
        self.loss = 0.0
        self._seed = 0
        self.down = asyncio.Event()
        self._stopping = threading.Event()
        self._wire = wire.Wire(plan.ports.wire, plan.ports.amqp)
        self.servers = {
            program.name: program for program in programs.programs(plan)
        }

    @property
    def _guests_host(self) -> server.Server:
        return self.servers.get('guests', self._api)

    @property
    def _api(self) -> server.Server:
        return self.servers['trove-api']

    async def start(self) -> None:
        """Start all servers at once."""
        config.write(self.plan)
        self.plan.save_fleet(self.guests)
        names = [name for name in self.servers if name != 'epmd']
        await asyncio.gather(
            *(self._start(self.servers[name]) for name in names)
        )
        await self._prove()

    async def _start(self, what: server.Server) -> None:
        """Start a server, and restore its faults."""
        if what.name == 'broker' and self.servers['epmd'].pid is None:
            await self.servers['epmd'].start()
        await what.start()
        if what.name == 'broker':
            await self._wire.open()
        if what.name == 'cloud':
            await self._set_nova(self.nova)
        if what is self._guests_host:
            await self._set_loss(self.loss, self._seed)

    def _stopped(self, what: server.Server) -> None:
        """Update the wire after a server has stopped."""
        if what.name == 'broker':
            self._wire.close()
        if what is self._api:
            self._wire.mend_all()

    async def stop(self) -> None:
        """Stop every server, the broker last."""
        self._stopping.set()
        broker = [self.servers.get('broker'), self.servers.get('epmd')]
        others = [each for each in self.servers.values() if each not in broker]
        await asyncio.gather(*(each.stop() for each in others))
        for each in broker:
            if each:
                await each.kill()

    async def carry_out(self, order: channel.Message) -> channel.Message:
        """Carry out one order. It is in force when this returns."""
        match order['order']:
            case 'status':
                return self._status()
            case 'guest':
                await self._set_guests(order)
            case 'nova':
                await self._set_nova(fleet.Nova(order['state']))
            case 'mend':
                await self._mend()
            case 'broker':
                await self._set_broker(fleet.Broker(order['state']))
                await self._prove()
            case 'loss':
                await self._set_loss(order['share'], order['seed'])
            case 'worker':
                await self._set_worker(
                    order['number'], fleet.Worker(order['state'])
                )
            case 'stop' | 'kill' | 'start' | 'freeze' | 'thaw' as verb:
                await self._command(verb, self._server(order['server']))
            case unknown:
                raise error.SandboxError(f'no such order: {unknown}')
        return {}

    def _status(self) -> channel.Message:
        plan = self.plan
        return {
            'folder': str(plan.folder),
            'pid': os.getpid(),
            'transport': plan.options.transport,
            'auth_url': plan.auth_url,
            'trove_url': plan.trove_root,
            'clouds_yaml': str(plan.file('clouds.yaml')),
            'servers': {each.name: each.pid for each in self.servers.values()},
            'frozen': [
                each.name for each in self.servers.values() if each.frozen
            ],
            'workers': [
                {'pid': pid, 'state': self._worker_state(pid)}
                for pid in self._api.workers()
            ],
            'nova': self.nova,
            'broker': self.broker,
            'loss': self.loss,
            'guests': [*map(dataclasses.asdict, self.guests.values())],
        }

    def _server(self, name: str) -> server.Server:
        # The port mapper comes and goes with the broker.
        names = [each for each in self.servers if each != 'epmd']
        if name not in names:
            raise error.SandboxError(
                f'no such server: {name} (there are {", ".join(names)})'
            )
        return self.servers[name]

    def _guest(self, name: str) -> fleet.Guest:
        found = [
            guest
            for key, guest in fleet.by_name(self.guests.values()).items()
            if name in (key, guest.name, guest.id)
        ]
        if len(found) == 1:
            return found[0]
        if not found:
            raise error.SandboxError(f'no such guest: {name}')
        ids = ', '.join(f'{guest.name}@{guest.project}' for guest in found)
        raise error.SandboxError(f'several guests are called {name}: {ids}')

    async def _set_guests(self, order: channel.Message) -> None:
        broker = self.servers.get('broker')
        if broker and broker.pid is None:
            # Without a broker, a guest can neither connect nor disconnect.
            raise error.SandboxError('start the broker first')
        await self._replace(
            [
                self._guest(name).behaving(
                    *(order['behaviour'], order['heartbeat']),
                    delay=order['delay'],
                    status=order['status'],
                    server=order['server'],
                )
                for name in order['names']
            ]
        )

    async def _replace(self, guests: list[fleet.Guest]) -> None:
        message = {'guests': [dataclasses.asdict(guest) for guest in guests]}
        # A stopped host reads the guests when it starts.
        for host in (self._guests_host, self.servers['cloud']):
            if host.pid is not None:
                await host.order(message)
        self.guests |= {guest.id: guest for guest in guests}
        self.plan.save_fleet(self.guests)

    async def _set_nova(self, state: fleet.Nova) -> None:
        self.nova = state
        if self.servers['cloud'].pid is not None:
            await self.servers['cloud'].order({'state': state})

    async def _command(self, verb: str, what: server.Server) -> None:
        """Start, stop, kill, freeze or thaw a server."""
        match verb:
            case 'stop':
                await what.stop()
                self._stopped(what)
            case 'kill':
                await what.kill()
                self._stopped(what)
            case 'start':
                await self._start(what)
                await self._prove()
            case 'freeze':
                await what.freeze()
            case 'thaw':
                what.thaw()
                await self._prove()

    async def _mend(self) -> None:
        """Undo every fault."""
        if self._sound and self.guests == self._original:
            return  # the proof takes half a second
        servers = list(self.servers.values())
        for each in servers:
            each.thaw()
        self._wire.mend_all()
        # The broker comes first: the others connect to it.
        for each in sorted(servers, key=lambda each: each.name != 'broker'):
            if each.pid is None:
                await self._start(each)
        if self.broker is not fleet.Broker.OK:
            await self._set_broker(fleet.Broker.OK)
        await self._set_loss(0, 0)
        await self._set_nova(fleet.Nova.OK)
        await self._replace(
            [
                guest
                for guest in self._original.values()
                if guest != self.guests[guest.id]
            ]
        )
        await self._prove()

    def _worker_state(self, pid: int) -> fleet.Worker:
        if pid in self._wire.cut_off:
            return fleet.Worker.CUT
        if self._wire.lost(pid):
            return fleet.Worker.LOST
        return (
            fleet.Worker.FROZEN if server.is_frozen(pid) else fleet.Worker.OK
        )

    async def _set_worker(self, number: int, state: fleet.Worker) -> None:
        workers = self._api.workers()
        if not 1 <= number <= len(workers):
            raise error.SandboxError(
                f'no such worker: {number} (trove-api has {len(workers)})'
            )
        pid = workers[number - 1]
        if self.plan.options.transport is plans.Transport.MEMORY:
            raise error.SandboxError(
                'in memory, trove-api and the guests are one process; use '
                '--transport rabbit to have workers'
            )
        self._wire.mend(pid)
        os.kill(pid, signal.SIGCONT)
        match state:
            case fleet.Worker.CUT | fleet.Worker.LOST:
                self._wire.cut(pid, new=state is fleet.Worker.CUT)
            case fleet.Worker.FROZEN:
                os.kill(pid, signal.SIGSTOP)
                await server.frozen(pid)
            case fleet.Worker.OK:
                await self._prove()

    async def _set_broker(self, state: fleet.Broker) -> None:
        broker = self.servers.get('broker')
        if broker is None:
            raise error.SandboxError(
                'in memory there is no broker; use --transport rabbit'
            )
        if broker.pid is None or broker.frozen:
            raise error.SandboxError('the broker is not running')
        await rabbitmq.permit(broker.env, writing=state is fleet.Broker.OK)
        if state is not fleet.Broker.OK:
            # RabbitMQ checks a permission once for each channel.
            self._wire.close_links()
        self.broker = state

    async def _set_loss(self, share: float, seed: int) -> None:
        if not 0 <= share <= 1:
            raise error.SandboxError('a share is a number from 0 to 1')
        self.loss, self._seed = share, seed
        # A stopped host gets the order when it starts.
        if self._guests_host.pid is not None:
            await self._guests_host.order({'loss': share, 'seed': seed})

    @property
    def _sound(self) -> bool:
        """True if no fault can keep a ping from an answering guest."""
        servers = self.servers.values()
        return (
            all(each.pid and not each.frozen for each in servers)
            and self.nova is fleet.Nova.OK
            and self.broker is fleet.Broker.OK
            and not self.loss
            and all(
                self._worker_state(pid) is fleet.Worker.OK
                for pid in self._api.workers()
            )
        )

    async def _prove(self) -> None:
        """Wait until pings get through, unless a fault is set.

        Only this proves that trove-api and the guests are connected to the
        broker. Besides, the first request of a worker takes half a second
        longer than the others; this request is the first.
        """
        answering = [
            guest
            for guest in self.guests.values()
            if guest.behaviour is fleet.Behaviour.ANSWERING
            and guest.in_nova
            and not guest.deleted
        ]
        if answering and self._sound:
            await asyncio.to_thread(
                probe.ping_until_answered,
                self.plan,
                answering[0],
                self._api.workers(),
                self._stopping,
            )
