# SPDX-License-Identifier: Apache-2.0

"""One server process: start it, await it, stop it, kill it."""

import asyncio
from collections.abc import Awaitable
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import os
import pathlib
import signal
import socket
import subprocess

from sandbox import channel
from sandbox import error
from sandbox import tether

# Seconds. A start is slow on a busy machine.
_START = 120
_STOP = 3
_ORDER = 60
_POLL = 0.05


@dataclasses.dataclass(eq=False)
class Server:
    """A program that may run."""

    name: str
    argv: list[str]
    env: Mapping[str, str]
    log: pathlib.Path
    #: Tells whether the server answers. None: the last argument of the server
    #: is the descriptor of a socket, on which it reports that it is ready, and
    #: then carries out orders.
    answers: Callable[[], Awaitable[bool]] | None = None
    #: Seconds from SIGTERM to SIGKILL.
    patience: float = _STOP
    _process: subprocess.Popen[bytes] | None = None
    _orders: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def pid(self) -> int | None:
        """The PID of the process, which leads a group; None if it is down."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    def workers(self) -> list[int]:
        """Return the PIDs of the workers: the children, or the server."""
        if self.pid is None:
            return []
        return sorted(_children(self.pid)) or [self.pid]

    @property
    def frozen(self) -> bool:
        """True after SIGSTOP."""
        return self.pid is not None and is_frozen(self.pid)

    async def freeze(self) -> None:
        """Pause the server and its workers."""
        if self.pid is None:
            raise error.SandboxError(f'{self.name} is not running')
        os.killpg(self.pid, signal.SIGSTOP)
        await frozen(self.pid)

    def thaw(self) -> None:
        """Resume the server and its workers."""
        if self.pid is not None:
            os.killpg(self.pid, signal.SIGCONT)

    async def start(self) -> None:
        """Start the server, and wait until it answers.

        :raises sandbox.SandboxError: if the server ends, or does not answer.
        """
        if self.pid is not None:
            raise error.SandboxError(f'{self.name} is running already')
        await self.kill()  # its workers may still run
        self.log.parent.mkdir(exist_ok=True)
        ours: socket.socket | None = None
        argv = list(self.argv)
        with contextlib.ExitStack() as closing:
            log = closing.enter_context(self.log.open('ab'))
            theirs: tuple[int, ...] = ()
            if self.answers is None:
                ours, other = socket.socketpair()
                closing.enter_context(other)
                theirs = (other.fileno(),)
                argv.append(str(other.fileno()))
            # This is the main thread, as the tether demands.
            self._process = subprocess.Popen(  # noqa: S603
                tether.tethered(argv),
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=theirs,
                start_new_session=True,
            )
        if ours:
            self._orders = await asyncio.open_connection(sock=ours)
        try:
            await asyncio.wait_for(self._ready(), _START)
        except TimeoutError:
            raise self._failure(f'did not answer within {_START} s') from None

    async def _ready(self) -> None:
        if self._orders:
            if not await self._orders[0].readline():
                await self._ended()
                raise self._failure('ended')
        elif self.answers:
            while not await self.answers():
                if self.pid is None:
                    raise self._failure('ended')
                await asyncio.sleep(_POLL)

    def _failure(self, what: str) -> error.SandboxError:
        lines = self.log.read_text(errors='replace').splitlines()
        tail = ''.join(f'\n    {line}' for line in lines[-12:])
        return error.SandboxError(
            f'{self.name} {what} while it was started; its log '
            f'({self.log}) ends with:{tail}'
        )

    async def order(self, message: channel.Message) -> channel.Message:
        """Send an order to the server, and return the reply."""
        if self.pid is None or not self._orders:
            raise error.SandboxError(f'{self.name} is not running')
        if self.frozen:
            raise error.SandboxError(f'{self.name} is frozen: thaw it first')
        reader, writer = self._orders
        writer.write(channel.encode(message))
        try:
            line = await asyncio.wait_for(reader.readline(), _ORDER)
        except TimeoutError:
            # A late reply would be taken for that to the next order.
            await self.kill()
            raise error.SandboxError(
                f'{self.name} did not carry out an order within {_ORDER} s, '
                'and was killed; start it again'
            ) from None
        if not line:
            raise error.SandboxError(f'{self.name} ended: {message}')
        return channel.checked(channel.decode(line))

    async def stop(self) -> None:
        """Send SIGTERM, and SIGKILL a few seconds later."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            self.thaw()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended(), self.patience)
        await self.kill()

    async def kill(self) -> None:
        """Kill the server and its workers, and wait until they are gone."""
        if self._process is None:
            return
        # The workers may outlive the server. The wait is limited: where
        # process 1 does not reap, a dead worker stays a zombie.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP):
                while _kill_group(self._process.pid):
                    self._process.poll()
                    await asyncio.sleep(_POLL)
        self._process = None
        if self._orders:
            self._orders[1].close()
            self._orders = None

    async def _ended(self) -> None:
        while self.pid is not None:
            await asyncio.sleep(_POLL)


def _children(parent: int) -> Iterator[int]:
    """Yield the living children of a process."""
    for process in pathlib.Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            state, ppid = _stat(int(process.name))
            if ppid == parent and state != 'Z':
                yield int(process.name)


def _stat(pid: int) -> tuple[str, int]:
    """Return the state and the parent of a process (proc_pid_stat(5))."""
    stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
    # The name before these may have any characters.
    state, ppid = stat.rpartition(')')[2].split()[:2]
    return state, int(ppid)


def is_frozen(pid: int) -> bool:
    """Tell whether a process was paused with SIGSTOP."""
    try:
        return _stat(pid)[0] == 'T'
    except OSError:
        return False


async def frozen(pid: int) -> None:
    """Wait until a process that got SIGSTOP has paused, or is gone."""
    while pathlib.Path(f'/proc/{pid}').exists() and not is_frozen(pid):
        await asyncio.sleep(_POLL)


def _kill_group(leader: int) -> bool:
    """Kill a process group; tell whether it had a process or a zombie."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
