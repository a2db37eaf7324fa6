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

"""Text of guests and servers on its way to a terminal."""

import shlex

import hypothesis
from hypothesis import strategies
import testtools

from troveclient_rpcping import plaintext


class PlaintextTest(testtools.TestCase):
    def test_escape_sequences_disappear_whole(self) -> None:
        """No colour, title, cursor movement or link is left, nor its rest."""
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

    def test_control_and_format_characters_become_spaces(self) -> None:
        """Neither bells, line breaks nor changes of direction get through."""
        for character in '\0\a\b\t\n\v\f\r\x7f\x85\u2028\u202e\u2066\ud800':
            self.assertEqual(
                'a b', plaintext.one_line(f'a{character}b'), repr(character)
            )

    def test_letters_of_all_scripts_stay(self) -> None:
        """Only what is not printable is taken out."""
        for text in ('größe', 'данные', '数据库', 'قاعدة', '🐘'):
            self.assertEqual(text, plaintext.one_line(text))

    def test_a_password_in_a_url_is_not_shown(self) -> None:
        """Nor is the user; the rest of the URL is."""
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

    def test_the_first_line_that_says_something_is_taken(self) -> None:
        """Empty lines, and the traceback below, are left out."""
        self.assertEqual(
            'disk is full',
            plaintext.first_line('\n \x1b[1m\ndisk is full\nTraceback\n'),
        )
        self.assertEqual('', plaintext.first_line('\n\n'))

    def test_lines_keep_every_line_uncut(self) -> None:
        """A log has all of the text, each line of it clean."""
        long = 'x' * 5000
        self.assertEqual(['a', long], plaintext.lines(f'\x1b[31ma\n{long}'))

    def test_quotes_inside_a_quoted_text_are_escaped(self) -> None:
        """The text ends where its quotes do, also after a cut."""
        for text, expected in (
            ('db-7', '"db-7"'),
            ('a "b" \\ c', r'"a \"b\" \\ c"'),
            ('\x1b[31m', '""'),
        ):
            self.assertEqual(expected, plaintext.quoted(text))
        cut = plaintext.quoted('"' * 1000)
        self.assertEqual(['"' * 199 + '…'], shlex.split(cut))

    @hypothesis.settings(deadline=None)
    @hypothesis.given(strategies.text())
    def test_a_parser_reads_a_quoted_text_as_one_word(self, text: str) -> None:
        """So does it an ID, whatever a server calls one."""
        for shown in (plaintext.quoted(text), plaintext.word(text)):
            self.assertEqual([plaintext.one_line(text)], shlex.split(shown))

    # No deadline: a busy machine is not to fail it.
    @hypothesis.settings(deadline=None)
    @hypothesis.given(strategies.text(), strategies.integers(1, 50))
    def test_any_text_becomes_one_printable_bounded_line(
        self, text: str, limit: int
    ) -> None:
        """Whatever comes in, one short printable line comes out."""
        line = plaintext.one_line(text, limit)
        self.assertTrue(line.isprintable())
        self.assertLessEqual(len(line), limit)

    def test_megabytes_of_unterminated_escapes_are_cheap(self) -> None:
        """The work is bounded by the limit, not by the text."""
        text = '\x1b]' * 5_000_000
        self.assertLessEqual(len(plaintext.one_line(text)), 200)
