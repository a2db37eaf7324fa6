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

"""One request on one handle of libcurl, and its reply."""

from __future__ import annotations

import contextlib
import re

import pycurl

from troveclient_rpcping import plaintext
from troveclient_rpcping.engine import descriptors
from troveclient_rpcping.engine.access import Access
from troveclient_rpcping.reply import Failure
from troveclient_rpcping.reply import NoReply
from troveclient_rpcping.reply import Reply

# The errors of libcurl for a reply that is not HTTP, or broken HTTP.
_BAD_RESPONSE = {
    pycurl.E_UNSUPPORTED_PROTOCOL,
    pycurl.E_FTP_WEIRD_SERVER_REPLY,
    pycurl.E_PARTIAL_FILE,
    pycurl.E_BAD_CONTENT_ENCODING,
    pycurl.E_HTTP2,
    # CURLE_TOO_LARGE, for a head that is too long: pycurl has no name for it.
    100,
}

# The most bytes of all heads and trailers together. libcurl has this limit
# since 8.4; before, it has none.
_HEAD_LIMIT = 300 * 1024

# CURLOPT_SUPPRESS_CONNECT_HEADERS: pycurl has no name for it either.
_SUPPRESS_CONNECT_HEADERS = 265

# CURLOPT_QUICK_EXIT, since libcurl 7.87: then the end of a request does not
# wait for a silent name server.
_QUICK_EXIT = 322

# The longest timeout of libcurl, in seconds: it counts ms in 32 bits.
_LONGEST_TIMEOUT = 1_000_000


class Handle:
    """A handle of libcurl, for one request after another."""

    def __init__(self, access: Access):
        #: Seconds for the request, in all. The loop ends it then.
        self.timeout = 0.0
        #: Seconds until the connection must stand. libcurl ends it then.
        self.connect_timeout = 0.0
        self._limit = 0
        self.url = ''
        self._header_lines: list[bytes] = []
        self._header_size = 0
        self._body = bytearray()
        self.curl = pycurl.Curl()
        access.configure(self.curl)
        setopt = self.curl.setopt
        setopt(pycurl.NOSIGNAL, 1)
        setopt(pycurl.USERAGENT, access.user_agent)
        # The token goes to the endpoint alone, and over HTTP alone.
        setopt(pycurl.FOLLOWLOCATION, 0)
        setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        setopt(pycurl.PATH_AS_IS, 1)
        # The reply of a proxy to CONNECT does not belong to the reply.
        setopt(_SUPPRESS_CONNECT_HEADERS, 1)
        with contextlib.suppress(pycurl.error):
            setopt(_QUICK_EXIT, 1)
        setopt(pycurl.TCP_KEEPALIVE, 1)
        setopt(pycurl.WRITEFUNCTION, self._on_body)
        setopt(pycurl.HEADERFUNCTION, self._on_header)

    def prepare(
        self,
        url: str,
        headers: list[str],
        *,
        timeout: float,
        limit: int,
        fresh: bool = False,
    ) -> None:
        """Prepare the next request.

        :param timeout: seconds for the request, in all: from the look-up of
            the name to the last byte of the reply.
        :param limit: the most bytes of a body to keep.
        :param fresh: whether to open a new connection, and close it after the
            request.
        """
        self.timeout = timeout
        self._limit = limit
        self._header_lines.clear()
        self._header_size = 0
        self._body.clear()
        self.url = url
        self.connect_within(timeout)
        self.curl.setopt(pycurl.URL, url)
        self.curl.setopt(pycurl.HTTPHEADER, headers)
        self.curl.setopt(pycurl.FRESH_CONNECT, fresh)
        self.curl.setopt(pycurl.FORBID_REUSE, fresh)

    def connect_within(self, seconds: float) -> None:
        """Limit the time for the connection.

        If the name of the server has several addresses, libcurl divides this
        time among them.

        :param seconds: the seconds from the start of the request on.
        """
        self.connect_timeout = seconds
        milliseconds = round(min(seconds, _LONGEST_TIMEOUT) * 1000)
        self.curl.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, milliseconds))

    def _on_header(self, line: bytes) -> int:
        self._header_size += len(line)
        if self._header_size > _HEAD_LIMIT:
            return 0
        self._header_lines.append(line)
        return len(line)

    def _on_body(self, data: bytes) -> int:
        self._body += data
        # libcurl ends the request if this is not the length of the data.
        return len(data) if len(self._body) <= self._limit else 0

    @property
    def seconds(self) -> float:
        """How long the request took, in all."""
        total: float = self.curl.getinfo(pycurl.TOTAL_TIME)
        return total

    @property
    def rtt(self) -> float:
        """Seconds from sending the request to the end of the reply.

        The look-up of the name and the connection are left out: many pings
        share them.
        """
        sending: float = self.curl.getinfo(pycurl.PRETRANSFER_TIME)
        return max(0.0, self.seconds - sending)

    def outcome(self, code: int, message: str) -> Reply | NoReply:
        """Return the reply, or why there is none.

        :param message: libcurl's error message; empty where libcurl leaves it
            out, as for some errors of GnuTLS.
        """
        if code == pycurl.E_COULDNT_CONNECT:
            system = self.curl.getinfo(pycurl.OS_ERRNO)
            message = descriptors.shortage(system) or message
        if code == pycurl.E_OPERATION_TIMEDOUT:
            return NoReply(Failure.TIMEOUT, self._timeout_message())
        status, fields = _head(self._header_lines)
        overlong = len(self._body) > self._limit
        # If libcurl reads another status, the head is not to be trusted.
        if status != self.curl.getinfo(pycurl.RESPONSE_CODE):
            status = None
        if status is not None and (code == 0 or overlong):
            return Reply(
                status=status,
                headers=fields,
                body=bytes(self._body[: self._limit]),
                complete=not overlong,
            )
        # libcurl quotes the server in some messages.
        message = plaintext.one_line(message or _named(code))
        if self._header_lines or code in _BAD_RESPONSE:
            message = message or 'The reply is not HTTP'
            return NoReply(Failure.BAD_RESPONSE, message)
        return NoReply(Failure.CONNECTION, message)

    def _timeout_message(self) -> str:
        # A kept connection takes no time to connect.
        if (
            self.curl.getinfo(pycurl.CONNECT_TIME)
            or self.curl.getinfo(pycurl.PRETRANSFER_TIME)
            or self._header_lines
        ):
            return f'No answer from the API within {self.timeout:g} s'
        return f'No connection to the API within {self.timeout:g} s'


def _named(code: int) -> str:
    """Return an error of libcurl in words; empty for none."""
    if not code:
        return ''
    names = (
        name.removeprefix('E_').replace('_', ' ').lower()
        for name, value in vars(pycurl).items()
        if name.startswith('E_')
        and not name.startswith('E_MULTI')
        and value == code
    )
    return f'libcurl error {code} ({next(names, "unnamed")})'


# libcurl reads "HTTP/1.1 2040 x" as a 204, but this is not HTTP.
_STATUS_LINE = re.compile(rb'HTTP/[0-9.]+ ([1-9][0-9]{2})(?: .*)?\r?\n\Z')

# The white space around a name or a value. str.strip() would remove more.
_SPACE = ' \t\n\r\v\f'


def _head(lines: list[bytes]) -> tuple[int | None, dict[str, str]]:
    """Return the status and the header fields of a reply.

    The status is None if the head is not one of HTTP, or breaks off.
    """
    status: int | None = None
    fields: dict[str, str] = {}
    head: list[bytes] = []
    for line in lines:
        if line not in (b'\r\n', b'\n'):
            head.append(line)
            continue
        match = _STATUS_LINE.match(head[0]) if head else None
        status = int(match[1]) if match else None
        fields = _fields(head[1:])
        if status is not None and status >= 200:
            # The trailers of a chunked body may follow.
            return status, fields
        # Another head follows a 1xx.
        head = []
    return None if head else status, fields


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
