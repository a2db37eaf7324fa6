# SPDX-License-Identifier: Apache-2.0

"""Text of guests and servers on its way to a terminal."""

import shlex

import hypothesis
from hypothesis import strategies
import testtools

from troveclient_rpcping import plaintext
from troveclient_rpcping.tests import hostile


class PlaintextTest(testtools.TestCase):
    def test_escape_sequences_disappear_whole(self) -> None:
        """No part of a colour, title, cursor movement or link is left."""
        for escape in (
            '\x1b[31m',
            '\x1b[2J\x1b[1;1H',
            '\x1b]0;title\x07',
            '\x1b]8;;http://example.org\x1b\\',
            '\x9b31m',
            '\x90payload\x9c',
            '\x1bc',
            '\x1b(B',
        ):
            self.assertEqual('ab', plaintext.one_line(f'a{escape}b'), escape)

    def test_control_characters_and_blanks_become_spaces(self) -> None:
        """Bells and line breaks are removed."""
        for character in '\0\a\b\t\n\v\f\r\x7f\x85\xa0\u2003\u2028\u3000':
            self.assertEqual(
                'a b', plaintext.one_line(f'a{character}b'), repr(character)
            )

    def test_invisible_characters_are_shown(self) -> None:
        """Two names that differ look different, and none is blank."""
        for character in (
            # Changes of direction, and what has no width.
            *'\u202e\u2066\u200b\u200d\u2060\ufeff\u00ad\U000e0041',
            # Fillers, joiners, selectors of variants.
            *'\u3164\u115f\u1160\uffa0\u2800\u034f\ufe0f\U000e0100',
            # Letters that no font has.
            *'\ud800\ue000\U0010ffff',
        ):
            shown = plaintext.one_line(f'db-7{character}')
            self.assertEqual('db-7\ufffd', shown, repr(character))
            self.assertEqual('\ufffd', plaintext.one_line(character))

    def test_a_pile_of_marks_stays_in_its_line(self) -> None:
        """A letter has at most three marks; no mark comes first."""
        self.assertEqual(
            'a\u0301\u0302\u0303\ufffdb',
            plaintext.one_line('a\u0301\u0302\u0303' + '\u0304' * 99 + 'b'),
        )
        self.assertEqual('\ufffda', plaintext.one_line('\u0301a'))

    def test_letters_of_all_scripts_stay(self) -> None:
        """Only invisible characters are removed."""
        for text in (
            *('größe', 'данные', '数据库', 'قاعدة', '🐘', 'ฐานข้อมูล'),
            *('Cơ sở dữ liệu', 'בָּרָא', 'é', 'ＡＢ'),
        ):
            self.assertEqual(text, plaintext.one_line(text))

    def test_a_password_in_a_url_is_not_shown(self) -> None:
        """The user is not shown either; the rest of the URL is."""
        for text, shown in (
            ('http://joe:secret@host/v3', 'http://***@host/v3'),
            ('x https://secret@host:1/ y', 'x https://***@host:1/ y'),
            ("'http://joe:se@cret@host'", "'http://***@host'"),
            ('http://joe:se/cret@host/', 'http://***@host/'),
            ('http://joe:12/34@host/', 'http://joe:12/34@host/'),
            ('http://a:b@c http://d:e@f', 'http://***@c http://***@f'),
            ('http://host:5000/v3/joe@x', 'http://host:5000/v3/joe@x'),
            ('http://[::1]:5000/joe@x', 'http://[::1]:5000/joe@x'),
            ('http://host/?user=joe@x', 'http://host/?user=joe@x'),
            ('joe@example.org', 'joe@example.org'),
        ):
            self.assertEqual(shown, plaintext.one_line(text))

    def test_a_long_line_is_cut_and_says_so(self) -> None:
        """The ellipsis counts towards the limit."""
        self.assertEqual('abcd…', plaintext.one_line('abcdefgh', 5))
        self.assertEqual('abcde', plaintext.one_line('abcde', 5))

    def test_the_first_line_with_text_is_taken(self) -> None:
        """Empty lines, and the traceback below, are left out."""
        self.assertEqual(
            'disk is full',
            plaintext.first_line('\n \x1b[1m\ndisk is full\nTraceback\n'),
        )
        self.assertEqual('', plaintext.first_line('\n\n'))

    def test_lines_keep_every_line_uncut(self) -> None:
        """A log has the whole text in clean lines."""
        long = 'x' * 5000
        self.assertEqual(['a', long], plaintext.lines(f'\x1b[31ma\n{long}'))

    def test_quotes_inside_a_quoted_text_are_escaped(self) -> None:
        """The closing quote ends the text, even after a cut."""
        for text, expected in (
            ('db-7', '"db-7"'),
            ('a "b" \\ c', r'"a \"b\" \\ c"'),
            ('\x1b[31m', '""'),
        ):
            self.assertEqual(expected, plaintext.quoted(text))
        cut = plaintext.quoted('"' * 1000)
        self.assertEqual(['"' * 199 + '…'], shlex.split(cut))

    @hostile.settings(100)
    @hypothesis.given(strategies.text())
    def test_a_parser_reads_a_quoted_text_as_one_word(self, text: str) -> None:
        """The parser also reads an ID as one word."""
        for shown in (plaintext.quoted(text), plaintext.word(text)):
            self.assertEqual([plaintext.one_line(text)], shlex.split(shown))

    @hostile.settings(100)
    @hypothesis.given(strategies.text(), strategies.integers(1, 50))
    def test_any_text_becomes_one_printable_bounded_line(
        self, text: str, limit: int
    ) -> None:
        """The result is short and printable."""
        line = plaintext.one_line(text, limit)
        self.assertTrue(line.isprintable())
        self.assertLessEqual(len(line), limit)

    def test_megabytes_of_unterminated_escapes_are_cheap(self) -> None:
        """The work is bounded by the limit, not by the text."""
        text = '\x1b]' * 5_000_000
        self.assertLessEqual(len(plaintext.one_line(text)), 200)
