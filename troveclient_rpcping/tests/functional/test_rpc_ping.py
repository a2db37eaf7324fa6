#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""``openstack database instance rpc ping`` against real servers."""

from collections.abc import Iterator
import csv
import io
import json
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
NOBODY = '00000000-0000-0000-0000-000000000000'


class TableOfFactsTest(base.TestCase):
    """The replies of Trove that the sandbox can produce, row by row."""

    def assert_pinged(
        self, instance: str, status: int, stderr: str, **row: Any
    ) -> None:
        run = self.ping(instance, stderr=[stderr] if stderr else [])
        (actual,) = run.rows
        self.assertEqual(row, {key: actual[key] for key in row})
        self.assertEqual(status, run.status)

    def test_an_answering_guest_is_reachable(self) -> None:
        """204: the exit status is 0, and stderr is empty."""
        self.assert_pinged('db-healthy', 0, '', Verdict='reachable', Detail='')

    def test_a_dead_guest_is_unreachable(self) -> None:
        """400 with Trove's timeout: the row has it, the exit status is 3."""
        self.assert_pinged(
            'db-dead',
            3,
            rf'Guest {UUID} is unreachable: .*{REQUEST}',
            Verdict='unreachable',
            Detail='Timeout trying to connect to the Guest Agent.',
        )

    def test_a_guest_that_is_stopped_turns_unreachable_and_back(self) -> None:
        """Each ping reports the present state of the guest."""
        self.sandbox.set_guest('db-healthy', 'dead')
        self.assert_pinged(
            'db-healthy',
            3,
            'Guest .* is unreachable: .*',
            Verdict='unreachable',
        )
        self.sandbox.set_guest('db-healthy', 'answering')
        self.assert_pinged('db-healthy', 0, '', Verdict='reachable')

    def test_an_old_agent_is_reachable(self) -> None:
        """400: the agent answers that it has no rpc_ping, so RPC works."""
        self.assert_pinged(
            'db-old',
            0,
            '',
            Verdict='reachable',
            Detail='Endpoint does not support RPC method rpc_ping.',
        )

    def test_a_failing_agent_is_an_error_in_one_clean_line(self) -> None:
        """400: the traceback and the escapes are removed."""
        self.assert_pinged(
            'db-failing',
            3,
            rf'Guest {UUID} is in error: .* "disk is full"\. '
            rf'.*{REQUEST}',
            Verdict='error',
            Detail='disk is full',
        )

    def test_a_slow_guest_is_reachable(self) -> None:
        """The agent answers before Trove gives up."""
        self.assert_pinged('db-slow', 0, '', Verdict='reachable')

    def test_a_broken_nova_leaves_the_guest_unknown(self) -> None:
        """400: Trove did not ask the guest, and the exit status is 1."""
        self.sandbox.set_nova('broken')
        self.assert_pinged(
            self.id_of('db-healthy'),
            1,
            rf'Guest {UUID} is unknown: .* Look at Nova, .*{REQUEST}',
            Verdict='unknown',
        )

    def test_a_guest_without_a_server_is_not_ready(self) -> None:
        """422: Trove cannot ask the guest."""
        self.assert_pinged(
            'db-unready',
            1,
            rf'Guest {UUID} is unknown: Trove cannot ask it now: '
            '.*"db-unready".*',
            Verdict='unknown',
            Detail=f'Instance {self.id_of("db-unready")} is not ready.',
        )

    def test_a_nova_that_lost_its_servers_leaves_the_guest_unknown(
        self,
    ) -> None:
        """422: the guest was well a moment ago."""
        self.sandbox.set_nova('missing')
        self.assert_pinged(
            self.id_of('db-healthy'),
            1,
            'Guest .* is unknown: Trove cannot ask it now: .* is not ready.*',
            Verdict='unknown',
        )

    def test_a_failing_api_leaves_the_guest_unknown(self) -> None:
        """500: Trove cannot even connect to Nova."""
        self.sandbox.kill('cloud')
        self.assert_pinged(
            self.id_of('db-healthy'),
            1,
            rf'Guest {UUID} is unknown: The Trove API failed, .*{REQUEST}',
            Verdict='unknown',
        )

    def test_a_missing_instance_is_not_found(self) -> None:
        """404: the exit status is 1."""
        self.assert_pinged(
            NOBODY,
            1,
            rf'Guest {NOBODY} is unknown: There is no such instance.*',
            Verdict='unknown',
            Detail=f'Resource {NOBODY} cannot be found.',
        )

    def test_a_deleted_instance_is_not_found(self) -> None:
        """404 for the ID; the listing does not have the name."""
        self.assert_pinged(
            self.id_of('db-deleted'),
            1,
            'Guest .* is unknown: There is no such instance.*',
            Verdict='unknown',
        )
        self.assert_pinged(
            'db-deleted',
            1,
            'Guest "db-deleted" is unknown: No instance bears this name.*',
            Detail='No instance bears this name',
        )

    def test_a_user_without_the_role_is_denied(self) -> None:
        """401 for an ID: the row reports it, and the exit status is 1."""
        run = self.ping(
            self.id_of('db-healthy'),
            cloud='sandbox-member',
            stderr=['Guest .* is unknown: The API refuses this user: .*'],
        )
        self.assertEqual('unknown', run.rows[0]['Verdict'])
        self.assertEqual(1, run.status)

    def test_a_user_without_the_role_cannot_look_up_names(self) -> None:
        """401 for the listing: one line says what to do."""
        run = self.ping(
            'db-healthy',
            cloud='sandbox-member',
            stderr=[
                'The instances could not be listed: User does not have admin '
                r'privileges\. Only an administrator may ping; .*'
            ],
        )
        self.assertEqual((1, ''), (run.status, run.stdout))

    def test_a_killed_api_leaves_the_guest_unknown(self) -> None:
        """A refused connection proves nothing about the guest."""
        instance = self.id_of('db-healthy')
        self.sandbox.kill('trove-api')
        self.assert_pinged(
            instance,
            1,
            'Guest .* is unknown: The Trove API cannot be reached: .*',
            Verdict='unknown',
        )

    def test_a_keystone_that_is_gone_is_said(self) -> None:
        """Without a login there are no rows, and the exit status is 1."""
        self.sandbox.kill('keystone')
        run = self.ping(
            self.id_of('db-healthy'),
            stderr=['No login: .* cannot be reached: Connection refused.*'],
        )
        self.assertEqual((1, ''), (run.status, run.stdout))


class LookupTest(base.TestCase):
    def test_members_of_clusters_are_found_by_name(self) -> None:
        """Trove lists them only with include_clustered."""
        self.assertEqual(0, self.ping('db-clustered').status)

    def test_an_ambiguous_name_lists_the_ids(self) -> None:
        """The command pings no guest."""
        twins = sorted(
            str(guest.id)
            for guest in self.sandbox.guests.values()
            if guest.name == 'db-twin'
        )
        self.assertEqual(2, len(twins))
        run = self.ping(
            'db-twin',
            stderr=[
                rf'2 instances are named "db-twin": {UUID}, {UUID}\. Ask for '
                r'one of them by its ID\.'
            ],
        )
        self.assertEqual((1, ''), (run.status, run.stdout))
        for twin in twins:
            self.assertIn(twin, run.stderr)

    def test_an_unknown_name_does_not_hold_up_the_others(self) -> None:
        """It is an unknown row, and the exit status is 1."""
        run = self.ping('nosuch', 'db-healthy', stderr=['2 guests: 1 rea.*'])
        self.assertEqual(
            [('nosuch', 'unknown'), ('db-healthy', 'reachable')],
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
        """The RTT is in seconds; without one the field is null, or empty."""
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

    def test_rows_can_be_sorted_by_rtt(self) -> None:
        """Rows without an RTT come last, and no field is None."""
        columns = ('-c', 'Name', '-c', 'RTT', '--sort-column', 'RTT')
        text = self.formatted('value', *columns)
        self.assertNotIn('None', text)
        healthy, rtt, nosuch = text.split()
        self.assertEqual(('db-healthy', 'nosuch'), (healthy, nosuch))
        self.assertGreater(float(rtt), 0)

    def test_the_table_has_units(self) -> None:
        """People read the table."""
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

    def test_a_guest_asked_for_twice_is_one_row(self) -> None:
        """The arguments are its name and its ID."""
        run = self.ping('db-healthy', self.id_of('db-healthy'))
        self.assertEqual(1, len(run.rows))

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

    def test_a_closed_stderr_does_not_change_the_exit_status(self) -> None:
        """The exit status is a contract."""
        for guest, status in (('db-healthy', 0), ('db-failing', 3)):
            run = self.shell(f'$PING -f value -c Verdict {guest} 2>&-')
            self.assertEqual(status, run.status, run.stdout)
            self.assertEqual(1, len(run.stdout.split()))

    def test_a_closed_stdin_is_said(self) -> None:
        """The error is one line."""
        run = self.shell('$PING --from-file - <&-')
        self.assertEqual(1, run.status)
        self.assertEqual('Standard input is closed\n', run.stderr)

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

    def test_a_closed_pipe_ends_it_quietly(self) -> None:
        """``| head`` closes the pipe early, and there is no traceback."""
        run = self.shell('$PING db-healthy | :; exit ${PIPESTATUS[0]}')
        self.assertEqual((141, ''), (run.status, run.stderr))

    def test_a_disk_that_is_full_is_said_in_a_line(self) -> None:
        """The exit status is 1, because the row could not be written."""
        run = self.shell('$PING db-healthy >/dev/full')
        self.assertRegex(run.stderr, r'\A.*No space left on device\n\Z')
        self.assertEqual(1, run.status)

    def test_a_summary_that_nobody_reads_changes_no_exit_status(self) -> None:
        """``2>&1 | head`` closes stderr like this."""
        run = self.shell(
            '{ $PING -f json db-failing 2>&1 >&3 | :; '
            'exit ${PIPESTATUS[0]}; } 3>&1'
        )
        self.assertIn('disk is full', run.stdout)
        self.assertEqual(3, run.status)


class UsageTest(base.TestCase):
    def test_wrong_usage_is_exit_status_2(self) -> None:
        """One line says what to do."""
        for arguments in (
            (),
            ('--timeout', '0', 'x'),
            ('--nosuch', 'x'),
            ('--all', 'x'),
            ('--project', 'x', 'x'),
            ('--wait', 'x'),
            ('--wait', '--count', '2', 'x'),
            ('--stable', '2', 'x'),
            ('--interval', '1', 'x'),
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

    def begin(
        self,
        answer: Any,
        *arguments: str,
        path: str = '',
        token: str = 'secret',  # noqa: S107 -- not a token
    ) -> base.Command:
        self.server = self.serve(answer)
        return self.start(
            *('--os-auth-type', 'admin_token', '--os-token', token),
            *('--os-endpoint', f'{self.server.url}{path}'),
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

    def test_a_signal_while_listing_is_quiet(self) -> None:
        """The exit status names the signal."""
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            run = self.interrupt(number, 1, self.silent, '--all')
            self.assertEqual(base.Run(status, '', ''), run)

    def test_a_signal_prints_what_is_known(self) -> None:
        """The other guests are unknown; the exit status names the signal."""
        guests = [str(uuid.UUID(int=n)) for n in range(3)]

        def answer(request: http.Request) -> bytes | None:
            if guests[0] in request[0]:
                return http.PONG
            self.silent(request)
            return None

        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            run = self.interrupt(
                number, 2, answer, '--concurrency', '1', *guests
            )
            self.assert_lines(
                run.stderr.splitlines(),
                [
                    '3 guests: 1 reachable, .* 2 unknown .*',
                    '2 of 3 guests: Not asked to the end: .*',
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

    def test_hostile_names_are_rows(self) -> None:
        """So are names in another encoding, and names with a dash."""
        listing = {'instances': [{'id': http.GUEST, 'name': '-x'}]}

        def answer(request: http.Request) -> bytes:
            if request.target.endswith('/rpc_ping'):
                return http.PONG
            return http.raw('200 OK', json.dumps(listing).encode())

        names = ['\udcff\udc80', '\x1b[31m\n', '../x', '\u202ex', '🐘']
        run = self.end(self.begin(answer, '--', *names, '-x'))
        self.assertEqual(
            ['unknown'] * 5 + ['reachable'],
            [row['Verdict'] for row in run.rows],
        )
        self.assertNotRegex(run.stdout, '[\x1b\u202e]')
        self.assertEqual(1, run.status)
        # One listing for all names, and the ping of the one that exists.
        self.assertEqual(2, len(self.server.requests))

    def test_what_cannot_be_sent_says_what_to_do(self) -> None:
        """The endpoint or the token is not ASCII: the exit status is 1."""
        for words, kwargs in (
            ('%C3%A4', {'path': '/ä'}),
            ('--os-token, OS_TOKEN', {'token': 'tökén'}),
        ):
            command = self.begin(http.PONG, http.GUEST, **kwargs)
            run = self.end(command, [f'.*{words}.*'])
            self.assertEqual((1, ''), (run.status, run.stdout))
            self.assertEqual([], self.server.requests)

    def test_a_trickling_server_ends_with_the_timeout(self) -> None:
        """The timeout is for the whole reply."""

        def trickle(request: http.Request) -> Iterator[bytes]:
            yield b'HTTP/1.1 400 X\r\nContent-Length: 99999\r\n\r\n'
            while not self.server.done.wait(0.05):
                yield b'x'

        run = self.ask(
            trickle,
            NOBODY,
            '--timeout',
            '0.5',
            stderr=r'Guest .* is unknown: No answer .* within 0\.5 s\. .*',
        )
        self.assertEqual('unknown', run.rows[0]['Verdict'])
        self.assertEqual(1, run.status)

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
            '1 of 2 guests: Not asked to the end: "The deadline .*',
        )
        self.assertEqual(1, run.status)

    def test_a_proxys_error_page_is_unknown(self) -> None:
        """The advice is one line, without the page."""
        page = b'<html>\x1b[31m<h1>502 Bad Gateway</h1>\r\n</html>'
        run = self.ask(
            http.raw('502 Bad Gateway', page, {'Content-Type': 'text/html'}),
            NOBODY,
            stderr='Guest .* is unknown: What stands in front of .*',
        )
        # For an ID there is no listing.
        self.assertEqual(1, len(self.server.requests))
        self.assertEqual('unknown', run.rows[0]['Verdict'])
        self.assertEqual(1, run.status)
