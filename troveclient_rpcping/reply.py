# SPDX-License-Identifier: Apache-2.0

"""One request, and its reply or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
import contextlib
import dataclasses
import enum
import html
import json
import math
import re
from typing import Any
import urllib.parse

from troveclient_rpcping import plaintext

#: The longest body, in bytes; the rest is cut off. Trove's longest genuine
#: reply to a ping is the traceback of a guest, a few kilobytes long. Servers
#: and guests may be hostile.
BODY_LIMIT = 64 * 1024

_TAG = re.compile(r'<[^<>]*>')

# libcurl reads "HTTP/1.1 2040 x" as a 204, but this is not HTTP.
_STATUS_LINE = re.compile(rb'HTTP/[0-9.]+ ([1-9][0-9]{2})(?: .*)?\r?\n\Z')

# The white space around a name or a value. str.strip() would remove more.
_SPACE = ' \t\n\r\v\f'

# The word of a cache, as in "TCP_HIT" or "RefreshHit". nginx may send a stale
# reply.
_HIT = re.compile(
    r'(?:\b|_|refresh)(?:hit|stale|updating|revalidated)\b', re.IGNORECASE
)

# The header fields of caches, each with a pattern for a reply out of a cache.
# Age and Warning: RFC 9111, 5.1, and RFC 7234, 5.5; Cache-Status: RFC 9211;
# the others are of Squid, Varnish and large networks.
_CACHED = {
    'age': re.compile(r'\A(?!0(?:, 0)*\Z)'),
    'warning': re.compile(r'\b11[0-3]\b'),
    'cache-status': re.compile(r'; *hit\b'),
    # Varnish adds the ID of the request that filled the cache.
    'x-varnish': re.compile(r'\A(?!\d+\Z)'),
    'x-cache': _HIT,
    'x-cache-status': _HIT,
    'x-cache-lookup': _HIT,
    'x-proxy-cache': _HIT,
    'cf-cache-status': _HIT,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply.

    :param status: the HTTP status code.
    :param headers: header fields by *lower-case* name.
    :param body: the body, or its first part.
    :param complete: False if the body is cut off at its limit, or broke off,
        or if a part of the head is unreadable.
    """

    status: int
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b''
    complete: bool = True

    @property
    def request_id(self) -> str | None:
        """The ID of the request, as one clean line; None if there is none.

        troveclient and keystoneauth read ``x-compute-request-id``, which
        Trove never sends.
        """
        id_ = self.headers.get('x-openstack-request-id')
        return None if id_ is None else plaintext.one_line(id_)

    @property
    def retry_after(self) -> float | None:
        """The seconds of Retry-After; None if it is not a number.

        Trove sends whole seconds (trove/common/wsgi.py, OverLimitFault), and
        never an HTTP date.
        """
        try:
            seconds = float(self.headers.get('retry-after', ''))
        except ValueError:
            return None
        return seconds if math.isfinite(seconds) and seconds >= 0 else None

    @property
    def cached(self) -> str:
        """The header field by which a cache shows itself; empty for none.

        Trove answers each ping anew. Some caches, like that of nginx, do not
        show themselves.
        """
        for name, value in self.headers.items():
            if name in _CACHED and _CACHED[name].search(value):
                return f'{name}: {value}'
        return ''

    @property
    def announces_body(self) -> bool:
        """Whether the head announces a body, of any length."""
        length = self.headers.get('content-length', '0').strip()
        return length != '0' or 'transfer-encoding' in self.headers

    @property
    def redirects_to(self) -> str | None:
        """The target of a redirect: a server, or a path on this server.

        None if the reply is not a redirect, or names no target.
        """
        location = self.headers.get('location', '').strip()
        if self.status not in (301, 302, 303, 307, 308) or not location:
            return None
        with contextlib.suppress(ValueError):
            url = urllib.parse.urlsplit(location)
            if url.netloc:
                location = f'{url.scheme}://{url.netloc}'
        return plaintext.one_line(location)

    def json(self) -> Any:
        """Return the body as JSON; None if it is not JSON."""
        # A proxy may have wrapped the message: strings may have line breaks.
        try:
            return json.loads(self.body, strict=False)
        except (ValueError, RecursionError):
            return None

    @property
    def fault(self) -> str | None:
        """Trove's error message, whole; None if the body has no such shape.

        The shape is ``{"<name>": {"code": N, "message": "..."}}``
        (trove/common/wsgi.py, Fault).
        """
        body = self.json()
        if not isinstance(body, dict) or len(body) != 1:
            return None
        return _message_in(*body.values()) or None

    @property
    def words(self) -> str | None:
        """The error message of Trove, or of the middleware in front of it.

        keystonemiddleware uses Trove's shape. webob uses ``{"message": "...",
        "code": "403 Forbidden", "title": "Forbidden"}``, with HTML in the
        message; so do Trove's own check of the project and oslo.middleware.
        Of webob's message this is one line, with the status in front.
        """
        if self.fault:
            return self.fault
        message = _message_in(self.json()) or ''
        text = ' '.join(html.unescape(_TAG.sub(' ', message)).split())
        return f'HTTP {self.status}: {text}' if text else None

    @property
    def text(self) -> str:
        """The error message, or the body if there is no message."""
        return self.fault or self.body.decode('utf-8', 'replace')


def _message_in(value: Any) -> str | None:
    message = value.get('message') if isinstance(value, dict) else None
    return message if isinstance(message, str) else None


class Failure(enum.StrEnum):
    """Why there is no reply. Each value is also a reason of a verdict."""

    #: No reply came in time.
    TIMEOUT = 'timeout'
    #: There was no connection, or the connection broke.
    CONNECTION = 'connection'
    #: The reply is not HTTP.
    BAD_RESPONSE = 'bad-response'
    #: The request was not sent.
    NOT_ASKED = 'not-asked'
    #: The server of the guest is off in Nova.
    SERVER_OFF = 'server-off'


@dataclasses.dataclass(frozen=True, slots=True)
class NoReply:
    """No HTTP reply came, or it cannot be read.

    :param kind: why.
    :param message: why, in a clean sentence that may quote the server.
    """

    kind: Failure
    message: str = ''


class Purpose(enum.Enum):
    """Why a request is sent."""

    #: To ping a guest that the caller named.
    GUEST = enum.auto()
    #: To see whether a guest that answered still answers.
    CONTROL = enum.auto()
    #: To see whether any agent answers, by a guest that the caller did not
    #: name.
    WITNESS = enum.auto()
    #: To get the listing of the instances.
    LISTING = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One request. Two of them are never equal.

    :param path: path and query, from the endpoint on.
    :param instance_id: the instance to ping; empty for a listing.
    :param fresh: whether the request needs a new connection. A kept one leads
        to the same worker of trove-api again.
    :param timeout: seconds for the request, in all.
    :param limit: how many bytes of the body to keep.
    """

    purpose: Purpose
    path: str
    instance_id: str = ''
    fresh: bool = False
    timeout: float = 30.0
    limit: int = BODY_LIMIT


def parse_head(lines: list[bytes]) -> tuple[int | None, dict[str, str]]:
    """Return the status and the header fields of a reply.

    The status is None if the head is not one of HTTP, or breaks off.

    :param lines: all lines before the body, those of 1xx replies included,
        and the trailers after it.
    """
    status: int | None = None
    head: list[bytes] = []
    for line in lines:
        if line not in (b'\r\n', b'\n'):
            head.append(line)
            continue
        match = _STATUS_LINE.match(head[0]) if head else None
        status = int(match[1]) if match else None
        if status is not None and status >= 200:
            return status, _fields(head[1:])
        # Another head follows a 1xx.
        head = []
    return None if head else status, {}


def _fields(lines: list[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = None
    for line in lines:
        value = line.decode('latin-1')
        # A line that begins with a blank continues the value above.
        if not value.startswith((' ', '\t')):
            before, colon, value = value.partition(':')
            if not colon:
                continue
            name = before.strip(_SPACE).lower()
        if name is not None:
            value = value.strip(_SPACE)
            # Other readers join a field that comes twice in this way.
            fields[name] = (
                f'{fields[name]}, {value}' if name in fields else value
            )
    return fields
