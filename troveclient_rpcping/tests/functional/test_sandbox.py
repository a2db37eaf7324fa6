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

"""The sandbox: its replies, its faults, and its end.

The sandbox must reply as a real Trove replies: the other functional tests rely
on it.
"""

import collections
from collections.abc import Iterator
import concurrent.futures
import contextlib
import dataclasses
import datetime
import email.message
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any
import urllib.error
import urllib.request

import testtools

import sandbox
from sandbox import fleet
from sandbox import plan
from sandbox import probe
from troveclient_rpcping.tests.functional import base
from troveclient_rpcping.tests.functional import faults
from troveclient_rpcping.tests.functional.base import needs_rabbitmq

ROOT = pathlib.Path(sandbox.__file__).resolve().parent.parent
# Seconds after which a test gives up an event.
DEADLINE = 60

# The line of trove-api's log about a ping: PID of the worker, ID of the guest.
PINGING = re.compile(
    r'(?m)^\S+ \S+ (\d+) INFO .*'
    r' Sending RPC PING for a database instance (\S+)'
)


def processes(folder: str | os.PathLike[str]) -> dict[int, str]:
    """Return the command line of each process of a sandbox, by its PID.

    Each has the folder in its command line or in its environment. A zombie
    has neither.
    """
    needle = os.fsencode(folder)
    found = {}
    for process in pathlib.Path('/proc').glob('[0-9]*'):
        try:
            command = (process / 'cmdline').read_bytes()
            environment = (process / 'environ').read_bytes()
        except OSError:
            continue  # it has ended, or belongs to another user
        ours = int(process.name) == os.getpid()
        if not ours and (needle in command or needle in environment):
            found[int(process.name)] = command.replace(b'\0', b' ').decode()
    return found


@dataclasses.dataclass(frozen=True)
class Reply:
    """A reply of trove-api."""

    status: int
    headers: email.message.Message
    body: bytes
    seconds: float

    @property
    def fault(self) -> tuple[str, int, str]:
        """The three parts of the body of an error."""
        [(name, content)] = json.loads(self.body).items()
        return name, content['code'], content['message']


class Client:
    """A user of a sandbox, over plain HTTP."""

    def __init__(self, box: sandbox.Sandbox, user: str = 'admin') -> None:
        passwords = {
            'admin': box.plan.passwords.admin,
            'member': box.plan.passwords.member,
        }
        project = {'admin': 'admin', 'member': 'tenant-a'}[user]
        self.token, self._project = probe.login(
            box.auth_url, user, passwords[user], project
        )
        self._trove = box.trove_url

    def get(self, path: str, timeout: float = DEADLINE) -> Reply:
        """Send a GET for a path below the endpoint in the catalog."""
        url = f'{self._trove}/v1.0/{self._project}{path}'
        request = urllib.request.Request(  # noqa: S310
            url, headers={'X-Auth-Token': self.token}
        )
        begin = time.monotonic()
        try:
            with urllib.request.urlopen(  # noqa: S310
                request, timeout=timeout
            ) as reply:
                content = reply.read()
        except urllib.error.HTTPError as exc:
            reply, content = exc, exc.read()
        seconds = time.monotonic() - begin
        return Reply(reply.status, reply.headers, content, seconds)

    def ping(self, guest: sandbox.Guest, timeout: float = DEADLINE) -> Reply:
        """Ping a guest."""
        path = f'/mgmt/instances/{guest.id}/rpc_ping'
        return self.get(path, timeout)


class Fleet(base.TestCase):
    """A test with the default fleet."""

    def setUp(self) -> None:
        super().setUp()
        self.admin = Client(self.sandbox)

    def ask(self, name: str = 'db-healthy') -> Reply:
        """Ping a guest of the default fleet."""
        return self.admin.ping(self.sandbox.guests[name])

    def listing(self, query: str = '') -> list[dict[str, Any]]:
        """Return the rows of Trove's listing."""
        reply = self.admin.get(f'/mgmt/instances?limit=100&{query}')
        rows: list[dict[str, Any]] = json.loads(reply.body)['instances']
        return rows

    def row(self, name: str) -> dict[str, Any]:
        """Return the row of a guest in the listing."""
        id_ = self.id_of(name)
        [row] = [row for row in self.listing() if row['id'] == id_]
        return row


class MemoryRepliesTest(Fleet):
    """The replies of trove-api that agents cause, as from a real Trove."""

    def test_an_answering_guest_is_204(self) -> None:
        """A guest that answers gives 204, no body and a request ID."""
        reply = self.ask()
        self.assertEqual((204, b''), (reply.status, reply.body))
        # gunicorn omits it in a 204, as RFC 9110 demands.
        self.assertEqual('0', reply.headers.get('Content-Length', '0'))
        self.assertIn('X-Openstack-Request-Id', reply.headers)

    def test_a_dead_guest_is_a_timeout(self) -> None:
        """A dead guest gives 400 after the agent timeout."""
        reply = self.ask('db-dead')
        text = 'Timeout trying to connect to the Guest Agent.'
        self.assertEqual(('badRequest', 400, text), reply.fault)
        self.assertGreaterEqual(reply.seconds, 2)

    def test_an_old_guest_has_no_such_method(self) -> None:
        """An agent of an old image gives 400 with the cause."""
        text = (
            'An error occurred communicating with the guest: '
            'Endpoint does not support RPC method rpc_ping.'
        )
        self.assertEqual(('badRequest', 400, text), self.ask('db-old').fault)

    def test_a_failing_guest_sends_traceback_and_escapes(self) -> None:
        """The text of a failing agent is unchanged, with its traceback."""
        name, code, text = self.ask('db-failing').fault
        self.assertEqual(('badRequest', 400), (name, code))
        start = 'An error occurred communicating with the guest: disk is full'
        self.assertTrue(text.startswith(start), text)
        self.assertIn('\nTraceback (most recent call last):\n', text)
        for trick in ('\x1b[31m', '\x1b]0;', '\x1b[2J', '\x07', '\u202e'):
            self.assertIn(trick, text)

    def test_a_slow_guest_answers_late(self) -> None:
        """A slow guest gives 204, but not before its delay."""
        self.sandbox.set_guest('db-slow', 'slow', delay=0.5)
        reply = self.ask('db-slow')
        self.assertEqual(204, reply.status)
        self.assertGreaterEqual(reply.seconds, 0.5)

    def test_a_guest_stops_and_starts(self) -> None:
        """A guest that dies is a timeout; when it is back it is 204."""
        self.sandbox.set_guest('db-healthy', 'dead')
        self.assertEqual(400, self.ask().status)
        self.sandbox.set_guest('db-healthy', 'answering')
        self.assertEqual(204, self.ask().status)


class ControlPlaneRepliesTest(Fleet):
    """The replies that no agent causes."""

    def test_a_guest_without_a_server_is_not_ready(self) -> None:
        """A guest whose server Nova does not know gives 422."""
        guest = self.sandbox.guests['db-unready']
        text = f'Instance {guest.id} is not ready.'
        self.assertEqual(
            ('unprocessableEntity', 422, text), self.ask('db-unready').fault
        )

    def test_a_deleted_guest_is_not_found(self) -> None:
        """A deleted instance gives 404."""
        guest = self.sandbox.guests['db-deleted']
        text = f'Resource {guest.id} cannot be found.'
        self.assertEqual(
            ('itemNotFound', 404, text), self.ask('db-deleted').fault
        )

    def test_a_member_is_not_an_admin(self) -> None:
        """A member without the admin role gets 401."""
        reply = Client(self.sandbox, 'member').ping(
            self.sandbox.guests['db-healthy']
        )
        text = 'User does not have admin privileges.'
        self.assertEqual(('unauthorized', 401, text), reply.fault)

    def test_a_broken_nova_is_400_too(self) -> None:
        """If Nova is broken, a ping gives 400 with the words of Nova."""
        self.sandbox.set_nova('broken')
        name, code, text = self.ask().fault
        self.assertEqual(('badRequest', 400), (name, code))
        self.assertIn('(HTTP 500)', text)

    def test_a_nova_without_servers_is_422(self) -> None:
        """If Nova does not know its server, a guest is not ready."""
        self.sandbox.set_nova('missing')
        self.assertEqual(422, self.ask().status)

    def test_an_unreachable_nova_is_500(self) -> None:
        """If the port of Nova is closed, a ping gives 500."""
        self.sandbox.stop('cloud')
        name, code, text = self.ask().fault
        self.assertEqual(('instanceFault', 500), (name, code))
        self.assertIn('Please keep this ID', text)

    def test_a_killed_api_refuses_and_comes_back(self) -> None:
        """A restarted trove-api takes the old token."""
        self.sandbox.set_guest('db-healthy', 'old')
        self.sandbox.kill('trove-api')
        self.assertRaises(OSError, self.ask)
        self.sandbox.start('trove-api')
        self.assertIn('no', self.ask().fault[2])
        self.assertEqual(204, self.ask('db-clustered').status)


class FleetTest(Fleet):
    """The listing, the orders and the faults, in memory."""

    def test_nova_stays_broken_when_it_is_restarted(self) -> None:
        """A restart of the stand-in does not repair Nova."""
        self.sandbox.set_nova('broken')
        self.sandbox.kill('cloud')
        self.sandbox.start('cloud')
        self.assertEqual(400, self.ask().status)

    def test_tokens_survive_a_restart_of_keystone(self) -> None:
        """An older token is valid after the restart."""
        self.sandbox.stop('keystone')
        self.sandbox.start('keystone')
        self.assertEqual(204, self.ask().status)
        Client(self.sandbox)

    def test_a_server_that_does_not_start(self) -> None:
        """The error names the server, and has the end of its log."""
        file = self.sandbox.plan.file('keystone.conf')
        self.addCleanup(file.write_text, file.read_text())
        self.sandbox.stop('keystone')
        file.write_text('nonsense')
        error = self.assertRaises(
            sandbox.SandboxError, self.sandbox.start, 'keystone'
        )
        self.assertIn('keystone ended while it was started', str(error))
        self.assertIn('keystone.conf', str(error))

    def test_the_listing_shows_the_fleet(self) -> None:
        """Deleted and clustered guests are listed only on demand."""
        everything = self.listing('include_clustered=true')
        self.assertEqual(10, len(everything))
        self.assertEqual(9, len(self.listing()))
        self.assertEqual(
            9, len(self.listing('include_clustered=true&deleted=false'))
        )
        states = {row['name']: row['status'] for row in everything}
        self.assertEqual('ACTIVE', states['db-healthy'])
        self.assertEqual('ACTIVE', states['db-dead'])

    def test_heartbeats_are_fresh_or_stale(self) -> None:
        """The listing shows the age of the heartbeat as a status."""
        self.assertEqual('HEALTHY', self.operating_status('db-healthy'))
        self.sandbox.set_guest('db-healthy', 'dead', heartbeat='fresh')
        self.assertEqual('HEALTHY', self.operating_status('db-healthy'))
        self.sandbox.set_guest('db-healthy', 'dead')
        self.assertEqual('ERROR', self.operating_status('db-healthy'))

    def test_a_heartbeat_has_an_age(self) -> None:
        """A heartbeat can be in the past or in the future."""
        for age in (80, -300):
            self.sandbox.set_guest('db-healthy', 'answering', heartbeat=age)
            seconds = self.heartbeat_age('db-healthy')
            self.assertGreaterEqual(seconds, age - 1)
            self.assertLess(seconds, age + DEADLINE)

    def test_a_guest_has_a_status(self) -> None:
        """The listing shows the status, and Trove still sends pings."""
        for status in fleet.Status:
            self.sandbox.set_guest('db-healthy', 'answering', status=status)
            self.assertEqual(status, self.row('db-healthy')['status'])
            self.assertEqual(204, self.ask().status)
        self.sandbox.set_guest('db-healthy', 'answering')
        self.assertEqual('ACTIVE', self.row('db-healthy')['status'])

    def test_a_guest_that_must_be_restarted_has_a_stale_heartbeat(
        self,
    ) -> None:
        """In RESTART_REQUIRED, Trove records no heartbeat of a live agent."""
        self.sandbox.set_guest(
            'db-healthy', 'answering', status='RESTART_REQUIRED'
        )
        self.assertGreater(self.heartbeat_age('db-healthy'), 3000)
        self.assertEqual(204, self.ask().status)

    def test_a_server_has_a_status_and_a_host(self) -> None:
        """The listing shows the status and the host that Nova reports."""
        self.sandbox.set_guest('db-healthy', 'dead', server='SHUTOFF')
        server = self.row('db-healthy')['server']
        self.assertEqual('SHUTOFF', server['status'])
        self.assertEqual('compute-01', server['host'])

    def test_a_server_without_a_tag_is_not_listed(self) -> None:
        """Its guest has the status SHUTDOWN, and answers."""
        self.sandbox.set_guest('db-healthy', 'answering', server='UNTAGGED')
        row = self.row('db-healthy')
        self.assertEqual((None, 'SHUTDOWN'), (row['server'], row['status']))
        self.assertEqual(204, self.ask().status)

    def test_mend_mends_everything(self) -> None:
        """One order undoes all faults."""
        self.sandbox.set_guest('db-healthy', 'old', status='BUILD')
        self.sandbox.set_nova('broken')
        self.sandbox.set_loss(1)
        self.sandbox.kill('trove-api')
        self.sandbox.freeze('keystone')
        self.sandbox.mend()
        self.assertEqual(204, self.ask().status)
        self.assertEqual('ACTIVE', self.row('db-healthy')['status'])
        self.assertEqual([], self.sandbox.status()['frozen'])
        Client(self.sandbox)

    def test_a_share_of_the_pings_is_lost(self) -> None:
        """With the same seed, the same number of pings time out."""
        lost = []
        for _ in range(2):
            self.sandbox.set_loss(0.5, seed=7)
            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                replies = list(pool.map(self.ask, ['db-healthy'] * 6))
            lost.append([reply.status for reply in replies].count(400))
            self.assertIn(lost[0], range(1, 6))
        self.assertEqual(lost[0], lost[1])
        self.sandbox.set_loss(0)
        self.assertEqual(204, self.ask().status)

    def test_pings_are_lost_after_a_restart_of_the_guests(self) -> None:
        """A restart of the guests does not end the loss."""
        self.sandbox.set_loss(1)
        self.sandbox.kill('trove-api')
        self.sandbox.start('trove-api')
        text = 'Timeout trying to connect to the Guest Agent.'
        self.assertEqual(text, self.ask().fault[2])

    def test_an_order_that_makes_no_sense_is_refused(self) -> None:
        """Unknown guests, servers and states are errors."""
        refused = testtools.matchers.Raises(
            testtools.matchers.MatchesException(sandbox.SandboxError)
        )
        for order in (
            lambda: self.sandbox.set_guest('db-nobody', 'dead'),
            lambda: self.sandbox.set_guest('db-twin', 'dead'),
            lambda: self.sandbox.set_guest('db-healthy', 'asleep'),
            lambda: self.sandbox.set_nova('sulking'),
            lambda: self.sandbox.set_guest('db-old', 'old', heartbeat='often'),
            lambda: self.sandbox.set_guest('db-old', 'old', heartbeat=1e300),
            lambda: self.sandbox.set_guest('db-old', 'old', status='LATE'),
            lambda: self.sandbox.set_guest('db-old', 'old', server='LATE'),
            lambda: self.sandbox.set_loss(30),
            lambda: self.sandbox.set_broker('sulking'),
            lambda: self.sandbox.set_worker(0, 'cut'),
            lambda: self.sandbox.set_worker(1, 'asleep'),
            lambda: self.sandbox.stop('nova'),
            lambda: self.sandbox.freeze('nova'),
            lambda: self.sandbox.start('keystone'),
        ):
            self.assertThat(order, refused)

    def operating_status(self, name: str) -> str:
        """Return the status of a database in the listing."""
        return str(self.row(name)['operating_status'])

    def heartbeat_age(self, name: str) -> float:
        """Return the seconds since the last heartbeat of a guest."""
        sent = datetime.datetime.fromisoformat(
            self.row(name)['service_status_updated']
        ).replace(tzinfo=datetime.UTC)
        return (datetime.datetime.now(datetime.UTC) - sent).total_seconds()


@needs_rabbitmq
class RabbitRepliesTest(MemoryRepliesTest):
    """The same replies with RabbitMQ between trove-api and the guests."""

    cloud = base.Cloud.BUS


@needs_rabbitmq
class BrokerTest(Fleet, faults.SweepTest):
    """Faults of RabbitMQ and of the process of the guests."""

    cloud = base.Cloud.BUS

    def test_without_a_broker_the_api_hangs(self) -> None:
        """A ping has no reply while the broker is down."""
        self.addCleanup(self.wait_for_all_agents)
        self.sandbox.stop('broker')
        self.assertRaises(
            TimeoutError,
            self.admin.ping,
            self.sandbox.guests['db-healthy'],
            timeout=5,
        )
        self.sandbox.start('broker')
        for name in ('db-healthy', 'db-clustered', 'db-twin@tenant-b'):
            self.assert_answers(name)

    def test_a_broker_that_refuses_is_an_error(self) -> None:
        """Without the right to send, a ping gives 400 in RabbitMQ's words."""
        self.sandbox.set_broker('refusing')
        for _ in range(6):
            text = self.ask().fault[2]
            self.assertIn('(403) ACCESS_REFUSED', text)
        self.sandbox.set_broker('ok')
        self.assertEqual(204, self.ask().status)

    def assert_answers(self, name: str) -> None:
        """Check that a guest answers when its connection is back."""
        for _ in range(20):
            status = self.ask(name).status
            if status == 204:
                break
        self.assertEqual(204, status, name)

    def test_a_killed_broker_comes_back(self) -> None:
        """After SIGKILL the broker starts again, and all reconnect."""
        self.restart_broker()
        self.assert_answers('db-healthy')

    def test_guests_are_a_server_of_their_own(self) -> None:
        """A ping times out while all guests are stopped."""
        self.sandbox.stop('guests')
        self.assertEqual(400, self.ask().status)
        self.sandbox.start('guests')
        self.assertEqual(204, self.ask().status)

    def test_pings_are_lost_after_a_restart_of_the_guests(self) -> None:
        """A restart of the guests does not end the loss."""
        self.sandbox.set_loss(1)
        self.sandbox.kill('guests')
        self.sandbox.start('guests')
        text = 'Timeout trying to connect to the Guest Agent.'
        self.assertEqual(text, self.ask().fault[2])


@needs_rabbitmq
class WsgiRepliesTest(RabbitRepliesTest):
    """The same replies, with trove-api as uWSGI and mod_wsgi run it."""

    cloud = base.Cloud.WSGI

    def test_each_reply_closes_its_connection(self) -> None:
        """Each reply has ``Connection: close``, as with uWSGI."""
        self.assertEqual('close', self.ask().headers['Connection'])

    def test_the_workers_are_processes_that_log_their_id(self) -> None:
        """Each worker has served a ping; the log has its PID."""
        workers = self.sandbox.workers()
        self.assertEqual(3, len(workers))
        log = self.sandbox.log('trove-api')
        self.assertLessEqual(
            set(workers), {int(pid) for pid, _ in PINGING.findall(log)}
        )

    def test_a_worker_serves_one_request_at_a_time(self) -> None:
        """While each worker has a client, another client waits."""
        port = self.sandbox.plan.ports.trove
        with contextlib.ExitStack() as clients:
            for _ in self.sandbox.workers():
                address = (plan.LOOPBACK, port)
                clients.enter_context(socket.create_connection(address))
            self.wait_for_backlog(port, 0)
            with concurrent.futures.ThreadPoolExecutor() as pool:
                ping = pool.submit(self.ask, 'db-healthy')
                self.wait_for_backlog(port, 1)
                self.assertFalse(ping.done())
                clients.close()
                self.assertEqual(204, ping.result().status)

    def wait_for_backlog(self, port: int, length: int) -> None:
        """Wait until N connections to a port wait to be accepted."""
        end = time.monotonic() + DEADLINE
        while backlog(port) != length:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)


def backlog(port: int) -> int:
    """Return the length of the queue of a listening socket (proc_net(5))."""
    for line in pathlib.Path('/proc/net/tcp').read_text().splitlines()[1:]:
        _, local, _, state, queues = line.split()[:5]
        if local.endswith(f':{port:04X}') and state == '0A':
            return int(queues.partition(':')[2], 16)
    raise AssertionError(f'nobody listens on {port}')


@needs_rabbitmq
class WsgiWorkersTest(Fleet):
    """Faults of one worker of trove-api."""

    cloud = base.Cloud.WSGI

    def ping_through_each(self) -> dict[int, set[int]]:
        """Ping until each worker replied; return the statuses by PID."""
        workers = self.sandbox.workers()
        statuses: dict[int, set[int]] = {}
        end = time.monotonic() + DEADLINE
        while statuses.keys() != set(workers):
            self.assertLess(time.monotonic(), end, statuses)
            for pid, status in self.ping_some():
                statuses.setdefault(pid, set()).add(status)
        return statuses

    def ping_some(self) -> list[tuple[int, int]]:
        """Ping a few guests at once; return PID and status of each reply."""
        guests = [self.sandbox.guests[f'guest-000{n}'] for n in range(1, 7)]
        begin = len(self.sandbox.log('trove-api'))
        with concurrent.futures.ThreadPoolExecutor(len(guests)) as pool:
            replies = list(pool.map(self.admin.ping, guests))
        log = self.sandbox.log('trove-api')[begin:]
        workers = {id_: int(pid) for pid, id_ in PINGING.findall(log)}
        return [
            (workers[guest.id], reply.status)
            for guest, reply in zip(guests, replies, strict=True)
        ]

    def broken(self, state: str) -> int:
        """Break the second worker until the end; return its PID."""
        self.sandbox.set_worker(2, state)
        worker = self.sandbox.status()['workers'][1]
        self.assertEqual(state, worker['state'])
        return int(worker['pid'])

    def test_a_worker_that_lost_its_connections_times_out(self) -> None:
        """Its pings give 400, a timeout; the other workers reply 204."""
        lost = self.broken('lost')
        statuses = self.ping_through_each()
        self.assertEqual({400}, statuses.pop(lost))
        self.assertLessEqual(1, len(statuses))
        for each in statuses.values():
            self.assertEqual({204}, each)
        self.sandbox.set_worker(2, 'ok')
        self.assertEqual({204}, self.ping_through_each()[lost])

    def test_a_worker_that_is_cut_off_hangs(self) -> None:
        """It has no connection to RabbitMQ, so its pings hang."""
        cut = self.broken('cut')
        before = self.pings_of(cut)
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            pings = []
            end = time.monotonic() + DEADLINE
            while self.pings_of(cut) == before:
                self.assertLess(time.monotonic(), end)
                pings.append(pool.submit(self.ask))
                time.sleep(0.1)
            # Longer than Trove waits for an agent: 3 s.
            time.sleep(4)
            waiting = [ping for ping in pings if not ping.done()]
            self.assertEqual(self.pings_of(cut) - before, len(waiting))
            self.sandbox.set_worker(2, 'ok')
        for ping in pings:
            self.assertIn(ping.result().status, (204, 400))
        self.assertEqual({204}, self.ping_through_each()[cut])

    def pings_of(self, worker: int) -> int:
        """Return the number of pings that a worker sent."""
        log = self.sandbox.log('trove-api')
        return sum(int(pid) == worker for pid, _ in PINGING.findall(log))

    def test_a_frozen_worker_leaves_the_pings_to_the_others(self) -> None:
        """It serves nothing until the end of the fault."""
        frozen = self.broken('frozen')
        before = self.pings_of(frozen)
        for _ in range(12):
            self.assertEqual(204, self.ask().status)
        self.assertEqual(before, self.pings_of(frozen))
        self.sandbox.set_worker(2, 'ok')
        self.assertEqual({204}, self.ping_through_each()[frozen])


@needs_rabbitmq
class EventletWorkersTest(WsgiWorkersTest):
    """The same, with many requests at a time; and faults of all agents."""

    cloud = base.Cloud.BUS

    def test_frozen_guests_time_out_together(self) -> None:
        """All agents are silent while trove-api and RabbitMQ are well."""
        self.sandbox.freeze('guests')
        self.assertEqual(['guests'], self.sandbox.status()['frozen'])
        self.assertEqual(400, self.ask().status)
        self.assertRaises(
            sandbox.SandboxError, self.sandbox.set_guest, 'db-old', 'dead'
        )
        self.sandbox.thaw('guests')
        self.assertEqual(204, self.ask().status)

    def test_mend_mends_everything(self) -> None:
        """One order undoes the faults of workers, agents and broker."""
        self.sandbox.set_worker(1, 'cut')
        self.sandbox.set_worker(2, 'frozen')
        self.sandbox.set_broker('refusing')
        self.sandbox.freeze('guests')
        self.sandbox.mend()
        self.assert_all_answer()

    def test_a_worker_that_does_not_exist_is_refused(self) -> None:
        """The error has the number of workers."""
        error = self.assertRaises(
            sandbox.SandboxError, self.sandbox.set_worker, 9, 'cut'
        )
        self.assertIn('no such worker: 9 (trove-api has ', str(error))

    def test_a_new_trove_api_is_not_cut_off(self) -> None:
        """A restart of trove-api repairs its workers."""
        self.broken('cut')
        self.sandbox.kill('trove-api')
        self.sandbox.start('trove-api')
        self.assert_all_answer()

    def assert_all_answer(self) -> None:
        """Check that pings through each worker are answered."""
        for statuses in self.ping_through_each().values():
            self.assertEqual({204}, statuses)


class OptionsTest(testtools.TestCase):
    """The options of a sandbox."""

    def test_guests_limit_and_tokens(self) -> None:
        """A guest is dead, a third request is refused, and tokens expire."""
        box = sandbox.Sandbox(
            guests=2, dead=1, agent_timeout=1, rate_limit=2, token_lifetime=5
        )
        # A sandbox outlives the thread that started it.
        thread = threading.Thread(target=box.__enter__)
        thread.start()
        thread.join()
        self.addCleanup(box.__exit__, None, None, None)
        guests = [box.guests[f'guest-000{number}'] for number in (1, 2, 1)]
        replies = [Client(box).ping(guest) for guest in guests]
        self.assertEqual([204, 400, 413], [each.status for each in replies])
        self.assertEqual('overLimit', replies[2].fault[0])
        self.assertIn('Retry-After', replies[2].headers)
        client = Client(box)
        end = time.monotonic() + DEADLINE
        while client.ping(guests[0]).status != 401:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.5)

    def test_dead_guests_at_random_with_fresh_heartbeats(self) -> None:
        """The same guests are dead in each sandbox, and not in a row."""
        options = sandbox.Sandbox(
            guests=100, dead=10, dead_order='random', dead_heartbeat='fresh'
        )
        guests = list(options.guests.values())
        dead = [
            number
            for number, guest in enumerate(guests)
            if guest.behaviour == 'dead' and guest.name != 'db-dead'
        ]
        self.assertEqual(10, len(dead))
        self.assertNotEqual(9, dead[-1] - dead[0])
        self.assertEqual({'fresh'}, {guests[each].heartbeat for each in dead})
        again = sandbox.Sandbox(guests=100, dead=10, dead_order='random')
        self.assertEqual(
            [guests[number].name for number in dead],
            [
                name
                for name, guest in again.guests.items()
                if guest.behaviour == 'dead' and name != 'db-dead'
            ],
        )

    def test_the_hosts_have_as_many_guests_each(self) -> None:
        """The servers of the added guests are spread over five hosts."""
        hosts = collections.Counter(
            guest.host
            for name, guest in sandbox.Sandbox(guests=200).guests.items()
            if name.startswith('guest-')
        )
        self.assertEqual([40] * 5, list(hosts.values()))
        self.assertIn('compute-05', hosts)

    def test_nonsense_is_refused(self) -> None:
        """An absurd option is an error before any server starts."""
        for options in (
            {'transport': 'pigeon'},
            {'agent_timeout': 0},
            {'guests': 1, 'dead': 2},
            {'server': 'apache'},
            {'dead_order': 'alphabetical'},
            {'dead_heartbeat': 80},
            {'server': 'wsgi', 'transport': 'memory'},
        ):
            self.assertRaises(
                sandbox.SandboxError,
                sandbox.Sandbox,
                **options,
            )

    def test_two_at_once(self) -> None:
        """The faults of one sandbox do not reach the other."""
        with sandbox.Sandbox() as one, sandbox.Sandbox() as other:
            other.set_guest('db-healthy', 'old')
            other.kill('keystone')
            reply = Client(one).ping(one.guests['db-healthy'])
        self.assertEqual(204, reply.status)


class HelpTest(testtools.TestCase):
    """The command line explains itself."""

    def help(self, *command: str) -> str:
        """Return the help of a command."""
        argv = [sys.executable, '-m', 'sandbox', *command, '--help']
        return subprocess.check_output(argv, cwd=ROOT, text=True)

    def test_each_command_has_a_help(self) -> None:
        """The overview lists each command, and each has its own help."""
        overview = self.help()
        for command in (
            *('install', 'up', 'down', 'status', 'run', 'guest', 'nova'),
            *('stop', 'kill', 'start', 'worker', 'freeze', 'thaw'),
            *('broker', 'loss', 'mend'),
        ):
            self.assertIn(f'\n    {command} ', overview)
            self.assertIn(f' {command} [-h]', self.help(command))

    def test_wsgi_in_memory_is_refused_in_one_line(self) -> None:
        """The error says that wsgi needs RabbitMQ."""
        argv = [sys.executable, '-m', 'sandbox', 'run', '--server', 'wsgi']
        done = subprocess.run(
            [*argv, '--', 'true'],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(1, done.returncode)
        [line] = done.stderr.splitlines()
        self.assertIn('sandbox: error: server wsgi needs transport', line)

    def test_wrong_usage_is_2(self) -> None:
        """An unknown behaviour is wrong usage: exit status 2."""
        argv = [sys.executable, '-m', 'sandbox', 'guest', 'db-old', 'asleep']
        done = subprocess.run(
            argv, cwd=ROOT, capture_output=True, text=True, check=False
        )
        self.assertEqual(2, done.returncode)
        self.assertIn('answering', done.stderr)


class Life(testtools.TestCase):
    """A test that ends a sandbox, and looks for processes that are left."""

    transport = 'memory'

    def setUp(self) -> None:
        """Make a folder, which marks the processes of the sandbox."""
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix='sandbox-life-')
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def box(self) -> sandbox.Sandbox:
        """Return a sandbox in the folder."""
        return sandbox.Sandbox(self.transport, folder=self.folder)

    def command(self, *arguments: str, **kwargs: Any) -> subprocess.Popen[str]:
        """Start ``python3 -m sandbox`` as the leader of a process group."""
        process = subprocess.Popen(
            [sys.executable, '-m', 'sandbox', *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **kwargs,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def run_(self, *command: str) -> subprocess.Popen[str]:
        """Start ``run`` in the folder."""
        where = ('--dir', self.folder, '--transport', self.transport)
        return self.command('run', *where, '--', *command)

    def run_for_long(self) -> subprocess.Popen[str]:
        """Start ``run`` with a long command, and wait for its begin."""
        begun = pathlib.Path(self.folder, 'begun')
        process = self.run_('sh', '-c', f'touch {begun}; exec sleep 1000')
        for _ in self.attempts('not begun'):
            if begun.exists():
                break
        return process

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        """Wait for a process; return exit status, stdout and stderr."""
        out, err = process.communicate(timeout=2 * DEADLINE)
        return process.returncode, out, err

    def wait_for(self, what: str) -> int:
        """Wait for a process with these words in its command line."""
        for _ in self.attempts('not started'):
            for pid, command in processes(self.folder).items():
                if what in command:
                    return pid
        raise AssertionError

    def assert_nothing_left(self) -> None:
        """Wait until the sandbox has no process."""
        for _ in self.attempts('still running'):
            if not processes(self.folder):
                return

    def attempts(self, failure: str) -> Iterator[None]:
        """Yield again and again until the deadline."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            yield
            time.sleep(0.05)
        self.fail(f'{failure}: {processes(self.folder)}')


@needs_rabbitmq
class EndTest(Life):
    """No process is left, however a sandbox ends."""

    transport = 'rabbit'

    def test_at_the_end_of_the_block(self) -> None:
        """The end of the block stops every process."""
        with self.box() as box:
            before = processes(self.folder)
            pids = {pid for pid in box.status()['servers'].values() if pid}
        self.assertGreater(len(before), 3)
        self.assertLessEqual(pids, set(before))
        self.assert_nothing_left()
        for pid in before:
            self.assertFalse(alive(pid), before[pid])

    def test_when_the_supervisor_is_killed(self) -> None:
        """The servers die with the supervisor."""
        with self.box() as box:
            os.kill(box.pid, signal.SIGKILL)
            self.assert_nothing_left()

    def test_when_the_supervisor_is_killed_early(self) -> None:
        """The servers die with it at each stage of the start."""
        for delay in (0.0, 0.3, 1.0):
            process = self.run_('true')
            supervisor = self.wait_for('-m sandbox.serve ')
            time.sleep(delay)
            os.kill(supervisor, signal.SIGKILL)
            status, _, err = self.finish(process)
            self.assert_nothing_left()
            self.assertEqual(1, status, err)

    def test_when_the_owner_is_killed(self) -> None:
        """SIGKILL of "run" ends the command and the sandbox."""
        process = self.run_for_long()
        process.kill()
        self.assert_nothing_left()

    def test_ctrl_c_while_starting(self) -> None:
        """Ctrl-C during the start stops all; the exit status is 130."""
        process = self.run_('true')
        self.wait_for('keystone_server')
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual((130, '', ''), self.finish(process))
        self.assert_nothing_left()


class CommandTest(Life):
    """The commands ``run``, ``up``, ``down`` and their errors."""

    def test_ctrl_c(self) -> None:
        """Ctrl-C during "run" stops all; the exit status is 130."""
        process = self.run_for_long()
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual((130, '', ''), self.finish(process))
        self.assert_nothing_left()

    def test_sigterm_reaches_the_command(self) -> None:
        """The command can handle the SIGTERM of "run"."""
        script = (
            'import signal, sys, time\n'
            'signal.signal(signal.SIGTERM, lambda *_: sys.exit("tidied"))\n'
            'print("ready", flush=True)\n'
            'time.sleep(1000)\n'
        )
        process = self.run_(sys.executable, '-c', script)
        assert process.stdout
        self.assertEqual('ready\n', process.stdout.readline())
        process.terminate()
        self.assertEqual((143, '', 'tidied\n'), self.finish(process))
        self.assert_nothing_left()

    def test_the_command_of_run(self) -> None:
        """The sandbox is its only cloud; its signal is the exit status."""
        where = ('--dir', self.folder, '--transport', self.transport)
        process = self.command(
            *('run', *where, '--', 'sh', '-c', 'env; kill -9 $$'),
            env=os.environ | {'OS_PASSWORD': 'secret', 'OS_TOKEN': 'x'},
        )
        status, out, _ = self.finish(process)
        self.assertEqual(128 + signal.SIGKILL, status)
        for name in ('OS_CLIENT_CONFIG_FILE', 'TROVE_SANDBOX_SOCKET'):
            self.assertIn(f'{name}=', out)
        self.assertIn('OS_CLOUD=sandbox\n', out)
        self.assertNotIn('OS_PASSWORD', out)
        self.assertNotIn('OS_TOKEN', out)

    def test_up_and_down(self) -> None:
        """The sandbox of "up" takes orders until "down" stops it."""
        where = ('--dir', self.folder)
        up = self.command('up', *where, '--transport', self.transport)
        status, out, _ = self.finish(up)
        self.assertEqual(0, status)
        self.assertIn('export OS_CLIENT_CONFIG_FILE=', out)
        clouds = pathlib.Path(self.folder, 'clouds.yaml')
        self.assertEqual(0o600, clouds.stat().st_mode & 0o777)

        status, _, err = self.finish(self.command('up', *where))
        self.assertEqual(
            (0, 'sandbox: the sandbox is already up\n'), (status, err)
        )

        dead = self.command('guest', 'db-healthy', 'dead', *where)
        self.assertEqual((0, '', ''), self.finish(dead))
        _, out, _ = self.finish(self.command('status', '--json', *where))
        [guest] = [
            guest
            for guest in json.loads(out)['guests']
            if guest['name'] == 'db-healthy'
        ]
        self.assertEqual('dead', guest['behaviour'])

        self.assertEqual(0, self.finish(self.command('down', *where))[0])
        self.assert_nothing_left()
        status, _, err = self.finish(self.command('down', *where))
        self.assertEqual((0, 'sandbox: no sandbox is up\n'), (status, err))

    def test_a_foreign_folder_is_left_alone(self) -> None:
        """The sandbox does not empty a folder with other files."""
        mine = pathlib.Path(self.folder, 'mine')
        mine.touch()
        status, _, err = self.finish(self.run_('true'))
        self.assertEqual(1, status)
        self.assertIn('sandbox: error: ', err)
        self.assertNotIn('Traceback', err)
        self.assertTrue(mine.exists())


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return False
    return stat.rpartition(')')[2].split()[0] != 'Z'
