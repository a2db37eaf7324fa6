# SPDX-License-Identifier: Apache-2.0

"""A sandbox that lives as long as a ``with`` block."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import Any
from typing import IO
from typing import Self

from sandbox import channel
from sandbox import error
from sandbox import fleet
from sandbox import install
from sandbox import plan as plans
from sandbox import rabbitmq

_ROOT = pathlib.Path(__file__).resolve().parent.parent

# Seconds until a supervisor that was told to end is killed.
_STOP = 30


class Sandbox:
    """A control plane. It starts when the block begins, and ends with it.

    :param transport: ``memory`` or ``rabbit``.
    :param options: further fields of :class:`sandbox.plan.Options`.
    :param folder: the folder for configuration, databases and logs. It is
        kept. The default is a temporary folder, which is removed when the
        block ends, but not when the start fails.
    :raises sandbox.SandboxError: (when the block begins) if the sandbox
        cannot be installed or started. The text names the server, and has
        the end of its log.

    Several sandboxes can run at once. Any thread can start one. The servers
    die with this process, however the process ends.
    """

    def __init__(
        self,
        transport: str = 'memory',
        *,
        folder: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        self.options = plans.Options(**{'transport': transport, **options})
        self._guests = fleet.by_name(self.options.fleet())
        self._folder = None if folder is None else pathlib.Path(folder)
        self._temporary: str | None = None
        # The process that is the parent of every server.
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._plan: plans.Plan | None = None
        self._socket = ''
        self._detached = False

    def __enter__(self) -> Self:
        """Start the sandbox, and wait until every server answers."""
        if self.options.transport is plans.Transport.RABBIT:
            rabbitmq.require()
        venv = install.ensure()
        folder = self._folder
        if folder is None:
            self._temporary = tempfile.mkdtemp(prefix='trove-sandbox-')
            folder = pathlib.Path(self._temporary)
        folder = folder.absolute()
        chosen = json.dumps(dataclasses.asdict(self.options))
        argv = ['-m', 'sandbox.serve', str(folder), str(venv), chosen]
        path = {'PYTHONPATH': str(_ROOT), 'PYTHONSAFEPATH': '1'}
        self._supervisor = subprocess.Popen(  # noqa: S603
            [sys.executable, *argv],
            env=os.environ | path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C reaches this process only, which then ends it in order.
            start_new_session=True,
        )
        try:
            line = self._pipes(self._supervisor)[1].readline()
            if not line:
                raise error.SandboxError(
                    'the sandbox ended while it started; read '
                    f'{folder / "supervisor.log"}'
                )
            self._socket = channel.checked(channel.decode(line))['socket']
        except error.SandboxError:
            self._end(self._supervisor)
            raise  # the folder with the logs is kept
        except BaseException:
            self.__exit__()
            raise
        self._plan = plans.Plan.load(str(folder))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the sandbox, and wait until every process is gone."""
        if self._supervisor and not self._detached:
            self._end(self._supervisor)
            if self._temporary:
                shutil.rmtree(self._temporary, ignore_errors=True)

    def _pipes(
        self, supervisor: subprocess.Popen[bytes]
    ) -> tuple[IO[bytes], IO[bytes]]:
        """Return the pipes to and from the supervisor."""
        assert supervisor.stdin  # noqa: S101
        assert supervisor.stdout  # noqa: S101
        return supervisor.stdin, supervisor.stdout

    def _end(self, supervisor: subprocess.Popen[bytes]) -> None:
        to, from_ = self._pipes(supervisor)
        to.close()  # this tells it to end
        try:
            supervisor.wait(_STOP)
        except subprocess.TimeoutExpired:
            supervisor.kill()  # its servers die with it
            supervisor.wait()
        from_.close()

    def detach(self) -> None:
        """Let the sandbox outlive the block and this process."""
        to, _ = self._pipes(self._started())
        to.write(b'detach\n')
        to.flush()
        self._detached = True

    def _started(self) -> subprocess.Popen[bytes]:
        if self._supervisor is None:
            raise error.SandboxError('the sandbox has not been started')
        return self._supervisor

    @property
    def plan(self) -> plans.Plan:
        """The ports, passwords and paths of the sandbox."""
        if self._plan is None:
            raise error.SandboxError('the sandbox has not been started')
        return self._plan

    @property
    def pid(self) -> int:
        """The PID of the process that is the parent of every server."""
        return self._started().pid

    @property
    def socket(self) -> str:
        """The path of the control socket."""
        return self._socket

    @property
    def auth_url(self) -> str:
        """The URL of Keystone, with ``/v3``."""
        return self.plan.auth_url

    @property
    def trove_url(self) -> str:
        """The URL of trove-api, without ``/v1.0/{project id}``."""
        return self.plan.trove_root

    @property
    def clouds_yaml(self) -> pathlib.Path:
        """The path of the clouds.yaml: ``sandbox``, ``sandbox-member``."""
        return self.plan.file('clouds.yaml')

    @property
    def guests(self) -> dict[str, fleet.Guest]:
        """The fleet as it was at the start, by name.

        Two guests of the same name are called ``NAME@PROJECT``.
        """
        return self._guests

    def env(self, cloud: str = 'sandbox') -> dict[str, str]:
        """Return the environment for a client of this sandbox.

        It is the environment of this process, without its own cloud.

        :param cloud: ``sandbox``, the administrator, or ``sandbox-member``.
        """
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith('OS_')
        }
        for name in ('no_proxy', 'NO_PROXY'):
            env[name] = ','.join(filter(None, [env.get(name), plans.LOOPBACK]))
        return env | {
            'OS_CLIENT_CONFIG_FILE': str(self.clouds_yaml),
            'OS_CLOUD': cloud,
            'TROVE_SANDBOX_SOCKET': self._socket,
        }

    def set_guest(
        self,
        names: str | list[str],
        behaviour: str,
        delay: float | None = None,
        heartbeat: str | float | None = None,
        status: str = 'ACTIVE',
        server: str = 'ACTIVE',
    ) -> None:
        """Change the behaviour of a guest, or of several at once.

        :param names: a key of :attr:`guests`, an ID, or a list of these.
        :param behaviour: a :class:`sandbox.Behaviour`.
        :param delay: seconds, for ``slow``; None keeps the last delay.
        :param heartbeat: ``fresh``, ``stale``, or the age of the last
            heartbeat in seconds, which is below 0 if the clock of the guest
            is ahead. The default is ``stale`` for a dead guest and with
            RESTART_REQUIRED, else ``fresh``.
        :param status: a :class:`sandbox.fleet.Status`: the status that Trove
            reports for the guest.
        :param server: a :class:`sandbox.fleet.ServerStatus`: the status that
            Nova reports for the server of the guest.
        """
        self._order(
            'guest',
            names=[names] if isinstance(names, str) else names,
            behaviour=behaviour,
            delay=delay,
            heartbeat=heartbeat,
            status=status,
            server=server,
        )

    def set_nova(self, state: str) -> None:
        """Break Nova, or repair it.

        :param state: ``ok``, ``broken`` (Nova answers 500 to everything) or
            ``missing`` (Nova knows no server).
        """
        self._order('nova', state=state)

    def set_broker(self, state: str) -> None:
        """Make RabbitMQ refuse messages, or repair it.

        :param state: ``ok`` or ``refusing`` (RabbitMQ lets nobody send, so
            trove-api gets ACCESS_REFUSED).
        """
        self._order('broker', state=state)

    def set_loss(self, share: float, seed: int = 0) -> None:
        """Let the agents lose a share of all pings.

        The agents get these pings, and never answer them.

        :param share: 0.3 is 30 %, chosen at random; 0 ends the loss.
        :param seed: with the same seed, the same pings are lost, counted in
            the order in which they arrive.
        """
        self._order('loss', share=share, seed=seed)

    def set_worker(self, number: int, state: str) -> None:
        """Cut off or freeze one worker of trove-api, or repair it.

        :param number: from 1, in the order of :meth:`workers`.
        :param state: ``ok``, ``lost``, ``cut`` or ``frozen``. ``lost``: the
            connections that the worker has to RabbitMQ carry nothing any
            more. New connections work, so the worker sends pings, and they
            time out. It notices after a minute or two. ``cut``: new
            connections carry nothing either, so its pings hang. ``frozen``:
            SIGSTOP.
        """
        self._order('worker', number=number, state=state)

    def freeze(self, server: str) -> None:
        """Pause a server and its workers (SIGSTOP).

        :param server: as for :meth:`stop`. ``guests`` silences all agents.
        """
        self._order('freeze', server=server)

    def thaw(self, server: str) -> None:
        """Resume a server and its workers (SIGCONT)."""
        self._order('thaw', server=server)

    def mend(self) -> None:
        """Undo every fault of servers, workers, guests, Nova and broker."""
        self._order('mend')

    def stop(self, server: str) -> None:
        """Shut a server down (SIGTERM), and wait until it is gone.

        :param server: ``keystone``, ``cloud``, ``trove-api``; with ``rabbit``
            also ``guests`` and ``broker``.
        """
        self._order('stop', server=server)

    def kill(self, server: str) -> None:
        """Kill a server and its workers with SIGKILL."""
        self._order('kill', server=server)

    def start(self, server: str) -> None:
        """Start a server again on the same port; wait until it answers."""
        self._order('start', server=server)

    def workers(self) -> list[int]:
        """Return the PIDs of the workers of trove-api, in order."""
        return [worker['pid'] for worker in self.status()['workers']]

    def log(self, server: str) -> str:
        """Return the log of a server."""
        return self.plan.log(server).read_text(errors='replace')

    def status(self) -> channel.Message:
        """Return what ``status --json`` prints."""
        return self._order('status')

    def _order(self, order: str, **what: object) -> channel.Message:
        return channel.order(self._socket, {'order': order, **what})
