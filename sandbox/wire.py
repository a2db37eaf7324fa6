# SPDX-License-Identifier: Apache-2.0

"""The wire between trove-api and RabbitMQ.

This TCP proxy can drop all that one process sends and receives, and keep the
connections open. A firewall, a NAT or a loss of power does the same. The
guests connect to RabbitMQ without this proxy.
"""

import asyncio
import contextlib
import os
import pathlib

from sandbox import plan as plans


class _Link:
    """A connection of trove-api, and the one to RabbitMQ behind it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._near = reader, writer
        self._task = asyncio.current_task()
        self.port: int = writer.get_extra_info('peername')[1]
        #: The process whose connection was cut; None if it works.
        self.cut_off: int | None = None

    async def carry(self, port: int) -> None:
        """Carry data until an end closes; a cut link hides its end."""
        reader, writer = self._near
        writers = [writer]
        try:
            if self.cut_off is None:
                far = await asyncio.open_connection(plans.LOOPBACK, port)
                writers.append(far[1])
                ways = (
                    asyncio.create_task(self._pass_on(reader, far[1])),
                    asyncio.create_task(self._pass_on(far[0], writer)),
                )
                try:
                    await asyncio.wait(
                        ways, return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    for way in ways:
                        way.cancel()
            if self.cut_off is not None:
                await asyncio.Event().wait()
        except (OSError, asyncio.CancelledError):
            pass  # RabbitMQ is down, or the link ends
        finally:
            for each in writers:
                each.close()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if self.cut_off is None:
                    writer.write(data)
                    await writer.drain()

    def end(self) -> None:
        """Close both connections."""
        if self._task:
            self._task.cancel()


class Wire:
    """The proxy.

    :param port: the port to which trove-api connects.
    :param broker: the port of RabbitMQ.
    """

    def __init__(self, port: int, broker: int) -> None:
        self._port = port
        self._broker = broker
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        #: The processes whose new connections are cut as well.
        self.cut_off: set[int] = set()

    async def open(self) -> None:
        """Listen. RabbitMQ listens already."""
        if self._server is None:
            self._server = await asyncio.start_server(
                self._converse, plans.LOOPBACK, self._port
            )

    def close(self) -> None:
        """Refuse connections, as the port of a stopped RabbitMQ does."""
        if self._server:
            self._server.close()
            self._server = None

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        link = _Link(reader, writer)
        for pid in self.cut_off:
            if link.port in self._ports(pid):
                link.cut_off = pid
        self._links.add(link)
        await link.carry(self._broker)
        self._links.discard(link)

    def lost(self, pid: int) -> bool:
        """Tell whether a process has connections that were cut."""
        return any(link.cut_off == pid for link in self._links)

    def cut(self, pid: int, *, new: bool) -> None:
        """Cut the connections of a process.

        :param new: also cut its new connections.
        """
        if new:
            self.cut_off.add(pid)
        ports = self._ports(pid)
        for link in self._links:
            if link.port in ports:
                link.cut_off = pid

    def mend(self, pid: int) -> None:
        """Let a process connect again; close the connections it had."""
        self.cut_off.discard(pid)
        for link in list(self._links):
            if link.cut_off == pid:
                self._end(link)

    def mend_all(self) -> None:
        """Let every process connect again; close the connections it had."""
        cut = {link.cut_off for link in self._links if link.cut_off}
        for pid in cut | self.cut_off:
            self.mend(pid)

    def close_links(self) -> None:
        """Close the connections of every process."""
        for link in list(self._links):
            self._end(link)

    def _end(self, link: _Link) -> None:
        self._links.discard(link)
        link.end()

    def _ports(self, pid: int) -> set[int]:
        """Return the ports from which a process is connected to the proxy.

        The files of a process show the inodes of its sockets. The kernel's
        table of connections shows the ports of an inode (proc(5),
        proc_net(5)).
        """
        inodes = set()
        for file in pathlib.Path(f'/proc/{pid}/fd').glob('*'):
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(file))
        found = set()
        table = pathlib.Path('/proc/net/tcp').read_text().splitlines()[1:]
        for columns in map(str.split, table):
            port, peer = (
                int(address.partition(':')[2], 16) for address in columns[1:3]
            )
            if peer == self._port and f'socket:[{columns[9]}]' in inodes:
                found.add(port)
        return found
