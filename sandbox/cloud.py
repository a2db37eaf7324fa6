# SPDX-License-Identifier: Apache-2.0

"""A stand-in for the few routes of Nova and Neutron that Trove reads.

For each ping, Trove asks Nova for the server of the instance, and Neutron for
its ports (trove/instance/models.py, ``load_instance``). For each listing,
Trove asks Nova for all servers. The supervisor runs this program, which builds
each reply once and needs no package.
"""

import asyncio
from collections.abc import Mapping
import json
import re
import socket
import sys
import threading
import urllib.parse

from sandbox import channel
from sandbox import fleet
from sandbox import plan as plans

_SERVER = re.compile(r'/compute/v2\.1/servers/([^/]+)$')


def _reply(status: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    return (
        f'HTTP/1.1 {status}\r\n'
        'Content-Type: application/json\r\n'
        'X-Openstack-Request-Id: req-5a2d0b0c-0000-4000-8000-000000000000\r\n'
        f'Content-Length: {len(content)}\r\n\r\n'
    ).encode() + content


_EMPTY = {
    '/network/v2.0/ports': _reply('200 OK', {'ports': []}),
    '/network/v2.0/networks': _reply('200 OK', {'networks': []}),
    '/network/v2.0/floatingips': _reply('200 OK', {'floatingips': []}),
}
_NO_SERVERS = _reply('200 OK', {'servers': []})
_NOT_FOUND = _reply(
    '404 Not Found',
    {'itemNotFound': {'code': 404, 'message': 'Instance could not be found.'}},
)
# The words of Nova (nova/api/openstack/wsgi.py).
_BROKEN = _reply(
    '500 Internal Server Error',
    {
        'computeFault': {
            'code': 500,
            'message': 'Unexpected API Error. Please report this at '
            'http://bugs.launchpad.net/nova/ and attach the Nova API log if '
            "possible.\n<class 'oslo_messaging.exceptions.MessagingTimeout'>",
        }
    },
)


def _server(guest: fleet.Guest) -> dict[str, object]:
    untagged = guest.server is fleet.ServerStatus.UNTAGGED
    return {
        'id': guest.server_id,
        'name': guest.name,
        'status': 'ACTIVE' if untagged else guest.server,
        'tenant_id': fleet.project_id(guest.project),
        'hostId': guest.host,
        'metadata': {},
        'tags': [] if untagged else ['trove_instance'],
        'addresses': {},
        'flavor': {'original_name': 'db.small', 'vcpus': 1, 'ram': 2048},
        'links': [],
    }


class StandIn:
    """Answers requests with replies that are ready."""

    def __init__(self, guests: list[fleet.Guest]) -> None:
        self.nova = fleet.Nova.OK
        self._guests = {guest.id: guest for guest in guests}
        self._make()

    def _make(self) -> None:
        """Make the replies about servers."""
        servers = [
            _server(guest)
            for guest in self._guests.values()
            if guest.in_nova and not guest.deleted
        ]
        # Trove lists by tag (trove/extensions/mgmt/instances/models.py).
        tagged = [server for server in servers if server['tags']]
        self._all = _reply('200 OK', {'servers': tagged})
        self._each: Mapping[str, bytes] = {
            str(server['id']): _reply('200 OK', {'server': server})
            for server in servers
        }

    def replace(self, guests: list[fleet.Guest]) -> None:
        """Replace guests by their new states."""
        self._guests |= {guest.id: guest for guest in guests}
        self._make()

    def answer(self, target: str) -> bytes:
        """Return the whole HTTP reply to a GET."""
        path, _, query = target.partition('?')
        if path.startswith('/compute/'):
            return self._answer_as_nova(path, query)
        return _EMPTY.get(path.removesuffix('.json'), _NOT_FOUND)

    def _answer_as_nova(self, path: str, query: str) -> bytes:
        if self.nova is fleet.Nova.BROKEN:
            return _BROKEN
        found = _SERVER.fullmatch(path)
        if not found:
            return _NOT_FOUND
        if found[1] == 'detail':
            # novaclient pages until a page is empty (limit=-1 in
            # trove/extensions/mgmt/instances/models.py).
            paging = 'marker' in urllib.parse.parse_qs(query)
            missing = self.nova is fleet.Nova.MISSING
            return _NO_SERVERS if paging or missing else self._all
        if self.nova is fleet.Nova.MISSING:
            return _NOT_FOUND
        return self._each.get(found[1], _NOT_FOUND)

    async def converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer the requests of a connection until the client closes it."""
        try:
            while True:
                head = await reader.readuntil(b'\r\n\r\n')
                target = head.split(b' ', 2)[1].decode('latin-1')
                writer.write(self.answer(target))
                await writer.drain()
        except (
            OSError,
            IndexError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        ):
            pass  # the client has left, or does not speak HTTP
        finally:
            writer.close()


async def _serve(plan: plans.Plan, orders: socket.socket) -> None:
    stand_in = StandIn(plan.load_fleet())
    # The line with the tags of 1,000 instances is long: 60 kB.
    server = await asyncio.start_server(
        stand_in.converse,
        plans.LOOPBACK,
        plan.ports.cloud,
        limit=1 << 20,
        backlog=1024,
    )

    def obey(message: channel.Message) -> channel.Message:
        if 'guests' in message:
            stand_in.replace(
                [fleet.Guest(**guest) for guest in message['guests']]
            )
        else:
            stand_in.nova = fleet.Nova(message['state'])
        return {}

    listener = threading.Thread(
        target=channel.serve, args=(orders, obey), daemon=True
    )
    orders.sendall(channel.encode({}))
    listener.start()
    await server.serve_forever()


if __name__ == '__main__':
    asyncio.run(
        _serve(
            plans.Plan.load(sys.argv[1]),
            socket.socket(fileno=int(sys.argv[2])),
        )
    )
