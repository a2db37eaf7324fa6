# SPDX-License-Identifier: Apache-2.0

"""The commands, in this process, with a shell that only looks like one."""

import _thread
from collections.abc import Callable
import contextlib
import errno
import io
import json
import logging
import os
import pathlib
import pty
import re
import shutil
import signal
import termios
import threading
import time
import types
from typing import Any
from typing import NoReturn

import fixtures
from keystoneauth1 import exceptions as ksa_exceptions
from openstack.config import cloud_region
from osc_lib import exceptions as osc_exceptions
import testtools
from troveclient.apiclient import exceptions as trove_exceptions

from troveclient_rpcping import client
from troveclient_rpcping import fixture
from troveclient_rpcping import inventory
from troveclient_rpcping import reply as replies
from troveclient_rpcping.osc import exits
from troveclient_rpcping.osc import rpc_monitor
from troveclient_rpcping.osc import rpc_ping
from troveclient_rpcping.osc import shell
from troveclient_rpcping.osc import sweep_forever
from troveclient_rpcping.tests import base


def listing(*instances: dict[str, Any]) -> replies.Reply:
    return replies.Reply(
        200, {}, json.dumps({'instances': instances}).encode()
    )


LISTING = listing({'id': base.GUEST, 'name': 'db-7', 'deleted': False})
CLOUD = cloud_region.CloudRegion(
    'test', 'RegionOne', {'auth': {'auth_url': 'http://user:pass@keystone'}}
)
EVIL = '\x1b[31m\x07evil\n\u202e\u2028"\ud800'
HOSTILE = listing(
    *(
        {
            'id': id_,
            **dict.fromkeys(('name', 'tenant_id', 'status'), EVIL),
            'service_status_updated': EVIL,
            'datastore': {'type': EVIL, 'version': EVIL},
            'server': dict.fromkeys(('id', 'host', 'status'), EVIL),
        }
        for id_ in (base.GUEST, f'{EVIL}1', f'{EVIL}2')
    )
)
NOBODY = listing()


class Full(io.StringIO):
    """A file on a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, 'No space left on device')


class Script(io.StringIO):
    """Does the next thing whenever a line is written to it.

    It ignores a remark: on a busy machine, a sweep outlasts its interval.
    """

    def __init__(self, *acts: Callable[[], None]) -> None:
        super().__init__()
        self._acts = iter(acts)

    def write(self, text: str) -> int:
        written = super().write(text)
        if '\n' in text:
            last = self.getvalue().splitlines()[-1]
            if not last.startswith('A sweep took '):
                next(self._acts)()
        return written


def nothing() -> None:
    pass


def raise_(error: BaseException) -> NoReturn:
    raise error


def interrupt() -> None:
    raise KeyboardInterrupt


class Clients:
    """The clients of a shell whose login succeeds."""

    auth_ref: Any = None

    def __init__(self, api: Any):
        self.session = api.client.session

    def setup_auth(self) -> None:
        """Make ready for the login."""


class TestCase(base.TestCase):
    """A command, the Trove that it asks, and a folder for its metrics."""

    def setUp(self) -> None:
        super().setUp()
        self.trove = fixture.Trove()
        self.trove.start()
        self.addCleanup(self.trove.stop)
        self.stdout: io.StringIO | None = io.StringIO()
        self.stderr: io.StringIO = io.StringIO()
        self.stdin = io.TextIOWrapper(io.BytesIO())
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.textfile = self.folder / 'metrics' / 'trove.prom'
        self.textfile.parent.mkdir()

    def printed(self) -> str:
        """Return what is on standard output."""
        assert self.stdout is not None
        return self.stdout.getvalue()

    def lose_folder(self) -> None:
        """Take the folder of the textfile away."""
        shutil.rmtree(self.textfile.parent)

    def run_command(
        self,
        kind: Any,
        *arguments: str,
        api: client.Client | None = None,
        client_manager: Any = None,
    ) -> int:
        """Run a command of ours; return its exit status."""
        api = api or self.trove.client()
        command = kind(self.app(client_manager or Clients(api)), None)
        parsed = command.get_parser('openstack').parse_args(arguments)
        # A command that hangs must fail the test.
        timer = threading.Timer(base.LONG, _thread.interrupt_main)
        timer.start()
        try:
            return int(command.run(parsed))
        finally:
            timer.cancel()

    def app(self, client_manager: Any) -> Any:
        """Return the shell around a command."""
        return types.SimpleNamespace(
            LOG=logging.getLogger(__name__),
            client_manager=client_manager,
            cloud=CLOUD,
            cloud_config=types.SimpleNamespace(get_one=lambda **_: CLOUD),
            options=types.SimpleNamespace(
                verbose_level=1, debug=False, deferred_help=False, cloud=''
            ),
            stderr=self.stderr,
            stdin=self.stdin,
            stdout=self.stdout,
        )

    def ping(self, *arguments: str, **kwargs: Any) -> int:
        """Run the command that pings once."""
        return self.run_command(
            rpc_ping.PingDatabaseInstances, *arguments, **kwargs
        )

    def watch(self, *arguments: str, **kwargs: Any) -> int:
        """Run the monitor."""
        return self.run_command(
            rpc_monitor.MonitorDatabaseInstances,
            *('--interval', '0.2', *arguments),
            **kwargs,
        )

    def watched(
        self,
        *arguments: str,
        printed: str = '',
        said: str = r'(.*\n)*',
        **kwargs: Any,
    ) -> None:
        """Run the monitor until it is interrupted.

        :param printed: a regular expression for its lines.
        :param said: the same for standard error.
        """
        status = self.watch(*arguments, **kwargs)
        self.assertEqual(exits.INTERRUPTED, status)
        self.assertRegex(self.printed(), rf'\A{printed}')
        # A sweep takes long on a busy machine.
        lines = re.sub('A sweep took .*\n', '', self.stderr.getvalue())
        self.assertRegex(lines, rf'\A{said}\Z')


class HostileTest(TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.trove.listing = HOSTILE
        self.trove.add(
            base.GUEST,
            fixture.fault(
                400,
                'badRequest',
                f'An error occurred communicating with the guest: {EVIL}',
                headers={'x-openstack-request-id': '\x1b[31mevil'},
            ),
        )

    def assert_clean(self) -> None:
        """Each line that was printed has printable characters only."""
        said = self.printed() + self.stderr.getvalue()
        self.assertIn('evil', said)
        for line in said.splitlines():
            self.assertTrue(line.isprintable(), repr(line))
        self.assertEqual(said.count('\n'), len(said.splitlines()))

    def test_no_hostile_text_reaches_a_stream_of_the_ping(self) -> None:
        """Not in any form of the rows, and not in the sentences for people."""
        for form in ('table', 'value', 'csv'):
            for choice in ('--all', base.GUEST, EVIL):
                with contextlib.suppress(osc_exceptions.CommandError):
                    self.ping(choice, '--long', '-f', form)
        self.assert_clean()

    def test_no_hostile_text_reaches_a_stream_of_the_monitor(self) -> None:
        """Neither in a line nor in a JSON object."""
        for form in ((), ('--json',)):
            self.stdout = Script(interrupt)
            self.watched('--all', *form)
            self.assert_clean()

    def test_an_error_is_one_clean_line(self) -> None:
        """The text of an error may come from Keystone, or from a file."""
        app: Any = types.SimpleNamespace(stdout=io.StringIO())
        for kind in (
            OSError,
            ksa_exceptions.ClientException,
            trove_exceptions.NotFound,
        ):
            error = self.assertRaises(
                *(osc_exceptions.CommandError, shell.run, app, None, ''),
                lambda kind=kind: raise_(kind(EVIL)),
            )
            self.assertTrue(str(error).isprintable(), repr(str(error)))
            self.assertIn('evil', str(error))


class PingTest(TestCase):
    def test_a_terminal_shows_the_progress(self) -> None:
        """The progress is on stderr, and stdout has only the rows."""
        self.stderr = terminal = base.Terminal()
        self.trove.add('db-7')
        self.trove.add('db-8')
        self.assertEqual(0, self.ping('--all', '-f', 'value', '-c', 'Name'))
        self.assertRegex(terminal.text(), r'pings .* 0/2 ')
        self.assertEqual('db-7\ndb-8\n', self.printed())

    def test_a_terminal_shows_the_awaited_guests(self) -> None:
        """Their names are on the bar from the beginning.

        A single ping ends before a person could read a bar.
        """
        for arguments, shown in (
            ((), r'\Z'),
            (('--wait', str(base.LONG)), r'waiting for "db-7" .* 0/1 '),
        ):
            self.stderr = terminal = base.Terminal()
            self.trove.add('db-7')
            self.assertEqual(0, self.ping('db-7', *arguments))
            self.assertRegex(terminal.text().strip(), rf'\A{shown}')

    def test_the_shell_is_left_as_it_was(self) -> None:
        """Other commands may follow in the same shell."""
        api = self.trove.client()
        library = logging.getLogger('troveclient_rpcping')
        seen = []

        def answer(request: base.Request) -> replies.Reply:
            seen.append((api.client.session.timeout, library.level))
            return fixture.reachable()

        api = self.connect(self.serve(answer).url)
        self.assertEqual(0, self.ping(base.GUEST, api=api))
        self.assertEqual([(61.0, logging.INFO)], seen)
        self.assertIsNone(api.client.session.timeout)
        self.assertEqual(logging.NOTSET, library.level)

    def test_a_failed_login_leaves_no_timeout_behind(self) -> None:
        """Other commands may follow in the same shell."""

        class Refused(Clients):
            auth_ref = property(
                lambda self: raise_(ksa_exceptions.Unauthorized('no'))
            )

        api = self.trove.client()
        self.assertRaises(
            *(osc_exceptions.CommandError, self.ping, base.GUEST),
            client_manager=Refused(api),
        )
        self.assertIsNone(api.client.session.timeout)

    def test_nothing_is_asked_if_there_is_nowhere_to_print(self) -> None:
        """Neither the ping nor a monitor without metrics begins."""
        self.stdout = None
        for command in (self.ping, self.watch):
            error = self.assertRaises(
                osc_exceptions.CommandError, command, base.GUEST
            )
            self.assertIn('tandard output', str(error))
        self.assertEqual([], self.trove.requests)

    def test_an_output_that_fails_is_an_error_in_words(self) -> None:
        """A monitor without metrics ends, too."""
        self.trove.add(base.GUEST, fixture.agent_error())
        self.stdout = Full()
        for command in (self.ping, self.watch):
            error = self.assertRaises(
                osc_exceptions.CommandError, command, base.GUEST
            )
            self.assertEqual('No space left on device', str(error))

    def test_a_guest_that_is_not_yet_stable_is_unknown(self) -> None:
        """It stays unknown although its last ping went well."""
        self.trove.add('db-7')
        status = self.ping(
            *('db-7', '--wait', '4', '--stable', '2', '--interval', '100'),
            *('-f', 'value', '-c', 'Verdict', '-c', 'Detail'),
        )
        said = 'unknown Reachable 1 of 2 times in a row by the end\n'
        self.assertEqual((exits.UNKNOWN, said), (status, self.printed()))
        self.assertRegex(
            self.stderr.getvalue(), r'\AGuest db-7 is unknown.* name "db-7"\)$'
        )

    def test_a_wait_outlives_a_listing_that_fails(self) -> None:
        """The failure is printed once, and the wait goes on."""
        self.trove.add('db-7')
        broken = fixture.fault(500, 'instanceFault', 'Broken')
        failures = iter([broken, broken])

        def answer(request: base.Request) -> Any:
            if request.target.endswith('/rpc_ping'):
                return fixture.reachable()
            return next(failures, LISTING)

        self.stdin = io.TextIOWrapper(io.BytesIO(b'db-7\n'))
        status = self.ping(
            *('--from-file', '-', '--wait', str(base.LONG)),
            *('--interval', '0.1'),
            api=self.connect(self.serve(answer).url),
        )
        self.assertEqual(0, status)
        self.assertRegex(
            self.stderr.getvalue(),
            r'\Awaiting: The instances could not be listed: Broken\n'
            r'Guest \S+ is reachable after .* \(name "db-7"\)\.\n\Z',
        )

    def test_a_wait_does_not_outlive_its_time_for_a_listing(self) -> None:
        """A listing that fails to the end, or hangs, is an error."""
        for listing in (
            fixture.fault(500, 'instanceFault', 'Broken'),
            fixture.silence(),
        ):
            self.trove.listing = listing
            began = time.monotonic()
            self.assertRaises(
                osc_exceptions.CommandError, self.ping, 'db-7', '--wait', '1.5'
            )
            self.assertGreater(time.monotonic(), began + 0.4)

    def test_a_wait_ends_if_the_user_may_not_list(self) -> None:
        """The rights would not change during the wait."""
        self.trove.listing = fixture.denied()
        self.assertRaises(
            osc_exceptions.CommandError,
            self.ping,
            'db-7',
            '--wait',
            str(base.LONG),
        )
        self.assertEqual('', self.stderr.getvalue())

    def test_the_options_choose_rows_and_columns(self) -> None:
        """The exit status counts all guests, also those without a row."""
        self.trove.add('up')
        self.trove.add('dead', fixture.agent_timeout())
        self.trove.add('failed', fixture.agent_error())
        self.trove.add('not-asked', fixture.compute_error())
        named = '-f value -c Name'
        for line, status, printed in (
            # A repair gets no guest of unknown state.
            (f'--all --bad-only {named}', 3, 'dead\nfailed\n'),
            (f'--all --failed-only {named}', 3, 'dead\nfailed\nnot-asked\n'),
            # A named column is there, for the rows or for their order.
            (f'dead up {named} -c Reason', 3, 'dead agent-timeout\nup \n'),
            (f'dead up {named} -c status', 3, 'dead ACTIVE\nup ACTIVE\n'),
            (f'dead up {named} --sort-column Verdict', 3, 'up\ndead\n'),
            # A row without an RTT comes last, and no field is None.
            (f'nosuch up {named} --sort-column RTT', 1, 'up\nnosuch\n'),
            ('nosuch -f value -c RTT', 1, '\n'),
            # Other formats than tables print their own empty list.
            ('up --bad-only', 0, ''),
            ('up --bad-only -f value', 0, ''),
            ('up --bad-only -f json', 0, r'\[\]\n'),
            ('up --bad-only --print-empty', 0, r'.*\| Verdict \|.*'),
            # The columns of several pings would repeat the RTT for people.
            ('up --long', 0, r'(?!.*(RTT Min|Sent)).*'),
            ('up --long --count 1', 0, '.*Sent.*RTT Min.*'),
            ('up --long -f json', 0, '.*Sent.*RTT Min.*'),
            ('up --long -c Sent -c RTT_Min', 0, '.*Sent.*RTT Min.*'),
        ):
            self.stdout = io.StringIO()
            self.assertEqual(status, self.ping(*line.split()), line)
            self.assertRegex(self.printed(), rf'(?s)\A{printed}\Z')

    def test_a_listing_is_made_for_the_columns_that_need_it(self) -> None:
        """An ID alone does not need a listing."""
        self.trove.add(base.GUEST)
        for column, listings in (('Reason', 0), ('Status', 1)):
            self.ping(base.GUEST, '-c', column)
            asked = [request.target for request in self.trove.requests]
            listed = [path for path in asked if 'rpc_ping' not in path]
            self.assertEqual(listings, len(listed), column)

    def test_an_empty_file_is_a_success(self) -> None:
        """--failed-only writes such a file where all guests are well."""
        self.trove.add(base.GUEST)
        empty = self.folder / 'failed'
        empty.write_text('')
        file = ('--from-file', str(empty))
        self.assertEqual(0, self.ping(*file))
        self.assertEqual('', self.printed())
        self.assertEqual(
            'The file names no instance: nothing was pinged.\n',
            self.stderr.getvalue(),
        )
        self.assertEqual([], self.trove.pinged)
        for options in (('--wait', '60'), ('--count', '2')):
            self.assertEqual(0, self.ping(*file, *options))
        self.assertEqual(0, self.ping(base.GUEST, *file))
        self.assertEqual([base.GUEST], self.trove.pinged)

    def test_a_table_that_is_too_wide_becomes_records(self) -> None:
        """A terminal gets each row as lines that a person can read."""
        self.trove.add('db-7', fixture.agent_timeout())
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        termios.tcsetwinsize(theirs, (24, 80))
        with open(theirs, 'w') as terminal:
            self.stdout = terminal  # type: ignore[assignment]
            self.ping('db-7', '--long')
        lines = base.read_terminal(ours).splitlines()
        self.assertEqual('ID              db-7', lines[0])
        self.assertIn('Verdict         unreachable', lines)
        self.assertIn('Status          ACTIVE', lines)
        self.assertEqual([], [line for line in lines if len(line) > 80])

    def test_a_mistake_is_found_before_any_request(self) -> None:
        """A file without a name is a variable of a script that is not set."""
        for arguments in (
            ('--all', '--bad-only', '--failed-only'),
            (base.GUEST, '--textfile', ''),
            (base.GUEST, '--from-file', ''),
        ):
            with fixtures.MonkeyPatch('sys.stderr', io.StringIO()):
                self.assertRaises(SystemExit, self.ping, *arguments)
        log = self.useFixture(fixtures.FakeLogger())
        both = (self.ping, self.watch)
        file = f'x --textfile {self.textfile}'
        for commands, line, words in (
            (both, 'x --all', r'\Aopenstack: error: --all .*\(see --help\)'),
            (both, '', 'name an instance'),
            (both, 'x --project x', '--project, --datastore and --status go'),
            (both, '--all --exclude -', '--exclude takes no standard input'),
            (both[:1], 'x --wait 1 --count 2', 'exclude each other'),
            (both[:1], 'x --count 2 --stable 2', '--stable goes with --wait'),
            (both[:1], 'x --interval 1', '--interval goes with --count or'),
            (both[:1], '--all -c Foo', 'there is no column "Foo": give'),
            (both[:1], '--all --sort-column Foo', 'there is no column "Foo"'),
            (both, 'x --label a=b', '--label goes with --textfile or --list'),
            (
                *(both, f'{file} --label a=b --label a=c'),
                'the label a is given twice',
            ),
            # A certificate without --listen would protect nothing.
            (both[1:], 'x --listen-cert x', '--listen-cert goes with --list'),
            (both[1:], 'x --listen 0 --listen-key x', 'go with --listen-cert'),
            (both[1:], 'x --listen 0 --listen-client-ca x', '-ca go with'),
        ):
            for command in commands:
                self.assertEqual(exits.USAGE, command(*line.split()), line)
                said = log.output.splitlines()[-1]
                self.assertRegex(said, words)
        self.assertEqual([], self.trove.requests)

    def test_a_textfile_that_cannot_be_written_is_a_failure(self) -> None:
        """Monitoring would go on reading the old file."""

        def answer(request: base.Request) -> replies.Reply:
            if not request.target.endswith('/rpc_ping'):
                return NOBODY
            # It was there when the sweep began.
            self.lose_folder()
            return fixture.reachable()

        status = self.ping(
            *(base.GUEST, '--textfile', str(self.textfile)),
            api=self.connect(self.serve(answer).url),
        )
        self.assertEqual(exits.UNKNOWN, status)
        self.assertRegex(
            self.stderr.getvalue(),
            rf'\ACannot write {self.textfile}: No such file or directory\n\Z',
        )
        self.assertIn('reachable', self.printed())


class MonitorTest(TestCase):
    def test_it_goes_on_when_the_last_guest_is_deleted(self) -> None:
        """New guests may come."""

        def delete() -> None:
            self.trove.listing = NOBODY

        def create() -> None:
            self.trove.listing = None

        self.trove.add('db-7', fixture.agent_timeout())
        self.stdout = Script(delete, create, interrupt)
        self.watched(
            '--all',
            printed=r'\S+ db-7 new -> unreachable "db-7"\n'
            r'\S+ db-7 unreachable -> gone after \w+ "db-7"\n'
            r'\S+ db-7 new -> unreachable "db-7"\n\Z',
        )

    def test_an_output_that_fails_does_not_end_its_metrics(self) -> None:
        """The monitor reports the error, and sweeps on."""
        self.trove.add('db-7', fixture.agent_error(), fixture.reachable())
        self.stdout = Full()
        self.stderr = Script(nothing, nothing, interrupt)
        self.watched(
            *('--all', '--textfile', str(self.textfile)),
            said=r'Watching .*\n(Cannot print what changes: No space .*\n){2}',
        )
        self.assertIn(
            'trove_guest_rpc_sweeps_total{outcome="done"} 2.0',
            self.textfile.read_text(),
        )
        # The first sweep was written; a mistake in the path would have shown.
        self.trove.add('db-7', fixture.reachable(), fixture.agent_timeout())
        self.stdout = Script(self.lose_folder)
        self.stderr = Script(nothing, nothing, interrupt)
        self.watched(
            *('--all', '--textfile', str(self.textfile)),
            said=r'Watching 1 guest: .*\n'
            rf'(Cannot write {self.textfile}: No such file .*\n){{2}}',
        )

    def test_standard_input_is_read_once(self) -> None:
        """It names the guests of every sweep."""
        self.stdin = io.TextIOWrapper(io.BytesIO(b'db-7\n'))
        self.trove.add('db-7', fixture.reachable(), fixture.agent_timeout())
        self.stdout = Script(interrupt)
        self.watched(
            *('--from-file', '-'),
            printed='.* reachable -> unreachable',
            said='Watching .*\n',
        )

    def test_a_file_may_name_its_first_guest_later(self) -> None:
        """The file is read again before each sweep."""
        self.trove.add('db-7', fixture.agent_timeout())
        file = self.folder / 'watched'
        file.write_text('# none\n')

        def name() -> None:
            file.write_text('db-7\n')

        self.stdout = Script(interrupt)
        self.stderr = Script(nothing, name)
        self.watched(
            *('--from-file', str(file)),
            printed='.* new -> unreachable',
            said='The file names no instance so far\nWatching 0 guests: .*\n',
        )

    def test_a_name_without_an_instance_is_reported_at_the_start(self) -> None:
        """Once an instance bears the name, it is watched."""

        def create() -> None:
            self.trove.add('db-8', fixture.agent_timeout())

        self.trove.add('db-7')
        self.stdout = Script(interrupt)
        self.stderr = Script(nothing, create)
        self.watched(
            *('db-7', 'db-8'),
            printed='.* db-8 new -> unreachable',
            said='No instance is named "db-8" so far. Similar names: "db-7"\n'
            'Watching 2 guests: 1 reachable, .*, 1 unknown\n',
        )

    def test_a_name_that_a_tenant_takes_costs_nothing(self) -> None:
        """The first guest of the name, and all others, are still watched.

        The double name is reported once.
        """

        def take() -> None:
            self.trove.add(
                inventory.Instance(id='evil', name='db-7'), fixture.reachable()
            )
            self.trove.add('db-8', fixture.agent_error('disk is full'))

        def die() -> None:
            self.trove.add('db-7', fixture.agent_error('no such file'))

        self.trove.add('db-7')
        self.trove.add('db-8')
        self.stdout = Script(die, interrupt)
        self.stderr = Script(take, nothing)
        self.watched(
            *('db-7', 'db-8'),
            printed=r'\S+ db-8 reachable -> error after \w+ \(.*\) "db-8"\n'
            r'\S+ db-7 reachable -> error after \w+ \(.*\) "db-7"\n\Z',
            said=r'Watching 2 guests: .*\n2 instances are named "db-7": db-7, '
            r'evil\. "db-7" still stands for db-7\.\n',
        )
        self.assertNotIn('evil', self.trove.pinged)


class DurationTest(TestCase):
    """How long a sweep of the monitor took, by a clock of the test."""

    def setUp(self) -> None:
        super().setUp()
        self.now = 0.0
        self.stdout = Script(interrupt)

    def run_until_interrupted(self, clients: Clients, *options: str) -> None:
        app = self.app(clients)
        parser = rpc_monitor.MonitorDatabaseInstances(app, None).get_parser('')
        monitor = sweep_forever.SweepForever(
            app,
            parser.parse_args([base.GUEST, *options]),
            clock=lambda: self.now,
        )
        self.assertRaises(KeyboardInterrupt, monitor.run)

    def test_a_sweep_that_takes_too_long_is_reported_once(self) -> None:
        """The sweeps may take about as long as the interval."""
        sweeps = iter(
            [
                *((90.0, fixture.reachable()), (0.0, fixture.reachable())),
                *((90.0, fixture.reachable()), (0.0, fixture.agent_error())),
            ]
        )

        def answer(request: base.Request) -> replies.Reply:
            if not request.target.endswith('/rpc_ping'):
                return NOBODY
            seconds, reply = next(sweeps)
            self.now += seconds
            return reply

        api = self.connect(self.serve(answer).url)
        self.run_until_interrupted(Clients(api), '--interval', '0.01')
        said = self.stderr.getvalue()
        self.assertEqual(1, said.count('A sweep took 1 min 30 s, longer'))

    def test_the_login_is_not_a_part_of_the_first_sweep(self) -> None:
        """A person may have to type a password."""

        def log_in(clients: Clients) -> None:
            self.now += 90.0

        class Slow(Clients):
            auth_ref = property(log_in)

        self.trove.add(base.GUEST, fixture.agent_error())
        self.run_until_interrupted(
            *(Slow(self.trove.client()), '--textfile', str(self.textfile))
        )
        self.assertIn(
            'last_sweep_duration_seconds 0.0\n', self.textfile.read_text()
        )


class InterruptsTest(testtools.TestCase):
    def test_sigterm_ends_the_command_only(self) -> None:
        """Afterwards, the program has its old handler again."""
        before = signal.getsignal(signal.SIGTERM)
        app: Any = types.SimpleNamespace(stdout=None)
        parser: Any = None

        def act() -> int:
            signal.raise_signal(signal.SIGTERM)
            return 0

        status = shell.run(app, parser, None, act)
        self.assertEqual(exits.TERMINATED, status)
        self.assertIs(before, signal.getsignal(signal.SIGTERM))

    def test_in_another_thread_nothing_changes(self) -> None:
        """Only the main thread may set handlers."""
        handlers: list[object] = []

        def work() -> None:
            with shell.handled(signal.SIGHUP, signal.SIG_IGN):
                handlers.append(signal.getsignal(signal.SIGHUP))

        before = [signal.getsignal(signal.SIGHUP)]
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertEqual(before, handlers)
