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

"""The wire between trove-api and RabbitMQ, which can be cut in silence.

This TCP proxy can drop all that one process sends and receives, and keep the
connections open. A firewall, a NAT or a loss of power does the same. The
guests connect to RabbitMQ without this proxy.
"""

import asyncio
import contextlib
import os
import pathlib
from typing import cast

from sandbox import plan as plan_


class _End(asyncio.Protocol):
    """One of the two connections of a link."""

    other: '_End'
    transport: asyncio.Transport | None = None
    silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.other.transport and not self.silent:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        # A cut connection hides also its end from the other side.
        if not self.silent:
            self.other.close()

    def pause_writing(self) -> None:
        if self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.transport:
            self.other.transport.resume_reading()

    def close(self) -> None:
        """Close it when all its data is sent."""
        if self.transport:
            self.transport.close()


class _Near(_End):
    """The end of trove-api. It opens the other end."""

    def __init__(self, wire: 'Wire') -> None:
        self._wire = wire
        self.other = _End()
        self.other.other = self
        self._joining: asyncio.Task[None] | None = None
        self.port = 0
        #: The process whose connection was cut; None if it works.
        self.cut_off: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.port = transport.get_extra_info('peername')[1]
        self._wire.links.add(self)
        for pid in self._wire.cut_off:
            if self.port in self._wire.ports(pid):
                self.fall_silent(pid)
        if not self.silent:
            self._joining = asyncio.create_task(
                self._join(cast(asyncio.Transport, transport))
            )

    async def _join(self, transport: asyncio.Transport) -> None:
        """Open the connection to RabbitMQ, and read nothing before."""
        transport.pause_reading()
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self.other, plan_.LOOPBACK, self._wire.broker
            )
        except OSError:
            transport.close()
        else:
            transport.resume_reading()
            if transport.is_closing() and not self.silent:
                self.other.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.silent:
            self._wire.links.discard(self)

    def fall_silent(self, pid: int) -> None:
        """Drop all data in both directions from now on."""
        self.cut_off = pid
        self.silent = self.other.silent = True

    def end(self) -> None:
        """Close both connections."""
        self._wire.links.discard(self)
        self.close()
        self.other.close()


class Wire:
    """The proxy.

    :param port: the port to which trove-api connects.
    :param broker: the port of RabbitMQ.
    """

    def __init__(self, port: int, broker: int) -> None:
        self.broker = broker
        self.links: set[_Near] = set()
        self._port = port
        self._server: asyncio.Server | None = None
        self._cut: set[int] = set()

    async def open(self) -> None:
        """Listen. RabbitMQ listens already."""
        if self._server is None:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Near(self), plan_.LOOPBACK, self._port
            )

    def close(self) -> None:
        """Refuse connections, as the port of a stopped RabbitMQ does."""
        if self._server:
            self._server.close()
            self._server = None

    @property
    def cut_off(self) -> frozenset[int]:
        """The processes whose new connections are cut as well."""
        return frozenset(self._cut)

    def lost(self, pid: int) -> bool:
        """Tell whether a process has connections that were cut."""
        return any(link.cut_off == pid for link in self.links)

    def cut(self, pid: int, *, new: bool) -> None:
        """Cut the connections of a process.

        :param new: also cut its new connections.
        """
        if new:
            self._cut.add(pid)
        ports = self.ports(pid)
        for link in self.links:
            if link.port in ports:
                link.fall_silent(pid)

    def mend(self, pid: int) -> None:
        """Let a process connect again; close the connections it had."""
        self._cut.discard(pid)
        for link in list(self.links):
            if link.cut_off == pid:
                link.end()

    def close_links(self) -> None:
        """Close the connections of every process."""
        for link in list(self.links):
            link.end()

    def mend_all(self) -> None:
        """Let every process connect again; close the connections it had."""
        cut = {link.cut_off for link in self.links if link.cut_off}
        for pid in cut | self._cut:
            self.mend(pid)

    def ports(self, pid: int) -> set[int]:
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
