# SPDX-License-Identifier: Apache-2.0

"""The sandbox: its replies, its faults, and its end.

The sandbox must reply as a real Trove replies: the other functional tests rely
on it.
"""

import collections
import concurrent.futures
import contextlib
import datetime
import io
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

import requests
import testtools

import sandbox
from sandbox import cli
from sandbox import fleet
from sandbox import plan as plans
from sandbox import probe
from sandbox import rabbitmq
from troveclient_rpcping.tests.functional import base
from troveclient_rpcping.tests.functional import faults

ROOT = pathlib.Path(sandbox.__file__).resolve().parent.parent

# The line of trove-api's log about a ping: PID of the worker, ID of the guest.
PINGING = re.compile(
    r'(?m)^\S+ \S+ (\d+) INFO .*'
    r' Sending RPC PING for a database instance (\S+)'
)

# The transport with the most processes.
BUSY = 'rabbit' if rabbitmq.installed() else 'memory'

# A command that prints its PID and environment, and handles SIGTERM.
COMMAND = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.signal(signal.SIGTERM, lambda *_: sys.exit('tidied'))
print(os.getpid(), *os.environ, flush=True)
signal.pause()
"""

# Texts of Trove.
TIMEOUT = 'Timeout trying to connect to the Guest Agent.'
FAILED = 'An error occurred communicating with the guest: '


def fault(reply: requests.Response) -> tuple[str, int, str]:
    """Return the three parts of the body of an error."""
    [(name, content)] = reply.json().items()
    return name, content['code'], content['message']


class Client:
    """A user of a sandbox, over plain HTTP."""

    def __init__(
        self,
        box: sandbox.Sandbox,
        user: str = 'admin',
        project: str = 'admin',
    ) -> None:
        password = getattr(box.plan.passwords, user)
        self._token, id_ = probe.login(box.auth_url, user, password, project)
        self._endpoint = f'{box.trove_url}/v1.0/{id_}'

    def get(self, path: str, timeout: float = base.LIMIT) -> requests.Response:
        """Send a GET for a path below the endpoint in the catalog."""
        return requests.get(
            f'{self._endpoint}{path}',
            headers={'X-Auth-Token': self._token},
            timeout=timeout,
        )

    def ping(
        self, guest: sandbox.Guest, timeout: float = base.LIMIT
    ) -> requests.Response:
        """Ping a guest."""
        return self.get(f'/mgmt/instances/{guest.id}/rpc_ping', timeout)


class Fleet(base.TestCase):
    """A test with the default fleet."""

    def setUp(self) -> None:
        super().setUp()
        self.admin = Client(self.sandbox)

    def ask(self, name: str = 'db-healthy') -> requests.Response:
        """Ping a guest of the default fleet."""
        return self.admin.ping(self.sandbox.guests[name])

    def listing(self, query: str = '') -> dict[str, dict[str, Any]]:
        """Return the rows of Trove's listing by ID."""
        reply = self.admin.get(f'/mgmt/instances?limit=100&{query}')
        return {row['id']: row for row in reply.json()['instances']}

    def row(self, name: str = 'db-healthy') -> dict[str, Any]:
        """Return the row of a guest in the listing."""
        return self.listing()[self.id_of(name)]


class MemoryRepliesTest(Fleet):
    """The replies of trove-api that agents cause, as from a real Trove."""

    def test_a_guest_that_answers_is_204(self) -> None:
        """The reply has no body. A slow guest answers after the delay."""
        self.sandbox.set_guest('db-slow', 'slow', delay=0.5)
        for name, seconds in (('db-healthy', 0), ('db-slow', 0.5)):
            reply = self.ask(name)
            self.assertEqual((204, b''), (reply.status_code, reply.content))
            # gunicorn omits it in a 204, as RFC 9110 demands.
            self.assertEqual('0', reply.headers.get('Content-Length', '0'))
            self.assertIn('X-Openstack-Request-Id', reply.headers)
            self.assertGreaterEqual(reply.elapsed.total_seconds(), seconds)

    def test_other_guests_get_the_errors_of_a_real_trove(self) -> None:
        """Code, name and text are those of Trove, or of the agent."""
        unready, deleted = map(self.id_of, ('db-unready', 'db-deleted'))
        no_method = 'Endpoint does not support RPC method rpc_ping.'
        for name, code, error, *texts in (
            ('db-dead', 400, 'badRequest', TIMEOUT),
            ('db-old', 400, 'badRequest', f'{FAILED}{no_method}'),
            (
                *('db-failing', 400, 'badRequest', f'{FAILED}disk is full\n'),
                '\nTraceback (most recent call last):\n',
                *('\x1b[31m', '\x1b]0;', '\x1b[2J', '\x07', '\u202e'),
            ),
            (
                *('db-unready', 422, 'unprocessableEntity'),
                f'Instance {unready} is not ready.',
            ),
            (
                *('db-deleted', 404, 'itemNotFound'),
                f'Resource {deleted} cannot be found.',
            ),
        ):
            reply = self.ask(name)
            self.assertEqual((error, code), fault(reply)[:2])
            for text in texts:
                self.assertIn(text, fault(reply)[2])
            # Trove waits at least 2 s for an agent.
            late = reply.elapsed.total_seconds() >= 2
            self.assertEqual(name == 'db-dead', late)


@base.needs_rabbitmq
class RabbitRepliesTest(MemoryRepliesTest):
    """The same replies with RabbitMQ between trove-api and the guests."""

    cloud = base.Cloud.BUS


@base.needs_rabbitmq
class WsgiRepliesTest(MemoryRepliesTest):
    """The same replies, with trove-api as uWSGI and mod_wsgi run it."""

    cloud = base.Cloud.WSGI

    def test_each_reply_closes_its_connection(self) -> None:
        """Each reply has ``Connection: close``, as with uWSGI."""
        self.assertEqual('close', self.ask().headers['Connection'])

    def test_a_worker_serves_one_request_at_a_time(self) -> None:
        """While each worker has a client, another client waits."""
        port = self.sandbox.plan.ports.trove
        with contextlib.ExitStack() as clients:
            for _ in self.sandbox.workers():
                address = (plans.LOOPBACK, port)
                clients.enter_context(socket.create_connection(address))
            base.wait(lambda: backlog(port) == 0)
            with concurrent.futures.ThreadPoolExecutor() as pool:
                ping = pool.submit(self.ask, 'db-healthy')
                base.wait(lambda: backlog(port) == 1)
                self.assertFalse(ping.done())
                clients.close()
                self.assertEqual(204, ping.result().status_code)


def backlog(port: int) -> int:
    """Return the length of the queue of a listening socket (proc_net(5))."""
    for line in pathlib.Path('/proc/net/tcp').read_text().splitlines()[1:]:
        _, local, _, state, queues = line.split()[:5]
        if local.endswith(f':{port:04X}') and state == '0A':
            return int(queues.partition(':')[2], 16)
    raise AssertionError(f'nobody listens on {port}')


class FleetTest(Fleet):
    """The listing, the orders and the faults, in memory."""

    def test_a_member_is_not_an_admin(self) -> None:
        """A member without the admin role gets 401."""
        reply = Client(self.sandbox, 'member', 'tenant-a').ping(
            self.sandbox.guests['db-healthy']
        )
        text = 'User does not have admin privileges.'
        self.assertEqual(('unauthorized', 401, text), fault(reply))

    def test_a_fault_of_nova_stays_until_it_is_mended(self) -> None:
        """A restart of the stand-in does not repair Nova."""
        box = self.sandbox
        for order, argument, code, text in (
            (box.set_nova, 'broken', 400, '(HTTP 500)'),
            (box.set_nova, 'missing', 422, 'is not ready'),
            (box.stop, 'cloud', 500, 'Please keep this ID'),
            (box.start, 'cloud', 422, 'is not ready'),
        ):
            order(argument)
            reply = self.ask()
            self.assertEqual(code, reply.status_code)
            self.assertIn(text, fault(reply)[2])

    def test_a_restart_of_trove_api_mends_no_guest(self) -> None:
        """A restart ends no loss of pings, and the old token stays valid."""
        self.sandbox.set_guest('db-healthy', 'old')
        self.sandbox.set_loss(1)
        self.sandbox.kill('trove-api')
        self.assertRaises(OSError, self.ask)
        self.sandbox.start('trove-api')
        self.assertEqual(TIMEOUT, fault(self.ask())[2])
        self.sandbox.set_loss(0)
        self.assertIn('Endpoint does not', fault(self.ask())[2])

    def test_a_server_that_does_not_start_is_named(self) -> None:
        """The error quotes its log. A mended Keystone knows old tokens."""
        file = self.sandbox.plan.file('keystone.conf')
        text = file.read_text()
        self.addCleanup(file.write_text, text)
        self.sandbox.stop('keystone')
        file.write_text('nonsense')
        error = self.assertRaises(
            sandbox.SandboxError, self.sandbox.start, 'keystone'
        )
        self.assertIn('keystone ended while it was started', str(error))
        self.assertIn('keystone.conf', str(error))
        file.write_text(text)
        self.sandbox.start('keystone')
        self.assertEqual(204, self.ask().status_code)
        Client(self.sandbox)

    def test_the_listing_shows_the_fleet(self) -> None:
        """Deleted and clustered guests are listed only on demand."""
        for query, number in (
            ('', 9),
            ('include_clustered=true', 10),
            ('include_clustered=true&deleted=false', 9),
        ):
            self.assertEqual(number, len(self.listing(query)), query)

    def test_the_listing_shows_each_state_of_a_guest(self) -> None:
        """Trove sends pings in all these states."""
        for status in fleet.Status:
            self.sandbox.set_guest('db-healthy', 'answering', status=status)
            self.assertEqual(status, self.row()['status'])
            self.assertEqual(204, self.ask().status_code)
        self.sandbox.set_guest('db-healthy', 'dead', server='SHUTOFF')
        server = self.row()['server']
        self.assertEqual('SHUTOFF', server['status'])
        self.assertEqual('compute-01', server['host'])
        self.sandbox.set_guest('db-healthy', 'answering', server='UNTAGGED')
        row = self.row()
        self.assertEqual((None, 'SHUTDOWN'), (row['server'], row['status']))
        self.assertEqual(204, self.ask().status_code)

    def test_the_listing_shows_the_last_heartbeat(self) -> None:
        """Trove calls a guest with an old heartbeat an error."""
        for behaviour, options, age, word in (
            ('answering', {}, 0, 'HEALTHY'),
            ('dead', {}, 3600, 'ERROR'),
            ('dead', {'heartbeat': 'fresh'}, 0, 'HEALTHY'),
            ('answering', {'heartbeat': 200}, 200, 'ERROR'),
            ('answering', {'heartbeat': -300}, -300, 'HEALTHY'),
            # Trove records no heartbeat of a live agent then.
            ('answering', {'status': 'RESTART_REQUIRED'}, 3600, ''),
        ):
            self.sandbox.set_guest('db-healthy', behaviour, **options)
            row = self.row()
            self.assertEqual(word, row['operating_status'])
            sent = datetime.datetime.fromisoformat(
                f'{row["service_status_updated"]}+00:00'
            )
            now = datetime.datetime.now(datetime.UTC)
            self.assertLess(abs((now - sent).total_seconds() - age), 60)

    def test_mend_mends_everything(self) -> None:
        """One order undoes all faults."""
        self.sandbox.set_guest('db-healthy', 'old', status='BUILD')
        self.sandbox.set_nova('broken')
        self.sandbox.set_loss(1)
        self.sandbox.kill('trove-api')
        self.sandbox.freeze('keystone')
        self.sandbox.mend()
        self.assertEqual(204, self.ask().status_code)
        self.assertEqual('ACTIVE', self.row()['status'])
        self.assertEqual([], self.sandbox.status()['frozen'])
        Client(self.sandbox)

    def test_a_share_of_the_pings_is_lost(self) -> None:
        """With the same seed, the same number of pings time out."""
        lost = []
        for _ in range(2):
            self.sandbox.set_loss(0.5, seed=7)
            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                replies = list(pool.map(self.ask, ['db-healthy'] * 6))
            lost.append([reply.status_code for reply in replies].count(400))
        self.assertIn(lost[0], range(1, 6))
        self.assertEqual(lost[0], lost[1])

    def test_an_order_that_makes_no_sense_is_refused(self) -> None:
        """Unknown guests, servers and states are errors."""
        box = self.sandbox
        for order, *arguments in (
            (box.set_guest, 'db-nobody', 'dead'),
            (box.set_guest, 'db-twin', 'dead'),
            (box.set_guest, 'db-healthy', 'asleep'),
            (box.set_guest, 'db-old', 'old', None, 'often'),
            (box.set_guest, 'db-old', 'old', None, 1e300),
            (box.set_guest, 'db-old', 'old', None, None, 'LATE'),
            (box.set_guest, 'db-old', 'old', None, None, 'ACTIVE', 'LATE'),
            (box.set_nova, 'sulking'),
            (box.set_loss, 30),
            (box.set_broker, 'sulking'),
            (box.set_broker, 'refusing'),
            (box.set_worker, 0, 'cut'),
            (box.set_worker, 9, 'cut'),
            (box.set_worker, 1, 'cut'),
            (box.set_worker, 1, 'asleep'),
            (box.stop, 'nova'),
            (box.freeze, 'nova'),
            (box.start, 'keystone'),
        ):
            self.assertRaises(sandbox.SandboxError, order, *arguments)


@base.needs_rabbitmq
class BusTest(Fleet, faults.SweepTest):
    """Faults of RabbitMQ, and of the process of the guests."""

    cloud = base.Cloud.BUS

    def test_without_a_broker_the_api_hangs(self) -> None:
        """A ping has no reply while the broker is down."""
        self.sandbox.stop('broker')
        self.assertRaises(
            requests.Timeout,
            self.admin.ping,
            self.sandbox.guests['db-healthy'],
            # Longer than Trove waits for an agent.
            timeout=4,
        )
        self.sandbox.start('broker')
        self.wait_for_all_agents()

    def test_guests_are_a_server_of_their_own(self) -> None:
        """Stopped or paused guests are silent; a restart ends no loss."""
        self.sandbox.freeze('guests')
        self.assertEqual(['guests'], self.sandbox.status()['frozen'])
        self.assertEqual(TIMEOUT, fault(self.ask())[2])
        self.assertRaises(
            sandbox.SandboxError, self.sandbox.set_guest, 'db-old', 'dead'
        )
        self.sandbox.thaw('guests')
        self.assertEqual(204, self.ask().status_code)
        self.sandbox.set_loss(1)
        self.sandbox.stop('guests')
        self.assertEqual(TIMEOUT, fault(self.ask())[2])
        self.sandbox.start('guests')
        self.assertEqual(TIMEOUT, fault(self.ask())[2])


class Workers(Fleet):
    """A test with several workers of trove-api."""

    def ping_through_each(self) -> dict[int, set[int]]:
        """Ping until each worker replied; return the statuses by PID."""
        workers = set(self.sandbox.workers())
        guests = [self.sandbox.guests[f'guest-000{n}'] for n in range(1, 7)]
        statuses: dict[int, set[int]] = collections.defaultdict(set)

        def each_replied() -> bool:
            begin = len(self.sandbox.log('trove-api'))
            with concurrent.futures.ThreadPoolExecutor(len(guests)) as pool:
                replies = list(pool.map(self.admin.ping, guests))
            log = self.sandbox.log('trove-api')[begin:]
            pids = {id_: int(pid) for pid, id_ in PINGING.findall(log)}
            for guest, reply in zip(guests, replies, strict=True):
                statuses[pids[guest.id]].add(reply.status_code)
            return statuses.keys() == workers

        base.wait(each_replied)
        return statuses

    def broken(self, state: str) -> int:
        """Break the second worker until the end; return its PID."""
        self.sandbox.set_worker(2, state)
        worker = self.sandbox.status()['workers'][1]
        self.assertEqual(state, worker['state'])
        return int(worker['pid'])

    def pings_of(self, worker: int) -> int:
        """Return the number of pings that a worker sent."""
        log = self.sandbox.log('trove-api')
        return sum(int(pid) == worker for pid, _ in PINGING.findall(log))


@base.needs_rabbitmq
class WsgiWorkersTest(Workers):
    """Faults of one worker of trove-api."""

    cloud = base.Cloud.WSGI

    def test_a_worker_that_lost_its_connections_times_out(self) -> None:
        """Its pings give 400, a timeout; the other workers reply 204."""
        lost = self.broken('lost')
        statuses = self.ping_through_each()
        self.assertEqual({400}, statuses.pop(lost))
        self.assertEqual([{204}] * 2, list(statuses.values()))
        self.sandbox.set_worker(2, 'ok')
        self.assertEqual({204}, self.ping_through_each()[lost])

    def test_a_worker_that_is_cut_off_hangs(self) -> None:
        """It has no connection to RabbitMQ, so its pings hang."""
        cut = self.broken('cut')
        before = self.pings_of(cut)
        pings = []

        def asked() -> bool:
            pings.append(pool.submit(self.ask))
            return self.pings_of(cut) > before

        def waiting() -> list[concurrent.futures.Future[requests.Response]]:
            return [ping for ping in pings if not ping.done()]

        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            base.wait(asked)
            # The other workers reply to all other pings.
            base.wait(lambda: len(waiting()) == 1)
            # Longer than Trove waits for an agent: 3 s.
            time.sleep(4)
            hanging = len(waiting())
            self.sandbox.set_worker(2, 'ok')
        self.assertEqual(1, hanging)
        for ping in pings:
            self.assertIn(ping.result().status_code, (204, 400))
        self.assertEqual({204}, self.ping_through_each()[cut])

    def test_a_frozen_worker_leaves_the_pings_to_the_others(self) -> None:
        """It serves nothing until the end of the fault."""
        frozen = self.broken('frozen')
        before = self.pings_of(frozen)
        for _ in range(12):
            self.assertEqual(204, self.ask().status_code)
        self.assertEqual(before, self.pings_of(frozen))
        self.sandbox.set_worker(2, 'ok')
        self.assertEqual({204}, self.ping_through_each()[frozen])


@base.needs_rabbitmq
class EventletWorkersTest(Workers):
    """Workers that serve many requests at a time."""

    cloud = base.Cloud.BUS

    def test_the_faults_of_workers_can_be_undone(self) -> None:
        """A restart of trove-api undoes them, and so does one order."""
        self.broken('cut')
        self.sandbox.kill('trove-api')
        self.sandbox.start('trove-api')
        self.assertEqual([{204}] * 2, list(self.ping_through_each().values()))
        self.sandbox.set_worker(1, 'cut')
        self.sandbox.set_worker(2, 'frozen')
        self.sandbox.set_broker('refusing')
        self.sandbox.freeze('guests')
        self.sandbox.mend()
        self.assertEqual([{204}] * 2, list(self.ping_through_each().values()))


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
        self.assertEqual(
            [204, 400, 413], [each.status_code for each in replies]
        )
        self.assertEqual('overLimit', fault(replies[2])[0])
        self.assertIn('Retry-After', replies[2].headers)
        client = Client(box)
        base.wait(lambda: client.ping(guests[0]).status_code == 401)

    def test_the_same_guests_are_dead_in_each_sandbox(self) -> None:
        """They are not in a row, and five hosts have as many guests each."""
        dead, again = (
            [
                number
                for number, guest in enumerate(
                    sandbox.Sandbox(
                        guests=100, dead=10, dead_order='random', **options
                    ).guests.values()
                )
                if guest.behaviour == 'dead' and guest.name != 'db-dead'
            ]
            for options in ({}, {'dead_heartbeat': 'fresh'})
        )
        self.assertEqual((10, dead), (len(dead), again))
        self.assertNotEqual(9, dead[-1] - dead[0])
        guests = sandbox.Sandbox(
            guests=100, dead=10, dead_heartbeat='fresh'
        ).guests
        added = [
            guest
            for name, guest in guests.items()
            if name.startswith('guest-')
        ]
        self.assertEqual({'fresh'}, {guest.heartbeat for guest in added})
        self.assertEqual(
            {f'compute-0{number}': 20 for number in range(1, 6)},
            collections.Counter(guest.host for guest in added),
        )

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
            self.assertRaises(sandbox.SandboxError, sandbox.Sandbox, **options)


class CommandTest(testtools.TestCase):
    """The command line. No process outlives a sandbox."""

    def setUp(self) -> None:
        """Make a folder, which marks the processes of the sandbox."""
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix='sandbox-life-')
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

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

    def run_(self, *argv: str, **kwargs: Any) -> subprocess.Popen[str]:
        """Start ``run`` in the folder."""
        return self.command('run', '--dir', self.folder, *argv, **kwargs)

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        """Wait for a process; return exit status, stdout and stderr."""
        out, err = process.communicate(timeout=base.LIMIT)
        return process.returncode, out, err

    def processes(self, what: str = '') -> list[int]:
        """Return the processes of the sandbox with words in their command.

        Each has the folder in its command line or in its environment. A
        zombie has neither.
        """
        found = []
        for process in pathlib.Path('/proc').glob('[0-9]*'):
            # It may have ended, or belong to another user.
            with contextlib.suppress(OSError):
                command = (process / 'cmdline').read_text()
                both = command + (process / 'environ').read_text()
                if self.folder in both and what in command:
                    found.append(int(process.name))
        return [pid for pid in found if pid != os.getpid()]

    def wait_for(self, what: str) -> int:
        """Wait for a process with these words in its command line."""
        found: list[int] = []

        def look() -> bool:
            # A second look may find none: exec empties a command line.
            found[:] = self.processes(what)
            return bool(found)

        base.wait(look)
        return found[0]

    def assert_nothing_left(self) -> None:
        """Wait until the sandbox has no process."""
        base.wait(lambda: not self.processes())

    def test_nothing_outlives_the_supervisor(self) -> None:
        """The servers die with it, also at each stage of the start."""
        for delay in (0.0, 0.3, 1.0):
            process = self.run_('--transport', BUSY, '--', 'true')
            supervisor = self.wait_for('sandbox.serve')
            time.sleep(delay)
            os.kill(supervisor, signal.SIGKILL)
            status, _, err = self.finish(process)
            self.assert_nothing_left()
            self.assertEqual(1, status, err)
        with sandbox.Sandbox(BUSY, folder=self.folder) as box:
            self.assertGreater(len(self.processes()), 3)
            os.kill(box.pid, signal.SIGKILL)
            self.assert_nothing_left()

    def test_run_ends_with_its_command(self) -> None:
        """Signals to either of them also end the sandbox."""
        for end, status, stderr in (
            (lambda run, _: os.kill(run, signal.SIGKILL), -9, ''),
            (lambda run, _: os.killpg(run, signal.SIGINT), 130, ''),
            (lambda run, _: os.kill(run, signal.SIGTERM), 143, 'tidied\n'),
            (lambda _, command: os.kill(command, signal.SIGKILL), 137, ''),
        ):
            process = self.run_(
                *('--', sys.executable, '-c', COMMAND),
                env=os.environ | {'OS_PASSWORD': 'secret', 'OS_TOKEN': 'x'},
            )
            assert process.stdout
            pid, *names = process.stdout.readline().split()
            # The sandbox is its only cloud.
            self.assertEqual(
                {'OS_CLIENT_CONFIG_FILE', 'OS_CLOUD'},
                {name for name in names if name.startswith('OS_')},
            )
            self.assertIn('TROVE_SANDBOX_SOCKET', names)
            end(process.pid, int(pid))
            self.assertEqual((status, '', stderr), self.finish(process))
            self.assert_nothing_left()

    def test_ctrl_c_while_starting(self) -> None:
        """Ctrl-C during the start stops all; the exit status is 130."""
        process = self.run_('--', 'true')
        self.wait_for('keystone_server')
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual((130, '', ''), self.finish(process))
        self.assert_nothing_left()

    def test_up_and_down(self) -> None:
        """The sandbox of "up" takes orders until "down" stops it."""

        def run(*command: str) -> tuple[int, str, str]:
            return self.finish(self.command(*command, '--dir', self.folder))

        status, out, _ = run('up', '--transport', BUSY)
        self.assertEqual(0, status)
        self.assertIn('export OS_CLIENT_CONFIG_FILE=', out)
        clouds = pathlib.Path(self.folder, 'clouds.yaml')
        self.assertEqual(0o600, clouds.stat().st_mode & 0o777)
        status, _, err = run('up')
        self.assertEqual(
            (0, 'sandbox: the sandbox is already up\n'), (status, err)
        )
        self.assertEqual((0, '', ''), run('guest', 'db-healthy', 'dead'))
        behaviours = {
            guest['name']: guest['behaviour']
            for guest in json.loads(run('status', '--json')[1])['guests']
        }
        self.assertEqual('dead', behaviours['db-healthy'])
        self.assertEqual((0, '', 'sandbox: stopped\n'), run('down'))
        self.assert_nothing_left()
        self.assertEqual((0, '', 'sandbox: no sandbox is up\n'), run('down'))

    def test_each_command_has_a_help(self) -> None:
        """The overview lists each command, and each has its own help."""
        overview = self.help_of()
        for command in (
            *('install', 'up', 'down', 'status', 'run', 'guest', 'nova'),
            *('stop', 'kill', 'start', 'worker', 'freeze', 'thaw'),
            *('broker', 'loss', 'mend'),
        ):
            self.assertIn(f'\n    {command} ', overview)
            self.assertIn(f' {command} [-h]', self.help_of(command))

    def help_of(self, *command: str) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as stdout:
            self.assertRaises(SystemExit, cli.main, [*command, '--help'])
        return stdout.getvalue()

    def test_what_makes_no_sense_ends_with_a_line_that_says_so(self) -> None:
        """The sandbox does not empty a folder with other files."""
        mine = pathlib.Path(self.folder, 'mine')
        mine.touch()
        where = ('--dir', self.folder)
        for argv, status, words in (
            (('guest', 'db-old', 'asleep'), 2, 'answering'),
            (('run', '--server', 'wsgi', '--', 'true'), 1, 'needs transport'),
            (('run', *where, '--', 'true'), 1, 'choose another folder'),
        ):
            found, _, err = self.finish(self.command(*argv))
            self.assertEqual(status, found)
            *_, last = err.splitlines()
            self.assertIn('sandbox', last)
            self.assertIn(': error: ', last)
            self.assertIn(words, last)
        self.assertTrue(mine.exists())
