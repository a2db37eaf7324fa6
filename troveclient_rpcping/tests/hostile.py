# SPDX-License-Identifier: Apache-2.0

"""Replies that no Trove gives, drawn at random, and a server that gives them.

Each reply has the best verdict that a careful reader may give. So a test finds
wrong verdicts, and not only crashes.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import enum
import gzip
import json
import os
import re
import socket
import threading
import time
from typing import Any

import hypothesis
from hypothesis import strategies

from troveclient_rpcping import fixture
from troveclient_rpcping import reply as replies
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.tests import base

#: The environment variable that makes the runs longer: by how many times.
FACTOR = 'TROVECLIENT_RPCPING_FUZZ'

#: The place of another server's URL in a reply that is not yet sent.
ELSEWHERE = b'http://elsewhere.invalid'

#: The most that a server sends of an endless reply, in bytes. A reader that
#: reads all of it would read for ever.
NO_END = 64 * 1024 * 1024


def settings(examples: int) -> hypothesis.settings:
    """Return the settings of a test: the same examples in each normal run.

    :param examples: the number of examples.
    """
    factor = float(os.environ.get(FACTOR, '1'))
    return hypothesis.settings(
        max_examples=max(1, round(examples * factor)),
        derandomize=factor <= 1,
        database=None,
        # A busy machine must not fail a test.
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


class Ending(enum.Enum):
    """The end of a reply, after its last piece."""

    #: The connection is kept for the next request.
    KEPT = enum.auto()
    #: The server hangs up.
    CLOSED = enum.auto()
    #: Nothing more comes, and the connection stays open.
    SILENT = enum.auto()
    #: A few bytes more come, slowly, and then nothing.
    TRICKLING = enum.auto()
    #: The reply goes on without end.
    ENDLESS = enum.auto()


@dataclasses.dataclass(frozen=True)
class Script:
    """The actions of a server after a request.

    :param pieces: the data that it sends, piece by piece.
    :param ending: the end after the last piece.
    :param best: the best verdict; ``unknown`` is always allowed, too.
    :param clean: whether every reader must reach the best verdict.
    :param filler: the data that an endless reply repeats.
    :param cut_204: whether it breaks off in the head of a 204. http.client
        takes the end of the connection for the end of the head, and cannot
        know which lines are missing.
    """

    pieces: tuple[bytes, ...]
    ending: Ending
    best: verdicts.Verdict = verdicts.Verdict.UNKNOWN
    clean: bool = False
    filler: bytes = b'x' * 4096
    cut_204: bool = False

    @property
    def stalls(self) -> bool:
        """Whether only the reader's own clock ends it."""
        return self.ending in (Ending.SILENT, Ending.TRICKLING)

    @property
    def message(self) -> bytes:
        """All pieces together."""
        return b''.join(self.pieces)


class Server(fixture.Server):
    """A server that answers every request by its present script.

    :param elsewhere: the URL of another server.
    """

    def __init__(self, elsewhere: str = ''):
        super().__init__(self._play)
        self._elsewhere = elsewhere.encode()
        self._script = Script((), Ending.CLOSED)
        self._over = threading.Event()
        #: The number of bytes of endless replies that were read.
        self.taken = 0

    def start(self) -> None:
        """Listen on a free port of loopback, and answer from now on."""
        super().start()
        # Each piece goes out by itself.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @contextlib.contextmanager
    def plays(self, script: Script) -> Iterator[None]:
        """Answer by a script within the block."""
        self._script, self._over = script, threading.Event()
        try:
            yield
        finally:
            self._over.set()

    def _play(self, request: fixture.Request) -> Iterator[bytes]:
        script, over = self._script, self._over
        for piece in script.pieces:
            yield piece.replace(ELSEWHERE, self._elsewhere)
            if len(script.pieces) > 1:
                time.sleep(0.001)
        if script.ending is Ending.KEPT:
            return
        if script.ending is Ending.TRICKLING:
            for _ in range(10):
                over.wait(0.01)
                yield b'x'
        if script.ending is Ending.ENDLESS:
            taken = 0
            while taken < NO_END and not over.is_set():
                yield script.filler
                taken += len(script.filler)
                self.taken = max(self.taken, taken)
        if script.stalls:
            over.wait()
        raise ConnectionAbortedError


# --- the text of a 400 -----------------------------------------------------

TODAY = fixture.agent_timeout().fault or ''
PREFIX = verdicts.GUEST_ERROR_PREFIX
TRACEBACK = 'Traceback (most recent call last)'

_OLD_TIMEOUT = fixture.agent_timeout_2014(base.GUEST).fault or ''
_TOO_OLD = fixture.no_such_method().fault or ''
_BROKEN_BUS = [
    reply.fault or ''
    for reply in (
        fixture.message_bus_error(),
        fixture.message_bus_error('Socket closed'),
    )
]


def timeouts_until_25(message_id: str) -> tuple[str, str]:
    """Return both timeouts of oslo.messaging's driver for RabbitMQ."""
    return (
        f'{PREFIX}Timed out waiting for a reply to message ID {message_id}.',
        f"{PREFIX}('Timed out waiting for a reply %(reply_q)s to message ID "
        f"%(msg_id)s.', {{'msg_id': '{message_id}', "
        "'reply_q': 'reply_7f'}).",
    )


def said(text: str) -> verdicts.Verdict:
    """Read the message of a 400 in a second way."""
    words = re.sub(r'\s+', ' ', text).strip()
    if words == TODAY:
        return verdicts.Verdict.UNREACHABLE
    if not words.startswith(PREFIX):
        return verdicts.Verdict.UNKNOWN
    ids = re.findall(r'(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])', words)
    if any(words in timeouts_until_25(each) for each in ids):
        return verdicts.Verdict.UNREACHABLE
    # Trove's introduction stands above as it is.
    if words.casefold() == _OLD_TIMEOUT.casefold():
        return verdicts.Verdict.UNREACHABLE
    if words.startswith(_TOO_OLD):
        return verdicts.Verdict.REACHABLE
    bus = words == _BROKEN_BUS[1] or words.startswith(
        f'{PREFIX}Exchange.declare: (403) '
    )
    if bus and TRACEBACK not in words:
        return verdicts.Verdict.UNKNOWN
    return verdicts.Verdict.ERROR


#: Text that a tenant might send to an operator's terminal.
EVIL = (
    *('\x1b[2J\x1b[1;1H', '\x1b]0;title\x07', '\x9b31m', '\x90q\x9c'),
    *('\x00', '\x08\x08\x08', '\r\n', '\u2028', '\u202e', '\u2066', '\u200b'),
    *('\ud800', '\udfff', '\ufeff', '\U000e0041', '🐘'),
    *('{detail}', '%s%n', '[bold]', 'a' * 5000),
)

evil_texts: strategies.SearchStrategy[str] = strategies.lists(
    strategies.sampled_from(EVIL) | strategies.text(strategies.characters()),
    max_size=4,
).map(''.join)

_KNOWN = [
    TODAY,
    PREFIX,
    *(_OLD_TIMEOUT, _OLD_TIMEOUT.upper().replace(PREFIX.upper(), PREFIX)),
    fixture.agent_timeout_2014(base.OTHER).fault or '',
    *timeouts_until_25('0123456789abcdef' * 2),
    *timeouts_until_25('0123456789ABCDEF' * 2),
    *timeouts_until_25('0123456789abcdef'),
    *(PREFIX + TODAY, _TOO_OLD, *_BROKEN_BUS),
    *(f'{text}\n{TRACEBACK}' for text in _BROKEN_BUS),
    fixture.agent_error().fault or '',
    'nova is broken (HTTP 500)',
    f'Resource {base.GUEST} cannot be found.',
    'User does not have admin privileges.',
    'This request was rate-limited.',
]
# The same texts without Trove's introduction.
_KNOWN += [text.removeprefix(PREFIX) for text in _KNOWN[2:]]

# Texts that say that a guest is dead or in error.
_CLEAR = (TODAY, _OLD_TIMEOUT, PREFIX + 'disk is full')

#: Messages of Trove, other messages, and Trove's within others.
texts: strategies.SearchStrategy[str] = strategies.one_of(
    strategies.sampled_from([TODAY, _OLD_TIMEOUT]),
    strategies.sampled_from(_KNOWN),
    evil_texts,
    evil_texts.map(PREFIX.__add__),
    strategies.tuples(
        evil_texts, strategies.sampled_from(_KNOWN), evil_texts
    ).map(''.join),
    strategies.sampled_from(_KNOWN).map(lambda text: text.replace(' ', '\n ')),
    strategies.sampled_from(_KNOWN).map(str.upper),
)

# Errors in Trove's shape, and in shapes that look like it.
_GENUINE: tuple[Callable[[str], Any], ...] = (
    lambda text: {'badRequest': {'code': 400, 'message': text}},
    lambda text: {'': {'message': text}},
    lambda text: {'a': {'message': text, 'details': [text], 'code': None}},
)
_OTHER: tuple[Callable[[str], Any], ...] = (
    lambda text: text,
    lambda text: [text],
    lambda text: {},
    lambda text: {'error': text},
    lambda text: {'message': text},
    lambda text: {'badRequest': None},
    lambda text: {'badRequest': [text]},
    lambda text: {'badRequest': {}},
    lambda text: {'badRequest': {'message': [text]}},
    lambda text: {'badRequest': {'message': {'message': text}}},
    lambda text: {'badRequest': {'Message': text}},
    lambda text: {'badRequest': {'message': None, text: text}},
    lambda text: [{'badRequest': {'message': text}}],
    lambda text: {'a': {'message': text}, 'b': {'message': text}},
)

_JSON: strategies.SearchStrategy[Any] = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(strategies.text(), inner, max_size=3)
    ),
    max_leaves=8,
)

_JUNK = (
    b'',
    b'\x00',
    b'\xff\xfe\x80',
    b'\xef\xbb\xbf',
    b'[' * 60_000,
    b'{"a":' * 10_000,
    b'9' * 5000,
    b'[1e400, NaN, -Infinity]',
    b'<html>Timeout trying to connect to the Guest Agent.</html>',
    b'\x1b[31m\xe2\x80\xae\n' * 50,
    b'x' * (replies.BODY_LIMIT + 1),
    gzip.compress(json.dumps(_GENUINE[0](TODAY)).encode(), mtime=0),
)


@strategies.composite
def bodies(
    draw: strategies.DrawFn, plain: bool = False
) -> tuple[bytes, verdicts.Verdict]:
    """Draw a body, and the verdict that it has in a 400.

    :param plain: whether to draw only bodies in Trove's own shape.
    """
    kind = draw(strategies.integers(5 if plain else 0, 9))
    if kind == 0:
        return draw(strategies.sampled_from(_JUNK)), verdicts.Verdict.UNKNOWN
    if kind == 1:
        return draw(strategies.binary(max_size=200)), verdicts.Verdict.UNKNOWN
    if kind == 2:
        # A message at the right place of it would be strange.
        return json.dumps(draw(_JSON)).encode(), verdicts.Verdict.UNKNOWN
    clear = plain and draw(strategies.booleans())
    text = draw(strategies.sampled_from(_CLEAR) if clear else texts)
    if kind == 3:
        shape = draw(strategies.sampled_from(_OTHER))
        says = verdicts.Verdict.UNKNOWN
    else:
        shape, says = draw(strategies.sampled_from(_GENUINE)), said(text)
    written = json.dumps(shape(text), ensure_ascii=draw(strategies.booleans()))
    if kind == 4:
        written += draw(strategies.sampled_from(['x', '}', '\x00', written]))
        says = verdicts.Verdict.UNKNOWN
    if kind == 5:
        # A proxy may wrap it, and a BOM does no harm.
        written = '\n ' + written.replace('\\n', '\n')
    encoding = 'utf-8'
    if kind == 6:
        names = ['utf-8-sig', 'utf-16', 'utf-32', 'utf-16-le']
        encoding = draw(strategies.sampled_from(names))
    body = written.encode(encoding, 'surrogatepass')
    if len(body) > replies.BODY_LIMIT:
        says = verdicts.Verdict.UNKNOWN
    return body, says


# --- the head --------------------------------------------------------------

#: Right and wrong values of Retry-After.
PAUSES = (
    *('0', '1', '-1', '1e-9', '1e308', '1e400', 'nan', '-inf', '1_0', '１２'),
    *('0x10', 'soon', 'Wed, 21 Oct 2026 07:28:00 GMT', '9' * 5000, ''),
)

# Whether every reader accepts the line and the lines after it.
_LINES: tuple[tuple[bytes, bool], ...] = (
    (b'Content-Type: application/json', True),
    (b'Content-Type: text/x; charset=nosuch', True),
    (b'Content-Type: multipart/mixed; boundary=x', True),
    (b'Content-Encoding: gzip', True),
    # urllib3 refuses more than five encodings.
    (b'Content-Encoding: gzip, gzip, gzip', False),
    (b'Age: 0', True),
    (b'X-Cache: MISS from proxy.example', True),
    (b'Connection: close', True),
    (b'Connection: keep-alive, upgrade', True),
    (b'Upgrade: h2c', True),
    (b'Location: ' + ELSEWHERE + b'/x', True),
    (b'Location: http://[', True),
    (b'Location: http://x:99999999/', True),
    (b'Location: \xff\xfe', True),
    (b'Location: file:///etc/passwd', True),
    (b'Content-Location: ' + ELSEWHERE, True),
    (b'Refresh: 0; url=' + ELSEWHERE, True),
    (b'Alt-Svc: h2="elsewhere.invalid:443"', True),
    (b'Link: <' + ELSEWHERE + b'>; rel=preload', True),
    (b'WWW-Authenticate: Keystone uri="' + ELSEWHERE + b'"', True),
    (b'WWW-Authenticate: Negotiate, NTLM, Basic realm="\x1b[1m"', True),
    (b'Proxy-Authenticate: Basic realm="x"', True),
    (b'Set-Cookie: a=b; Domain=elsewhere.invalid', True),
    (b'Set-Cookie: \xff=\x1b[31m; Max-Age=1e400; Path', True),
    (b'X-Openstack-Request-Id: req-' + base.GUEST.encode(), True),
    (b'X-Openstack-Request-Id: \x1b]0;evil\x07\xe2\x80\xae', True),
    (b'X-Openstack-Request-Id: ' + b'r' * 60_000, True),
    (b'X-Openstack-Request-Id:', True),
    (b'X-Long: ' + b'y' * 40_000, True),
    (b'X: \xe2\x80\xae\xf0\x9f\x90\x98\x85\x9b', True),
    # Folded; longer than http.client takes, or longer than libcurl does.
    (b'X-Folded: a\r\n b', False),
    (b'X-Folded: a\r\n ', False),
    (b'X-Folded: a\r\n HTTP/1.1 204 a: b', False),
    (b'X-Long: ' + b'y' * 70_000, False),
    (b'X-Long: ' + b'y' * 400_000, False),
    (b'X-Openstack-Request-Id: ' + b'r' * 1_000_000, False),
    # Not a valid field: one reader stops, another one reads on.
    (b'no field', False),
    (b': no name', False),
    (b'a name: x', False),
    (b'Name : x', False),
    (b'X: a\x00b', False),
    (b'\x00', False),
    (b'X: a\rY: b', False),
    (b'\xff\xfe: x', False),
    (b'HTTP/1.1 204 a: b', False),
)


@strategies.composite
def _lines(draw: strategies.DrawFn) -> tuple[list[bytes], bool]:
    """Draw header lines that do not concern the body."""
    drawn = draw(strategies.lists(strategies.sampled_from(_LINES), max_size=3))
    lines = [line for line, _ in drawn]
    clean = all(each for _, each in drawn)
    # A megabyte, or a thousand lines: readers have different limits.
    clean &= sum(map(len, lines)) < 100_000
    # Newer versions of libcurl refuse a reply with two of them.
    clean &= sum(line.startswith(b'Location:') for line in lines) < 2
    kind = draw(strategies.integers(0, 9))
    if kind == 0:
        pause = draw(strategies.sampled_from(PAUSES))
        lines.append(f'Retry-After: {pause}'.encode())
    elif kind == 1:
        count = draw(strategies.sampled_from([50, 200, 3000]))
        lines += [b'X-%d: y' % number for number in range(count)]
        clean &= count <= 50
    elif kind == 2:
        value = draw(strategies.binary(max_size=50))
        lines.append(b'X-Binary: ' + re.sub(rb'[\r\n]', b'', value))
        clean &= not re.search(rb'[\x00-\x1f\x7f]', value)
    return lines, clean


@dataclasses.dataclass
class _Framing:
    """The form of a body after its head.

    :param lines: header lines about the body.
    :param payload: the data after the head.
    :param whole: whether every reader can read it whole.
    :param closes: whether only the end of the connection ends it.
    """

    lines: list[bytes]
    payload: bytes
    whole: bool = False
    closes: bool = True


def _chunked(draw: strategies.DrawFn, body: bytes) -> bytes:
    size = draw(strategies.integers(1, 40)) if len(body) < 4000 else 10_000
    extension = draw(strategies.sampled_from([b'', b';a=b', b' ', b';\x1b']))
    pieces = [
        body[begin : begin + size] for begin in range(0, len(body), size)
    ]
    return b''.join(
        b'%x%s\r\n%s\r\n' % (len(piece), extension, piece) for piece in pieces
    )


# Wrong lengths of a body. N stands for the right one.
_LENGTHS = (
    *(b'-1', b'-N', b'+N', b'N.0', b'0xN', b'', b'N N', b'N, 9', b'\xb2'),
    *(b'9_', b'many', b'0N', b'%d' % 10**30, b'%d' % 2**63),
)

_CODINGS = (
    *(b'gzip', b'identity', b'xchunked', b'chunked, chunked', b''),
    *(b'gzip, chunked', b'chunked;q=1', b'\xffchunked'),
)

# Data that look like a chunk, and are not one.
_NO_CHUNKS = (
    *(b'zz\r\n', b'-5\r\nhello\r\n', b'5\r\nhel', b'5\r\nhello, world'),
    *(b'f' * 40 + b'\r\n', b'\r\n', b'5;' + b'x' * 70_000 + b'\r\n'),
    *(b'1' * 20_000, b'5\nhello\n', b'', b'\x00\r\n', b'0x5\r\n'),
)


def _length(value: bytes) -> bytes:
    return b'Content-Length: ' + value


@strategies.composite
def _framings(
    draw: strategies.DrawFn, body: bytes, plain: bool = False
) -> _Framing:
    """Draw a right or a wrong way to send a body.

    :param plain: whether to draw only right ways.
    """
    pick = strategies.sampled_from
    count = b'%d' % len(body)
    exact, chunks = _length(count), b'Transfer-Encoding: chunked'
    kind = draw(strategies.integers(0, 10 if plain else 19))
    if kind < 6:
        return _Framing([exact], body, whole=True, closes=False)
    if kind < 8:
        return _Framing([], body, whole=True)
    pieces = _chunked(draw, body)
    if kind < 11:
        end = draw(pick([b'', b'X-Trailer: y\r\n']))
        payload = pieces + b'0\r\n' + end + b'\r\n'
        return _Framing([chunks], payload, whole=True, closes=False)
    if kind == 11:
        # A surplus that fills a reader's buffer, or a small one.
        more = draw(pick([1, 7, 100_000]))
        return _Framing([_length(b'%d' % (len(body) + more))], body)
    if kind == 12:
        fewer = draw(strategies.integers(0, max(len(body) - 1, 0)))
        return _Framing([_length(b'%d' % fewer)], body + b' ')
    if kind < 15:
        wrong = draw(pick(_LENGTHS)).replace(b'N', count)
        return _Framing([_length(wrong)], body)
    if kind == 15:
        other = draw(pick([count, b'0', b'%d' % (len(body) + 1), b'5']))
        both = [exact, _length(other)]
        return _Framing(draw(strategies.permutations(both)), body)
    if kind == 16:
        both = draw(strategies.permutations([exact, chunks]))
        return _Framing(both, pieces + b'0\r\n\r\n')
    if kind == 17:
        coding = b'Transfer-Encoding: ' + draw(pick(_CODINGS))
        return _Framing([coding], draw(pick([body, pieces])))
    return _Framing([chunks], pieces + draw(pick(_NO_CHUNKS)))


# Header lines that announce a body of a 204.
_ANNOUNCED = [
    *([_length(value)] for value in (b'5', b'-1', b'00', b'', b'0\r\n 5')),
    [_length(b'0'), _length(b'5')],
    [_length(b'5'), _length(b'0')],
    [b'Transfer-Encoding: chunked'],
    [b'Transfer-Encoding: identity', _length(b'0')],
    [b'no field', _length(b'5')],
    [b'no field', b'Transfer-Encoding: chunked'],
]


@strategies.composite
def _framings_of_204(draw: strategies.DrawFn) -> tuple[_Framing, bool]:
    """Draw the header lines about the body of a 204."""
    pick = strategies.sampled_from
    kind = draw(strategies.integers(0, 5))
    if kind < 3:
        lines = draw(pick([[_length(b'0')], []]))
        return _Framing(lines, b'', whole=True, closes=False), True
    if kind == 3:
        # Not announced, so not a part of the answer, but wrong.
        extra = draw(pick([b'x', b'{}', b'\r\n\r\n']))
        return _Framing([_length(b'0')], extra, closes=False), True
    payload = draw(pick([b'', b'hello', b'0\r\n\r\n']))
    return _Framing(draw(pick(_ANNOUNCED)), payload), False


# Whether every reader accepts it.
_STATUS_LINES: tuple[tuple[bytes, bool], ...] = (
    (b'HTTP/1.1 %d OK', True),
    (b'HTTP/1.1 %d OK', True),
    (b'HTTP/1.1 %d OK', True),
    (b'HTTP/1.1 %d ', True),
    (b'HTTP/1.1 %d', True),
    (b'HTTP/1.0 %d OK', True),
    (b'HTTP/1.1 %d \x1b[31m\xe2\x80\xae 500', True),
    (b'HTTP/1.1 %d 204 No Content', True),
    (b'HTTP/1.1 %d ' + b'o' * 70_000, False),
    (b'HTTP/1.1  %d OK', False),
    (b'HTTP/1.1\t%d OK', False),
    (b'HTTP/1.1 +%d OK', False),
    (b'HTTP/2 %d OK', False),
    (b'HTTP/1.9 %d OK', False),
    (b'http/1.1 %d OK', False),
    (b'HTTP/1.1 %d\x00OK', False),
    (b'HTTP/1.1 %d\x0bOK', False),
)
# Lines without a status, for every reader.
_NO_STATUS = (
    b'HTTP/1.1 2040 OK',
    b'HTTP/1.1 99 OK',
    b'HTTP/1.1 abc',
    b'HTTP/1.1',
    b'HTTP/1.1 204x',
    b'SSH-2.0-OpenSSH_9.2',
    b'204',
    b'\x16\x03\x01\x02\x00',
    b'',
)

_STATUSES = strategies.one_of(
    strategies.just(204),
    strategies.just(400),
    strategies.just(400),
    strategies.sampled_from([200, 205, 301, 302, 304, 307, 401, 403, 404])
    | strategies.sampled_from([407, 413, 422, 429, 500, 502, 503, 504]),
    strategies.integers(100, 999),
)

_EARLY = (
    b'HTTP/1.1 100 Continue\r\n\r\n',
    b'HTTP/1.1 100 Continue\r\nX: y\r\nContent-Length: 5\r\n\r\n',
    b'HTTP/1.1 102 Processing\r\n\r\n',
    b'HTTP/1.1 103 Early Hints\r\nLink: <' + ELSEWHERE + b'>\r\n\r\n',
    b'HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\n\r\n',
    b'HTTP/1.1 199 Own\r\n\r\n',
)


@strategies.composite
def _early_heads(draw: strategies.DrawFn) -> tuple[bytes, bool]:
    """Draw 1xx heads before the reply, and whether all readers skip them."""
    kind = draw(strategies.integers(0, 7))
    if kind > 1:
        return b'', True
    if kind == 0:
        return _EARLY[0] * draw(strategies.sampled_from([1, 2, 90])), True
    early = draw(strategies.lists(strategies.sampled_from(_EARLY), max_size=3))
    # http.client reads a 1xx other than 100 as the reply.
    clean = all(each.startswith(b'HTTP/1.1 100') for each in early)
    return b''.join(early), clean


@dataclasses.dataclass(frozen=True)
class _Answer:
    """A reply before it is cut into pieces.

    :param head: the data up to the empty line.
    :param payload: the data after it.
    """

    head: bytes
    payload: bytes
    status: int
    best: verdicts.Verdict
    clean: bool
    closes: bool


@strategies.composite
def _answers(draw: strategies.DrawFn) -> _Answer:
    # In half of them, only the head may be wrong.
    plain = draw(strategies.booleans())
    body, says = draw(bodies(plain))
    right = strategies.sampled_from([204, 400, 400])
    status = draw(right if plain else _STATUSES)
    early, clean = draw(_early_heads())
    lines, each = draw(_lines())
    clean &= each
    best = verdicts.Verdict.UNKNOWN
    if status == 204:
        framing, without = draw(_framings_of_204())
        best = (
            verdicts.Verdict.REACHABLE if without else verdicts.Verdict.UNKNOWN
        )
        clean &= framing.whole
    else:
        framing = draw(_framings(body, plain))
        if status == 400 and framing.whole:
            best = says
    line, each = draw(strategies.sampled_from(_STATUS_LINES))
    clean &= each
    start = line % status
    if draw(strategies.integers(0, 19)) == 0:
        start = draw(strategies.sampled_from(_NO_STATUS))
        best = verdicts.Verdict.UNKNOWN
        # Cut off in its middle, the line may be that of a 204.
        status = 204
    newline = draw(strategies.sampled_from([b'\r\n', b'\r\n', b'\n']))
    fields = [*lines, *framing.lines]
    if draw(strategies.booleans()):
        fields = [*framing.lines, *lines]
    head = newline.join([start, *fields, b'', b''])
    return _Answer(
        early + head,
        framing.payload,
        status,
        best,
        clean,
        # A 1xx is not the reply, and a reader that loses a header line
        # waits for more data than there is.
        framing.closes or status < 200 or not clean,
    )


def _split(draw: strategies.DrawFn, message: bytes) -> tuple[bytes, ...]:
    """Cut a message into the pieces in which it is sent."""
    cuts = draw(
        strategies.lists(strategies.integers(0, len(message)), max_size=3)
    )
    if draw(strategies.integers(0, 9)) == 0:
        cuts += range(min(30, len(message)))
    edges = sorted({0, len(message), *cuts})
    return tuple(
        message[begin:end]
        for begin, end in zip(edges, edges[1:], strict=False)
    )


@strategies.composite
def scripts(draw: strategies.DrawFn) -> Script:
    """Draw a reply that ends by itself: complete, cut off, or too long."""
    answer = draw(_answers())
    message = answer.head + answer.payload
    if draw(strategies.integers(0, 3)):
        closes = answer.closes or draw(strategies.booleans())
        ending = Ending.CLOSED if closes else Ending.KEPT
        pieces = _split(draw, message)
        return Script(pieces, ending, answer.best, answer.clean)
    end = draw(strategies.integers(0, len(message)))
    # Some readers need no empty line after the last chunk.
    ends = end == len(message) or end >= len(message) - 5 >= len(answer.head)
    best = answer.best if ends else verdicts.Verdict.UNKNOWN
    ending = draw(strategies.sampled_from([Ending.CLOSED, Ending.ENDLESS]))
    if ending is Ending.ENDLESS:
        end = min(end, len(answer.head))
    filler = draw(
        strategies.sampled_from(
            [b'x' * 4096, b'a: b\r\n' * 500, b'1\r\nx\r\n' * 500, b' ' * 4096]
        )
    )
    return Script(
        _split(draw, message[:end]),
        ending,
        best,
        filler=filler,
        cut_204=answer.status == 204 and end < len(answer.head),
    )


@strategies.composite
def scripts_with(draw: strategies.DrawFn, status: int, body: bytes) -> Script:
    """Draw a reply of this status and body, in a right or a wrong form.

    ``clean`` says whether the form is right; ``best`` has no meaning.
    """
    lines, clean = draw(_lines())
    framing = draw(_framings(body))
    start = b'HTTP/1.1 %d OK' % status
    head = b'\r\n'.join([start, *framing.lines, *lines, b'', b''])
    message = head + framing.payload
    clean &= framing.whole
    ending = Ending.KEPT if clean and not framing.closes else Ending.CLOSED
    if draw(strategies.integers(0, 3)) == 0:
        message = message[: draw(strategies.integers(0, len(message) - 1))]
        ending, clean = Ending.CLOSED, False
    return Script(_split(draw, message), ending, clean=clean)


_IDS = strategies.sampled_from(
    [base.GUEST, base.OTHER, '', '..', 'a/b', *EVIL]
)
_ROWS = strategies.fixed_dictionaries(
    {'id': _IDS},
    optional={
        'name': _JSON | evil_texts,
        'tenant_id': _JSON,
        'datastore': _JSON | strategies.just({'type': '\x1b', 'version': 5}),
        'status': _JSON,
        'service_status_updated': _JSON,
    },
)
_LINKS = strategies.fixed_dictionaries(
    {},
    optional={
        'rel': strategies.just('next') | _JSON,
        'href': strategies.sampled_from(
            ['x?marker=5', 'x?marker=0', 'x?marker=-1', 'http://[', 'x?marker']
            + ['x?marker=' + '9' * 5000, 'x?marker=1e3', '']
        )
        | _JSON,
    },
)


def listings() -> strategies.SearchStrategy[bytes]:
    """Draw bodies that are listings, or look like listings."""
    pages = strategies.fixed_dictionaries(
        {'instances': strategies.lists(_ROWS | _JSON, max_size=4)},
        optional={'links': strategies.lists(_LINKS | _JSON, max_size=2)},
    )
    empty: strategies.SearchStrategy[Any] = strategies.just({'instances': []})
    whole = pages | _JSON | empty
    written = whole.map(lambda page: json.dumps(page).encode())
    return written | strategies.sampled_from(_JUNK) | strategies.binary()


@strategies.composite
def stalling_scripts(draw: strategies.DrawFn) -> Script:
    """Draw a reply that stops in the middle while its reader waits."""
    head = b'HTTP/1.1 400 Bad Request\r\nX: y\r\n'
    body = json.dumps(_GENUINE[0](TODAY)).encode()
    framed = draw(
        strategies.sampled_from(
            [
                head + b'Content-Length: %d\r\n\r\n' % (len(body) + 1) + body,
                head
                + b'Transfer-Encoding: chunked\r\n\r\n'
                + b'%x\r\n%s\r\n' % (len(body), body),
                # Until the server hangs up.
                head + b'\r\n' + body,
                b'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n',
                b'HTTP/1.1 100 Continue\r\n\r\n',
            ]
        )
    )
    end = draw(strategies.integers(0, len(framed)) | strategies.just(10**6))
    ending = draw(strategies.sampled_from([Ending.SILENT, Ending.TRICKLING]))
    return Script(_split(draw, framed[:end]), ending)
