# SPDX-License-Identifier: Apache-2.0

"""Makes text that a server or a guest wrote fit for a terminal.

The text of an agent's exception comes out of a tenant's virtual machine, and
tenants choose names. Neither may move the cursor, set a title, change the
direction of the text or forge another line. A password in a URL is hidden.
"""

import re
import unicodedata

#: The longest line that is shown, in characters.
LINE_LIMIT = 200

# ECMA-48: control sequences, strings up to their terminator, and the short
# escapes. The strings are bounded, so that many unterminated ones do not
# cost quadratic time, nor swallow the whole text.
_ESCAPES = re.compile(
    r'(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]'
    r'|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])'
    r'[^\x07\x1b\x9c]{0,256}(?:\x07|\x1b\\|\x9c)'
    r'|\x1b[ -/]{0,8}[0-~]'
)

# The most marks on one letter: more would reach into other lines. Hebrew and
# Vietnamese need up to three.
_MARKS = 3

# Invisible characters that str.isprintable() takes for printable ones:
# fillers of Hangul, the empty pattern of Braille, joiners and selectors.
_BLANK = frozenset(
    '\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0'
    '\U0001d159'
    + ''.join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)

# A user and a password in a URL, also if the password has a slash in it that
# should be escaped. A port is not a password.
_USER_IN_URL = re.compile(
    r'(?<=://)(?:[^\s/?#]{1,256}|[^\s/:@\[]{0,256}:(?!\d+(?:[/?#\s]|$))\S{0,256})@'
)

# Most texts are clean: ASCII words, a space apart, without a password.
_CLEAN = re.compile(r'[!-?A-~]+(?: [!-?A-~]+)*')

# Every parser of lines reads such a text as one word.
_WORD = re.compile(r'[\w.:-]+')


def _printable(text: str) -> str:
    """Return *text* without invisible characters.

    A blank or a break becomes a space. Another invisible character becomes
    U+FFFD, so that two texts that differ look different.
    """
    if text.isascii():
        return ''.join(c if c.isprintable() else ' ' for c in text)
    shown: list[str] = []
    # At the beginning a mark would stand on what is before the text.
    marks = _MARKS
    for c in text:
        category = unicodedata.category(c)
        marks = marks + 1 if category in ('Mn', 'Me') else 0
        if c in _BLANK or category in ('Cf', 'Cs', 'Co', 'Cn'):
            c = '\ufffd'
        elif marks > _MARKS:
            # One character stands for all further marks.
            c = '\ufffd' if marks == _MARKS + 1 else ''
        elif not c.isprintable():
            # A control character, a line separator, or another space.
            c = ' '
        shown.append(c)
    return ''.join(shown)


def one_line(text: str, limit: int = LINE_LIMIT) -> str:
    """Return *text* as one clean line.

    :param limit: the longest line to return, in characters; a longer one is
        cut, and ends in an ellipsis.
    """
    if len(text) <= limit and _CLEAN.fullmatch(text):
        return text
    # Nothing beyond a few times the limit can show, so hostile megabytes are
    # not cleaned.
    head = _ESCAPES.sub('', _USER_IN_URL.sub('***@', text[: limit * 8]))
    line = ' '.join(_printable(head).split())
    if len(line) > limit or len(text) > limit * 8:
        return line[: limit - 1].rstrip() + '…'
    return line


def clean_fields(value: object, *names: str) -> None:
    """Make the texts in these fields of a frozen dataclass clean lines."""
    for name in names:
        text = getattr(value, name)
        if isinstance(text, str):
            object.__setattr__(value, name, one_line(text))


def first_line(text: str) -> str:
    """Return the first line of *text* that says something, clean.

    A guest's exception comes with its whole traceback below it.
    """
    return next(filter(None, map(one_line, text.splitlines())), '')


def escaped(text: str) -> str:
    """Return *text* as a clean line that can stand between double quotes."""
    return one_line(text).replace('\\', r'\\').replace('"', r'\"')


def quoted(text: str) -> str:
    """Return *text* as a clean line between double quotes.

    A tenant's name and a server's text are always quoted. So a reader cannot
    take them for another part of the line.
    """
    return f'"{escaped(text)}"'


def word(text: str) -> str:
    """Return an ID as one word: quoted if it is more than a word."""
    clean = one_line(text)
    return clean if _WORD.fullmatch(clean) else quoted(text)


def guest(id_: str | None, name: str | None) -> str:
    """Return the ID of a guest as one word, or else its quoted name."""
    return word(id_) if id_ else quoted(name or '')


def lines(text: str) -> list[str]:
    """Return every line of *text*, clean and uncut, for a log."""
    return [one_line(line, max(len(line), 1)) for line in text.splitlines()]
