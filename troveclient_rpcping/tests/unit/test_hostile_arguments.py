# SPDX-License-Identifier: Apache-2.0

"""Command lines and files that make no sense, and their errors."""

from __future__ import annotations

import argparse
from collections.abc import Callable
import contextlib
import io
import os
import pathlib
import re
import signal
import threading
import time
from typing import Any

import fixtures
import hypothesis
from hypothesis import strategies
import testtools

from troveclient_rpcping import exceptions
from troveclient_rpcping import inventory
from troveclient_rpcping import transport
from troveclient_rpcping.cli import arguments as cli_arguments
from troveclient_rpcping.cli import targets
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.tests import base
from troveclient_rpcping.tests import hostile

# Texts that are not numbers, and numbers that are out of bounds.
NUMBERS = (
    *('', ' ', '0', '-1', '-0', '+-1', '--1', '1e400', '-1e400', 'nan', 'inf'),
    *('-inf', '0x10', '1_000', '１２', '١٢', '²', '½', '1,5', '1 000', '$1'),
    *('1;2', '1\n2', '1\x002', '\x1b[31m5', '\u202e5', '\udc80', '🐘'),
    *('9' * 5000, '1' * 100_000),
)

# Names that tenants or the shells of operators produce.
NAMES = (
    *(
        '..',
        '../../x',
        'a/b',
        '/',
        'a\\b',
        "'",
        '"; drop table x; --',
        '$(id)',
    ),
    *(' ', 'a b', '-x', '--all', '\n', 'a\r\nb', '\x00', '\x1b]0;title\x07'),
    *('\u202e', '\udc80\udcff', '🐘' * 50, 'ä%2f', '%s{x}', 'x' * 1_000_000),
    *(
        base.GUEST[:-1],
        f'{base.GUEST}0',
        base.GUEST.replace('-', ''),
        f'{{{base.GUEST}}}',
    ),
    *(base.GUEST.replace('1', '１'), f'urn:uuid:{base.GUEST}'),
)

any_text = strategies.text(strategies.characters())


class NumbersTest(testtools.TestCase):
    # The least and the most that each takes, and two texts beyond these.
    parsers: dict[Callable[[str], float], tuple[str, ...]] = {
        cli_arguments.seconds: ('0.001', '1000000', '0.0009', '1000000.1'),
        cli_arguments.rate: ('0.001', '1e6', '0.0009', '1000000.1'),
        cli_arguments.wait_seconds: (
            '0.001',
            '1000000.0',
            '0.0009',
            '1000000.1',
        ),
        cli_arguments.times: ('1', '1000000', '0', '1000001'),
        cli_arguments.concurrency: ('1', '1024', '0', '1025'),
    }

    def test_no_absurd_number_is_taken(self) -> None:
        """A short clean line says what to give; the bounds are accepted."""
        for parse, (least, most, *beyond) in self.parsers.items():
            self.assertEqual(float(least), parse(least))
            self.assertEqual(float(most), parse(most))
            for text in (*NUMBERS, *beyond):
                error = self.assertRaises(
                    argparse.ArgumentTypeError, parse, text
                )
                self.assertIn(': give ', str(error))
                self.assertTrue(str(error).isprintable(), repr(error))
                self.assertLess(len(str(error)), 200)

    def test_any_text_is_a_number_in_bounds_or_is_refused(self) -> None:
        """No text is anything else."""

        @hostile.settings(300)
        @hypothesis.given(
            any_text
            | strategies.floats().map(str)
            | strategies.integers().map(str)
        )
        def parse_all(text: str) -> None:
            for parse in self.parsers:
                try:
                    value = parse(text)
                except argparse.ArgumentTypeError as error:
                    self.assertTrue(str(error).isprintable(), repr(error))
                    self.assertLess(len(str(error)), 200)
                else:
                    self.assertGreaterEqual(value, 0.001)
                    self.assertLessEqual(value, 1_000_000)

        parse_all()


class CommandLineTest(testtools.TestCase):
    def parse(self, *argv: str) -> tuple[argparse.Namespace | None, str]:
        """Parse a command line; return the result and the error."""
        parser = argparse.ArgumentParser(prog='ping')
        cli_arguments.be_brief(parser)
        cli_arguments.add_targets(parser)
        cli_arguments.add_limits(parser)
        cli_arguments.add_repetition(parser)
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                return parser.parse_args(argv), said.getvalue()
        except SystemExit as error:
            self.assertEqual(2, error.code)
            return None, said.getvalue()

    def test_a_mistake_is_one_line(self) -> None:
        """The line names the option and the help; the exit status is 2."""
        for option in (
            *('--timeout', '--concurrency', '--rate', '--count', '--wait'),
            *('--stable', '--interval'),
        ):
            for text in NUMBERS:
                parsed, said = self.parse('x', f'{option}={text}')
                self.assertIsNone(parsed, f'{option} {text[:20]!r}')
                self.assertRegex(
                    said,
                    rf'\Aping: error: argument {option}: .+ '
                    r'\(see --help\)\n\Z',
                )

    def test_names_with_a_dash_stand_behind_two(self) -> None:
        """Any other command has the same rule."""
        parsed, _ = self.parse('--', '-x', '--all')
        assert parsed is not None
        self.assertEqual(['-x', '--all'], parsed.instances)
        self.assertFalse(parsed.all)


class NamesTest(testtools.TestCase):
    def test_hostile_names_are_never_sent_as_ids(self) -> None:
        """A name is not an ID. It is found as it is."""
        for name in NAMES:
            self.assertFalse(inventory.is_id(name), name[:80])
            found = targets.resolve(
                [name, 'db-1'],
                [inventory.Instance(base.GUEST, 'db-1')],
                targets.Names(),
            )
            self.assertEqual(
                [
                    outcomes.Target(None, name),
                    outcomes.Target(base.GUEST, 'db-1'),
                ],
                [
                    outcomes.Target(each.instance_id, each.name)
                    for each in found
                ],
            )
            instances = [inventory.Instance(base.GUEST, name)]
            (target,) = targets.resolve([name], instances, targets.Names())
            self.assertEqual(base.GUEST, target.instance_id)

    def test_a_path_has_one_place_for_any_id(self) -> None:
        """An ID is refused, or is quoted in its place in the path."""

        @hostile.settings(300)
        @hypothesis.given(any_text | strategies.sampled_from(NAMES))
        def place(text: str) -> None:
            try:
                path = transport.ping_path(text)
            except exceptions.InvalidInstanceID as error:
                self.assertTrue(str(error).isprintable(), repr(error))
                self.assertLess(len(str(error)), 200)
                return
            pattern = r'/mgmt/instances/[A-Za-z0-9_.~%-]+/rpc_ping'
            self.assertTrue(re.fullmatch(pattern, path), path)
            self.assertNotIn('/../', path)
            self.assertNotIn('/./', path)

        place()

    def test_an_id_is_as_long_as_ids_may_be(self) -> None:
        """A proxy would refuse a longer one."""
        self.assertIn('x' * 255, transport.ping_path('x' * 255))
        self.assertRaises(
            exceptions.InvalidInstanceID, transport.ping_path, 'x' * 256
        )


class FilesTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def read(self, data: bytes) -> list[str]:
        return targets.read('-', io.TextIOWrapper(io.BytesIO(data)))

    def assert_refused(self, file: str, stdin: Any, words: str) -> None:
        error = self.assertRaises(
            exceptions.TargetError, targets.read, file, stdin
        )
        self.assertIn(words, str(error))
        self.assertTrue(str(error).isprintable(), repr(error))
        self.assertLess(len(str(error)), 400)

    def test_no_file_does_more_than_name_instances(self) -> None:
        """A file is a list of names, or an error of one clean line."""
        pieces = [b'\xff', b'\x00', b'\r\n', b'\n', b'#', b'\xef\xbb\xbf']
        pieces += [b' ', b'\xf0\x9f\x90\x98', b'\xed\xa0\x80', b'\xff\xfe']

        @hostile.settings(300)
        @hypothesis.given(
            strategies.lists(
                strategies.sampled_from(pieces) | strategies.binary(),
                max_size=9,
            ).map(b''.join)
        )
        def read(data: bytes) -> None:
            try:
                names = self.read(data)
            except exceptions.TargetError as error:
                self.assertTrue(str(error).isprintable(), repr(error))
                return
            for name in names:
                self.assertTrue(name.strip())
                self.assertFalse(set(name) & set('\n\0'), repr(name))

        read()

    def test_a_file_that_is_not_text_is_refused_with_its_line(self) -> None:
        """The file may be UTF-16, a program or a picture."""
        for data, line in (
            (b'a\n\x00b\n', 2),
            ('a\nb\n'.encode('utf-16'), 1),
            ('a\nb\n'.encode('utf-16-le'), 1),
            (b'\x7fELF\x02\x01\x01\x00', 1),
            (b'\x89PNG\r\n\x1a\n', 1),
            (b'a\nb\n\xed\xa0\x80', 3),
        ):
            stdin = io.TextIOWrapper(io.BytesIO(data))
            self.assert_refused(
                '-', stdin, f'not text in UTF-8: see line {line}'
            )

    def test_an_endless_or_special_file_is_refused(self) -> None:
        """The error has its name, clean and short, and the cause."""
        self.assert_refused('/dev/zero', None, '/dev/zero is too large')
        self.assert_refused('-', None, 'input is closed')
        self.assert_refused('/nonexistent/x', None, 'Cannot read /nonexistent')
        self.assert_refused(str(self.folder), None, 'Is a directory')
        self.assert_refused('a\n\x1b[31mb\udc80', None, 'Cannot read a b')
        self.assert_refused('x' * 100_000, None, 'File name too long')
        secret = self.folder / 'secret'
        secret.write_text('x')
        secret.chmod(0)
        if os.geteuid():
            self.assert_refused(str(secret), None, 'Permission denied')

    def test_an_interrupt_ends_the_wait_for_a_silent_pipe(self) -> None:
        """The command waits for a writer until then."""
        pipe = self.folder / 'pipe'
        os.mkfifo(pipe)
        ended = threading.Event()

        def once(signum: int, frame: object) -> None:
            if not ended.is_set():
                ended.set()
                raise KeyboardInterrupt

        before = signal.signal(signal.SIGINT, once)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        main = threading.get_ident()

        def interrupt() -> None:
            while not ended.wait(0.05):
                signal.pthread_kill(main, signal.SIGINT)

        try:
            threading.Thread(target=interrupt, daemon=True).start()
            targets.read(str(pipe), None)
        except KeyboardInterrupt:
            return
        self.fail('who wrote to it?')

    def test_a_hundred_thousand_lines_are_soon_resolved(self) -> None:
        """A name is not compared with each row of the listing."""
        names = [f'db-{number}' for number in range(100_000)]
        instances = [
            inventory.Instance(f'{base.GUEST}-{name}', name) for name in names
        ]
        started = time.monotonic()
        read = self.read('\n'.join(names).encode())
        found = targets.resolve(read, instances, targets.Names())
        self.assertEqual(100_000, len(found))
        # A comparison with each row would take an hour.
        self.assertLess(time.monotonic() - started, 60)
