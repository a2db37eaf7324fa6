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

"""What runs, and how it behaves: carries out the orders."""

import asyncio
import dataclasses
import os
import threading

from sandbox import channel
from sandbox import config
from sandbox import error
from sandbox import fleet
from sandbox import plan as plan_
from sandbox import probe
from sandbox import programs
from sandbox import server


class Supervisor:
    """The servers of one sandbox, their state and the guests'."""

    def __init__(self, plan: plan_.Plan) -> None:
        self.plan = plan
        options = plan.options
        guests = fleet.default_fleet(options.guests, options.dead)
        self.guests = {guest.id: guest for guest in guests}
        self.nova = fleet.Nova.OK
        self.down = asyncio.Event()
        self._stopping = threading.Event()
        made = [programs.keystone(plan), programs.cloud(plan)]
        if options.transport is plan_.Transport.MEMORY:
            made += [programs.memory(plan)]
        else:
            made += [
                programs.epmd(plan),
                programs.broker(plan),
                programs.guests(plan),
                programs.trove_api(plan),
            ]
        self.servers = {
            program.name: server.Server(program) for program in made
        }

    @property
    def _guests_host(self) -> server.Server:
        return self.servers.get('guests', self.servers['trove-api'])

    async def start(self) -> None:
        """Start every server, all at once."""
        config.write(self.plan)
        self.plan.save_fleet(self.guests)
        servers = dict(self.servers)
        if 'epmd' in servers:
            await servers.pop('epmd').start()
        await asyncio.gather(*(each.start() for each in servers.values()))
        await self._prove()

    async def stop(self) -> None:
        """Stop every server; those that talk to the broker before it."""
        self._stopping.set()
        broker = [self.servers.get('broker'), self.servers.get('epmd')]
        others = [each for each in self.servers.values() if each not in broker]
        await asyncio.gather(*(each.stop() for each in others))
        for each in broker:
            if each:
                await each.kill()

    async def carry_out(self, order: channel.Message) -> channel.Message:
        """One order; when this returns, it is in force."""
        match order['order']:
            case 'status':
                return self._status()
            case 'guest':
                await self._set_guest(order)
            case 'nova':
                await self._set_nova(fleet.Nova(order['state']))
            case 'stop':
                await self._server(order['server']).stop()
            case 'kill':
                await self._server(order['server']).kill()
            case 'start':
                await self._restart(self._server(order['server']))
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
            'workers': self.servers['trove-api'].workers(),
            'nova': self.nova,
            'guests': [
                {
                    'name': guest.name,
                    'id': guest.id,
                    'project': guest.project,
                    'behaviour': guest.behaviour,
                }
                for guest in self.guests.values()
            ],
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

    async def _set_guest(self, order: channel.Message) -> None:
        broker = self.servers.get('broker')
        if broker and broker.pid is None:
            # The guests could neither leave it nor join it.
            raise error.SandboxError('start the broker first')
        heartbeat = order.get('heartbeat')
        guest = self._guest(order['name']).behaving(
            fleet.Behaviour(order['behaviour']),
            order.get('delay'),
            fleet.Heartbeat(heartbeat) if heartbeat else None,
        )
        self.guests[guest.id] = guest
        self.plan.save_fleet(self.guests)
        # A host that is stopped reads it when it starts.
        if self._guests_host.pid is not None:
            await self._guests_host.order({'guest': dataclasses.asdict(guest)})

    async def _set_nova(self, state: fleet.Nova) -> None:
        self.nova = state
        if self.servers['cloud'].pid is not None:
            await self.servers['cloud'].order({'state': state})

    async def _restart(self, what: server.Server) -> None:
        if what.name == 'broker' and self.servers['epmd'].pid is None:
            await self.servers['epmd'].start()
        await what.start()
        if what.name == 'cloud':
            await self._set_nova(self.nova)
        await self._prove()

    async def _prove(self) -> None:
        """Wait until pings get through, if anything can stop them but us.

        It is the only proof that trove-api and the guests have found the
        broker (again); and the first request that a worker of trove-api
        serves takes half a second longer than the others, so let it be ours.
        """
        answering = [
            guest
            for guest in self.guests.values()
            if guest.behaviour is fleet.Behaviour.ANSWERING
            and guest.in_nova
            and not guest.deleted
        ]
        running = all(each.pid for each in self.servers.values())
        if answering and running and self.nova is fleet.Nova.OK:
            await asyncio.to_thread(
                probe.ping_until_answered,
                self.plan,
                answering[0],
                self.servers['trove-api'].workers(),
                self._stopping,
            )
