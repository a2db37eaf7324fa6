# SPDX-License-Identifier: Apache-2.0

"""The process that is the parent of every server.

``python3 -m sandbox.serve FOLDER VENV OPTIONS``. The owner of a sandbox holds
the other end of this process's stdin. At the end of stdin this process stops
every server, so a sandbox does not outlive its owner, however the owner ends.
After the line ``detach`` it runs until the order ``down``. It prints one line
of JSON: the path of the control socket, or an error.
"""

import asyncio
from collections.abc import Coroutine
from collections.abc import Iterator
import contextlib
import fcntl
import json
import os
import pathlib
import resource
import shutil
import signal
import sys
import tempfile
from typing import Any

from sandbox import channel
from sandbox import error
from sandbox import plan as plans
from sandbox import supervisor

# Bytes: sun_path in unix(7), without the final zero.
_LONGEST_SOCKET = 107


def claim(folder: pathlib.Path) -> int:
    """Lock a folder, and empty it.

    :returns: the lock file. No other sandbox gets the folder while it is open.
    :raises sandbox.SandboxError: if a sandbox runs in the folder, or if it
        has files of somebody else.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = folder / 'lock'
    if not lock.exists() and any(folder.iterdir()):
        raise error.SandboxError(
            f'{folder} has files that are not of a sandbox; choose another '
            'folder'
        )
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise error.SandboxError(f'a sandbox is running in {folder}') from None
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != lock:
            path.unlink()
    return descriptor


@contextlib.contextmanager
def _socket_path(folder: pathlib.Path) -> Iterator[str]:
    """Return a path for the control socket that is short enough."""
    path = str(folder / 'control')
    if len(os.fsencode(path)) < _LONGEST_SOCKET:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix='sandbox-', dir='/tmp') as short:
        yield f'{short}/control'


class _Control:
    """The control socket."""

    def __init__(self, boss: supervisor.Supervisor) -> None:
        self._boss = boss
        self._turn = asyncio.Lock()
        self._waiting: list[asyncio.StreamWriter] = []

    async def converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry out one order, and reply.

        The reply to "down" comes when every server is down.
        """
        try:
            order = channel.decode(await reader.readline())
            if order['order'] == 'down':
                self._waiting.append(writer)
                self._boss.down.set()
                return
            async with self._turn:  # one order at a time
                reply = await self._boss.carry_out(order)
        except Exception as exc:
            known = isinstance(exc, error.SandboxError)
            text = str(exc) if known else f'{type(exc).__name__}: {exc}'
            reply = {'error': text}
        writer.write(channel.encode(reply))
        writer.close()

    def all_is_down(self) -> None:
        """Reply to the orders "down"."""
        for writer in self._waiting:
            # It stays open: the client waits until this process has ended.
            writer.write(channel.encode({}))


async def _owner_is_gone() -> None:
    """Wait for the end of stdin, or for the end of the parent.

    If the owner forked a child, the child may keep stdin open.
    """
    owner = os.getppid()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    line = asyncio.create_task(reader.readline())
    while not line.done() and os.getppid() == owner:
        await asyncio.wait([line], timeout=1)
    if line.done() and line.result() == b'detach\n':
        await asyncio.Event().wait()


async def _first(*waits: Coroutine[Any, Any, Any]) -> None:
    """Wait for the first of these to end, and raise its exception."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    done, pending = await asyncio.wait(
        tasks, return_when=asyncio.FIRST_COMPLETED
    )
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()


def _say(message: channel.Message) -> None:
    with contextlib.suppress(OSError):  # the owner may have ended
        os.write(1, channel.encode(message))


def _leave_the_terminal(folder: pathlib.Path) -> None:
    """Move stderr to a file.

    Otherwise a program that reads the stderr of "up" to its end would wait
    for this process.
    """
    os.chdir(folder)
    log = os.open(folder / 'supervisor.log', os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(log, 2)
    os.close(log)


async def _live(boss: supervisor.Supervisor, path: str) -> None:
    """Start every server, and carry out orders until "down"."""
    control = _Control(boss)

    async def start() -> None:
        await boss.start()
        server = await asyncio.start_unix_server(control.converse, path)
        os.chmod(path, 0o600)
        plans.write_private(
            boss.plan.file('state.json'), json.dumps({'socket': path})
        )
        _say({'socket': path})
        await boss.down.wait()
        server.close()

    try:
        await _first(start(), _owner_is_gone(), boss.down.wait())
    finally:
        await boss.stop()
        control.all_is_down()


async def _main(plan: plans.Plan) -> None:
    boss = supervisor.Supervisor(plan)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, boss.down.set)
    with _socket_path(plan.folder) as path:
        await _live(boss, path)


def main(folder: str, venv: str, options: str) -> int:
    """Run one sandbox; return 1 if it could not be started."""
    # 1,000 guests on RabbitMQ need 1,000 connections.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1 << 16), hard))
    try:
        path = pathlib.Path(folder)
        lock = claim(path)
        _leave_the_terminal(path)
        plan = plans.Plan(
            *(path, pathlib.Path(venv)),
            plans.Options(**json.loads(options)),
            *(plans.Ports.free(), plans.Passwords()),
        )
        asyncio.run(_main(plan))
        os.close(lock)
    except (error.SandboxError, OSError) as exc:
        _say({'error': str(exc)})
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
