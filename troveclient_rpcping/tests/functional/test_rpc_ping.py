# SPDX-License-Identifier: Apache-2.0

"""``openstack database instance rpc ping`` against real servers."""

import csv
import functools
import io
import json
import re
import signal
import sys
from typing import Any
import urllib.parse
import uuid

import yaml

from troveclient_rpcping.tests import base as http
from troveclient_rpcping.tests.functional import base

UUID = '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'
REQUEST = rf' \(request ID req-{UUID}(, name "[\w-]+")?\)'
BARE = UUID.replace('(', '(?:')
NOBODY = '00000000-0000-0000-0000-000000000000'


class TableOfFactsTest(base.TestCase):
    """The replies of Trove that the sandbox can produce."""

    def assert_pinged(
        self,
        instance: str,
        verdict: str,
        stderr: str = '',
        detail: str | None = None,
    ) -> None:
        """Ping a guest; the exit status follows from its verdict."""
        run = self.ping(instance, stderr=[stderr] if stderr else [])
        (row,) = run.rows
        self.assertEqual(verdict, row['Verdict'])
        if detail is not None:
            self.assertEqual(detail, row['Detail'])
        self.assertEqual(
            {'reachable': 0, 'unknown': 1}.get(verdict, 3), run.status
        )

    def test_each_guest_has_its_verdict(self) -> None:
        """Each row has the reply of Trove that it stands for."""
        unready, deleted = map(self.id_of, ('db-unready', 'db-deleted'))
        for arguments in (
            # 204
            ('db-healthy', 'reachable', '', ''),
            ('db-slow', 'reachable', '', ''),
            # 400: Trove's own timeout.
            (
                *('db-dead', 'unreachable'),
                rf'Guest {UUID} is unreachable: .*{REQUEST}',
                'Timeout trying to connect to the Guest Agent.',
            ),
            # 400: the agent answers that it has no rpc_ping, so RPC works.
            (
                *('db-old', 'reachable', ''),
                'Endpoint does not support RPC method rpc_ping.',
            ),
            # 400: the text of the agent, without traceback and escapes.
            (
                *('db-failing', 'error'),
                rf'Guest {UUID} is in error: .* "disk is full"\. .*{REQUEST}',
                'disk is full',
            ),
            # 422: the guest has no server.
            (
                *('db-unready', 'unknown'),
                rf'Guest {UUID} is unknown: Trove cannot ask it now: '
                '.*"db-unready".*',
                f'Instance {unready} is not ready.',
            ),
            # 404: the ID never existed, or the instance was deleted.
            *(
                (
                    *(id_, 'unknown'),
                    rf'Guest {id_} is unknown: There is no such instance.*',
                    f'Resource {id_} cannot be found.',
                )
                for id_ in (NOBODY, deleted)
            ),
            # The listing lacks deleted instances.
            (
                *('db-deleted', 'unknown'),
                'Guest "db-deleted" is unknown: No instance has this name.*',
                'No instance has this name',
            ),
        ):
            self.assert_pinged(*arguments)

    def test_a_fault_of_the_control_plane_leaves_a_guest_unknown(self) -> None:
        """The guest was well a moment ago, and only its own death counts."""
        guest = self.id_of('db-healthy')
        box = self.sandbox
        for fault, words in (
            # 400: Trove did not ask the guest.
            (
                functools.partial(box.set_nova, 'broken'),
                f'.* Look at Nova, .*{REQUEST}',
            ),
            # 422
            (
                functools.partial(box.set_nova, 'missing'),
                'Trove cannot ask it now: .* is not ready.*',
            ),
            # 500: Trove cannot even connect to Nova.
            (
                functools.partial(box.kill, 'cloud'),
                f'The Trove API failed, .*{REQUEST}',
            ),
            # A refused connection.
            (
                functools.partial(box.kill, 'trove-api'),
                'The Trove API cannot be reached: .*',
            ),
        ):
            fault()
            self.assert_pinged(
                guest, 'unknown', rf'Guest {UUID} is unknown: {words}'
            )
            box.mend()
        box.set_guest('db-healthy', 'dead')
        self.assert_pinged(guest, 'unreachable', 'Guest .* is unreachable: .*')
        box.set_guest('db-healthy', 'answering')
        self.assert_pinged(guest, 'reachable')

    def test_a_user_without_the_role_is_denied(self) -> None:
        """401: an ID has a row. A name needs the listing."""
        for instance, stdout, words in (
            (
                self.id_of('db-healthy'),
                '"Verdict": "unknown"',
                'Guest .* is unknown: The API refuses this user: .*',
            ),
            (
                'db-healthy',
                '',
                'The instances could not be listed: User does not have admin '
                r'privileges\. Only an administrator may ping; .*',
            ),
        ):
            run = self.ping(instance, cloud='sandbox-member', stderr=[words])
            self.assertEqual(1, run.status)
            self.assertIn(stdout, run.stdout)
            self.assertEqual(bool(stdout), bool(run.stdout))

    def test_a_keystone_that_is_gone_is_said(self) -> None:
        """Without a login there are no rows, and the exit status is 1."""
        self.sandbox.kill('keystone')
        self.assert_failed(
            self.ping(self.id_of('db-healthy'), stderr=None),
            'No login: .* cannot be reached: Connection refused.*',
        )


class LookupTest(base.TestCase):
    def test_an_ambiguous_name_lists_the_ids(self) -> None:
        """The command pings no guest."""
        twins = sorted(
            str(guest.id)
            for guest in self.sandbox.guests.values()
            if guest.name == 'db-twin'
        )
        run = self.ping('db-twin', stderr=None)
        self.assert_failed(
            run,
            rf'2 instances are named "db-twin": {UUID}, {UUID}\. Ask for one '
            r'of them by its ID\.',
        )
        self.assertEqual(twins, sorted(re.findall(BARE, run.stderr)))

    def test_an_unknown_name_does_not_hold_up_the_others(self) -> None:
        """Its row is unknown. A member of a cluster is found by its name.

        A guest that is given by its name and by its ID is one row.
        """
        guest = self.id_of('db-clustered')
        run = self.ping(
            *('nosuch', 'db-clustered', guest), stderr=['2 guests: 1 rea.*']
        )
        self.assertEqual(
            [('nosuch', 'unknown'), ('db-clustered', 'reachable')],
            [(row['Name'], row['Verdict']) for row in run.rows],
        )
        self.assertEqual(1, run.status)


class OutputTest(base.TestCase):
    def formatted(self, formatter: str, *arguments: str) -> str:
        """Return the rows of an unknown and of a reachable guest."""
        return self.sweep(
            *(*base.PING, '-f', formatter, 'nosuch', 'db-healthy', *arguments)
        ).stdout

    def test_programs_get_numbers(self) -> None:
        """The RTT is in seconds; without one the field is null, or empty.

        People read units.
        """
        unknown, reachable = json.loads(self.formatted('json'))
        self.assertEqual(
            ['ID', 'Name', 'Verdict', 'RTT', 'Detail'], list(reachable)
        )
        self.assertIsInstance(reachable['RTT'], float)
        self.assertIsNone(unknown['RTT'])
        rows = yaml.safe_load(self.formatted('yaml'))
        self.assertIsInstance(rows[1]['RTT'], float)
        text = self.formatted('csv', '--long')
        self.assertNotIn('None', text)
        rows = list(csv.DictReader(io.StringIO(text)))
        self.assertGreater(float(rows[1]['RTT']), 0)
        self.assertRegex(
            self.formatted('table'), r'\| reachable \| +[0-9.]+ m?s \|'
        )

    def test_long_shows_what_the_listing_knows(self) -> None:
        """It reads the listing for an ID too."""
        run = self.ping('--long', self.id_of('db-healthy'))
        (row,) = run.rows
        self.assertEqual('mysql 8.0', row['Datastore'])
        self.assertEqual('ACTIVE', row['Status'])
        self.assertEqual('db-healthy', row['Name'])
        self.assertRegex(row['Request ID'], f'req-{UUID}')
        self.assertRegex(row['Last Heartbeat'], r'^\d{4}-\d\d-\d\dT')

    def test_quiet_leaves_the_rows_and_the_exit_status(self) -> None:
        """There is no summary and no advice."""
        run = self.openstack('-q', *base.PING, '-f', 'json', 'db-failing')
        self.assertEqual('error', run.rows[0]['Verdict'])
        self.assertEqual(3, run.status)

    def test_debug_shows_the_requests_but_neither_token_nor_escapes(
        self,
    ) -> None:
        """The whole text of the guest is there, without escapes."""
        # Not by start(): the traceback of the guest is expected.
        log = base.run(
            *(base.program('openstack'), '--debug', *base.PING, 'db-failing'),
            env=self.sandbox.env(),
        ).stderr
        self.assertRegex(log, rf'GET http.*/mgmt/instances/{UUID}/rpc_ping')
        self.assertIn('| Traceback', log)
        token = self.openstack('token', 'issue', '-f', 'value', '-c', 'id')
        prefix = token.stdout[:6]
        self.assertNotRegex(log, rf'X-Auth-Token: {prefix}')
        self.assertNotRegex(log, '[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]')

    def test_timing_shows_the_ping(self) -> None:
        """The ping is listed with the other requests."""
        run = self.openstack('--timing', *base.PING, 'db-healthy')
        self.assertRegex(run.stdout, rf'GET http.*{UUID}/rpc_ping +\|')

    def shell(self, line: str, **env: str) -> base.Run:
        """Run a line of bash, in which $PING is the command."""
        ping = ' '.join([base.program('openstack'), *base.PING])
        return base.run(
            *('bash', '-c', line),
            env={**self.sandbox.env(), 'PING': ping, **env},
            errors='replace',
        )

    def test_a_broken_stream_does_not_change_the_exit_status(self) -> None:
        """A row that cannot be printed changes it. No traceback is printed."""
        closed = '$PING {} | :; exit ${{PIPESTATUS[0]}}'
        rows = '-f value -c Verdict'
        for line, status, stdout, stderr in (
            (f'$PING {rows} db-healthy 2>&-', 0, 'reachable\n', ''),
            (f'$PING {rows} db-failing 2>&-', 3, 'error\n', ''),
            ('$PING --from-file - <&-', 1, '', 'Standard input is closed\n'),
            # ``| head`` closes the pipe early.
            (closed.format('db-healthy'), 141, '', ''),
            (
                '$PING db-healthy >/dev/full',
                *(1, '', '.*No space left on device\n'),
            ),
            (
                f'{{ {closed.format(f"{rows} db-failing 2>&1 >&3")}; }} 3>&1',
                *(3, 'error\n', ''),
            ),
        ):
            run = self.shell(line)
            self.assertEqual((status, stdout), (run.status, run.stdout), line)
            self.assertRegex(run.stderr, rf'\A{stderr}\Z')

    def test_letters_that_stdout_lacks_do_not_hide_the_rows(self) -> None:
        """A tenant may use letters that the terminal does not have."""
        run = self.shell(
            '$PING -f value -c Name -c Verdict größe db-healthy',
            LC_ALL='C',
            PYTHONUTF8='0',
            PYTHONCOERCECLOCALE='0',
            PYTHONIOENCODING='ascii',
        )
        self.assertEqual(1, run.status)
        self.assertIn('db-healthy reachable', run.stdout)

    def test_a_usage_error_does_not_end_the_interactive_shell(self) -> None:
        """The shell runs the next command."""
        run = base.run(
            base.program('openstack'),
            env=self.sandbox.env(),
            stdin=None,
            input=f'{" ".join(base.PING)}\n'
            f'{" ".join(base.PING)} -f value -c Verdict db-healthy\n',
        )
        self.assertIn('name an instance', run.stderr)
        self.assertIn('reachable', run.stdout)


class UsageTest(base.TestCase):
    def test_wrong_usage_is_exit_status_2(self) -> None:
        """One line says what to do."""
        for arguments in (
            (),
            ('--timeout', '0', 'x'),
            ('--nosuch', 'x'),
            ('--wait', 'x'),
        ):
            run = self.sweep(*base.PING, *arguments)
            self.assertEqual(2, run.status, str(arguments))
            (line,) = run.stderr.splitlines()
            self.assertRegex(line, r'\A.* error: .* \(see --help\)\Z')

    def test_the_help_says_what_the_exit_statuses_mean(self) -> None:
        """The exit statuses are a contract."""
        run = self.openstack('help', *base.PING)
        words = ' '.join(run.stdout.split())
        self.assertIn('Exit status: 0 if every guest', words)

    def test_other_commands_load_no_more_than_its_command_line(self) -> None:
        """cliff loads the module of every command; ours are small."""
        program = (
            'import sys\n'
            'from openstackclient import shell\n'
            'shell.main(["database", "instance", "list", "-f", "json"])\n'
            'print(*sys.modules, file=sys.stderr)\n'
        )
        run = base.run(sys.executable, '-c', program, env=self.sandbox.env())
        loaded = run.stderr.split()
        self.assertEqual(
            [
                'troveclient_rpcping',
                'troveclient_rpcping.osc',
                'troveclient_rpcping.osc.rpc_monitor',
                'troveclient_rpcping.osc.rpc_ping',
            ],
            [name for name in loaded if name.startswith('troveclient_rpc')],
        )
        self.assertNotIn('pycurl', loaded)


class OtherServerTest(base.TestCase):
    """The command and a server that is not Trove."""

    def begin(self, answer: Any, *arguments: str) -> base.Command:
        self.server = self.serve(answer)
        return self.start(
            *('--os-auth-type', 'admin_token', '--os-token', 'secret'),
            *('--os-endpoint', self.server.url),
            *(*base.PING, '-f', 'json', *arguments),
            cloud='',
        )

    def ask(self, answer: Any, *arguments: str, stderr: str) -> base.Run:
        return self.end(self.begin(answer, *arguments), stderr.splitlines())

    def silent(self, request: http.Request) -> None:
        """Answer nothing until the end of the test."""
        self.server.done.wait()

    def interrupt(
        self, number: int, requests: int, answer: Any, *arguments: str
    ) -> base.Run:
        """Send a signal when the server has got N requests."""
        command = self.begin(answer, *arguments)
        self.wait_until(command, lambda: len(self.server.requests) >= requests)
        command.process.send_signal(number)
        return self.end(command)

    def test_a_signal_prints_what_is_known(self) -> None:
        """The other guests are unknown; the exit status names the signal."""
        guests = [str(uuid.UUID(int=n)) for n in range(3)]

        def answer(request: http.Request) -> bytes | None:
            if guests[0] in request[0]:
                return http.PONG
            self.silent(request)
            return None

        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            # Before a guest is known, there is nothing to print.
            run = self.interrupt(number, 1, self.silent, '--all')
            self.assertEqual(base.Run(status, '', ''), run)
            run = self.interrupt(
                number, 2, answer, '--concurrency', '1', *guests
            )
            self.assert_lines(
                run.stderr.splitlines(),
                [
                    '3 guests: 1 reachable, .* 2 unknown .*',
                    '2 of 3 guests: The sweep ended early: .*',
                ],
            )
            self.assertEqual(
                ['reachable', 'unknown', 'unknown'],
                [row['Verdict'] for row in run.rows],
            )
            self.assertEqual(status, run.status)

    def test_ten_thousand_guests_are_listed_and_swept(self) -> None:
        """The listing has ten pages, and the output is valid JSON."""
        instances = [
            {'id': str(uuid.UUID(int=n)), 'name': f'db-{n}'}
            for n in range(10_000)
        ]

        def answer(request: http.Request) -> bytes:
            url = urllib.parse.urlsplit(request[0])
            if url.path.endswith('/rpc_ping'):
                return http.PONG
            query = urllib.parse.parse_qs(url.query)
            begin = int(query.get('marker', ['0'])[0])
            end = begin + int(query['limit'][0])
            body: dict[str, Any] = {'instances': instances[begin:end]}
            if end <= len(instances):
                href = f'https://x/mgmt/instances?marker={end}'
                body['links'] = [{'rel': 'next', 'href': href}]
            return http.raw('200 OK', json.dumps(body).encode())

        run = self.ask(
            answer, '--all', stderr='10000 guests: 10000 reachable, .*'
        )
        self.assertEqual(10_000, len({row['ID'] for row in run.rows}))
        self.assertEqual(0, run.status)

    def test_the_deadline_is_for_the_listing_too(self) -> None:
        """The listing cannot hold the command longer."""
        for arguments in (('--all',), ('db-1',)):
            run = self.ask(
                self.silent,
                *arguments,
                *('--deadline', '1'),
                stderr='The instances could not be listed: The deadline .*',
            )
            self.assertEqual((1, ''), (run.status, run.stdout))

    def test_after_the_deadline_the_rest_is_not_asked(self) -> None:
        """A ping that runs at the deadline has no answer."""
        run = self.ask(
            self.silent,
            *('--concurrency', '1', '--deadline', '2', NOBODY, http.GUEST),
            stderr='2 guests: 0 reachable, .* 2 unknown .*\n'
            '1 of 2 guests: The deadline passed before an answer came.*\n'
            '1 of 2 guests: The sweep ended early: "The deadline .*',
        )
        self.assertEqual(1, run.status)
