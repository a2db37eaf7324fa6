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

"""A sandbox that lives as long as a ``with`` block."""

import os
import pathlib
import shutil
import tempfile
from types import TracebackType
from typing import Self

from sandbox import channel
from sandbox import error
from sandbox import fleet
from sandbox import install
from sandbox import owner
from sandbox import plan as plan_
from sandbox import rabbitmq


class Sandbox:
    """A control plane: starts on entering the block, is gone after it.

    :param transport: ``memory`` (no broker; trove-api and the guests share
        a process) or ``rabbit`` (a RabbitMQ node of its own; the guests and
        ``workers`` trove-api processes).
    :param server: what serves trove-api: ``eventlet`` (many requests at a
        time in each worker) or, only with ``rabbit``, ``wsgi`` (one request
        at a time in each worker, as with uWSGI).
    :param workers: trove-api's processes; only with ``rabbit``.
    :param guests: how many guests ``guest-0001``, … to add to the default
        fleet.
    :param dead: how many of these are dead.
    :param dead_order: which ones: ``row``, the last ones, or ``random``.
    :param dead_heartbeat: what Trove got last from them: ``stale`` or
        ``fresh``.
    :param agent_timeout: whole seconds that Trove waits for an agent
        (Trove's own default is 15).
    :param rate_limit: GETs a minute for each project, in each worker.
    :param token_lifetime: seconds until a Keystone token expires.
    :param folder: where configuration, databases and logs are kept, also
        afterwards; by default a temporary folder that goes when the block
        ends, and stays when the start fails.
    :raises sandbox.SandboxError: (on entering) when it cannot be installed
        or started: says which server, and how its log ends.

    Several can run at once, and it can be started from any thread. Its
    servers die with this process, however that ends.
    """

    def __init__(
        self,
        transport: str = 'memory',
        *,
        server: str = 'eventlet',
        workers: int = 2,
        guests: int = 0,
        dead: int = 0,
        dead_order: str = 'row',
        dead_heartbeat: str = 'stale',
        agent_timeout: int = 3,
        rate_limit: int = 200,
        token_lifetime: int = 3600,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        self.options = plan_.Options(
            plan_.choice('transport', plan_.Transport, transport),
            workers,
            guests,
            dead,
            agent_timeout,
            rate_limit,
            token_lifetime,
            plan_.choice('server', plan_.ApiServer, server),
            plan_.choice('dead_order', fleet.DeadOrder, dead_order),
            plan_.choice('dead_heartbeat', fleet.Heartbeat, dead_heartbeat),
        )
        self._guests = fleet.by_name(self.options.fleet())
        self._folder = None if folder is None else pathlib.Path(folder)
        self._temporary: str | None = None
        self._supervisor: owner.Supervisor | None = None
        self._plan: plan_.Plan | None = None
        self._socket = ''
        self._detached = False

    def __enter__(self) -> Self:
        """Start it, and wait until every server answers."""
        if self.options.transport is plan_.Transport.RABBIT:
            rabbitmq.require()
        venv = install.ensure()
        folder = self._folder
        if folder is None:
            self._temporary = tempfile.mkdtemp(prefix='trove-sandbox-')
            folder = pathlib.Path(self._temporary)
        folder = folder.absolute()
        self._supervisor = owner.Supervisor(folder, venv, self.options)
        try:
            self._socket = self._supervisor.started()
        except error.SandboxError:
            self._supervisor.end()
            raise  # its logs are kept
        except BaseException:
            self._clean_up(self._supervisor)
            raise
        self._plan = plan_.Plan.load(str(folder))
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it; nothing of it is left."""
        if self._supervisor and not self._detached:
            self._clean_up(self._supervisor)

    def _clean_up(self, supervisor: owner.Supervisor) -> None:
        supervisor.end()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def detach(self) -> None:
        """Let it live on after the block and this process, until ``down``."""
        self._started().detach()
        self._detached = True

    def _started(self) -> owner.Supervisor:
        if self._supervisor is None:
            raise error.SandboxError('the sandbox has not been started')
        return self._supervisor

    @property
    def plan(self) -> plan_.Plan:
        """Ports, passwords and paths."""
        if self._plan is None:
            raise error.SandboxError('the sandbox has not been started')
        return self._plan

    @property
    def pid(self) -> int:
        """The process that is the parent of every server."""
        return self._started().pid

    @property
    def socket(self) -> str:
        """The path of its control socket."""
        return self._socket

    @property
    def folder(self) -> pathlib.Path:
        """Where its files are."""
        return self.plan.folder

    @property
    def auth_url(self) -> str:
        """Keystone, with ``/v3``."""
        return self.plan.auth_url

    @property
    def trove_url(self) -> str:
        """trove-api, without a version: ``/v1.0/{project id}`` follows."""
        return self.plan.trove_root

    @property
    def clouds_yaml(self) -> pathlib.Path:
        """A clouds.yaml with ``sandbox`` and ``sandbox-member``."""
        return self.plan.file('clouds.yaml')

    @property
    def guests(self) -> dict[str, fleet.Guest]:
        """The fleet as it was at the start, by name.

        Namesakes are called ``NAME@PROJECT``.
        """
        return self._guests

    def env(self, cloud: str = 'sandbox') -> dict[str, str]:
        """A whole environment for a client: this process's, pointed here.

        :param cloud: ``sandbox``, the administrator, or ``sandbox-member``.
        """
        return client_env(self.clouds_yaml, self._socket, cloud)

    def set_guest(
        self,
        name: str,
        behaviour: str,
        delay: float | None = None,
        heartbeat: str | float | None = None,
        status: str = 'ACTIVE',
        server: str = 'ACTIVE',
    ) -> None:
        """Let a guest behave in another way, from now on.

        What is not given is as it was at the start, but the delay.

        :param name: a key of :attr:`guests`, or an ID.
        :param behaviour: a :class:`sandbox.Behaviour`.
        :param delay: seconds, for ``slow``.
        :param heartbeat: ``fresh``, ``stale``, or the age in seconds of the
            last one, below 0 with a clock that is ahead; by default stale
            for a dead guest and with RESTART_REQUIRED, and fresh otherwise.
        :param status: a :class:`sandbox.fleet.Status`, Trove's word for what
            it is doing.
        :param server: a :class:`sandbox.fleet.ServerStatus`, Nova's word for
            its server.
        """
        self._order(
            'guest',
            name=name,
            behaviour=behaviour,
            delay=delay,
            heartbeat=heartbeat,
            status=status,
            server=server,
        )

    def set_nova(self, state: str) -> None:
        """Set what Nova does, from now on.

        :param state: ``ok``, ``broken`` (500 for everything) or ``missing``
            (it knows no server).
        """
        self._order('nova', state=state)

    def set_broker(self, state: str) -> None:
        """Set what RabbitMQ does, from now on.

        :param state: ``ok`` or ``refusing`` (nobody may send: trove-api
            gets ACCESS_REFUSED).
        """
        self._order('broker', state=state)

    def set_loss(self, share: float, seed: int = 0) -> None:
        """Let agents get pings and never answer them, from now on.

        :param share: of all pings, chosen at random: 0.3 is 30 %, 0 mends it.
        :param seed: the same seed loses the same pings, counted in the order
            in which they arrive.
        """
        self._order('loss', share=share, seed=seed)

    def set_worker(self, number: int, state: str) -> None:
        """Cut off or freeze one worker of trove-api, from now on.

        :param number: from 1, in the order of :meth:`workers`.
        :param state: ``ok``; ``lost`` (its connections to RabbitMQ carry
            nothing any more, in silence, until it notices after a minute or
            two; new ones work, so that its pings time out); ``cut`` (new
            ones carry nothing either, so that its pings hang); or
            ``frozen`` (SIGSTOP).
        """
        self._order('worker', number=number, state=state)

    def freeze(self, server: str) -> None:
        """Let a server and its workers stand still (SIGSTOP).

        :param server: with ``guests``, all agents are cut off at once.
        """
        self._order('freeze', server=server)

    def thaw(self, server: str) -> None:
        """Let a server and its workers go on (SIGCONT)."""
        self._order('thaw', server=server)

    def mend(self) -> None:
        """Mend everything: servers, workers, guests, Nova, the broker."""
        self._order('mend')

    def stop(self, server: str) -> None:
        """Stop a server in good order; returns when it is gone.

        :param server: ``keystone``, ``cloud``, ``trove-api``; with rabbit
            also ``guests`` and ``broker``.
        """
        self._order('stop', server=server)

    def kill(self, server: str) -> None:
        """Stop a server and its workers with SIGKILL."""
        self._order('kill', server=server)

    def start(self, server: str) -> None:
        """Start a server again, on its port; returns when it answers."""
        self._order('start', server=server)

    def workers(self) -> list[int]:
        """The PIDs of trove-api's workers, in order."""
        return [worker['pid'] for worker in self.status()['workers']]

    def log(self, server: str) -> str:
        """What a server has written to its log."""
        return self.plan.log(server).read_text(errors='replace')

    def status(self) -> channel.Message:
        """What ``status --json`` prints."""
        return self._order('status')

    def _order(self, order: str, **what: object) -> channel.Message:
        return channel.order(self._socket, {'order': order, **what})


def client_env(
    clouds_yaml: pathlib.Path, socket: str, cloud: str
) -> dict[str, str]:
    """The environment of this process, with this sandbox as the only cloud."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith('OS_')
    }
    for name in ('no_proxy', 'NO_PROXY'):
        env[name] = ','.join(filter(None, [env.get(name), plan_.LOOPBACK]))
    return env | {
        'OS_CLIENT_CONFIG_FILE': str(clouds_yaml),
        'OS_CLOUD': cloud,
        'TROVE_SANDBOX_SOCKET': socket,
    }
