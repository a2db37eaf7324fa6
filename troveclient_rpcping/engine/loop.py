# SPDX-License-Identifier: Apache-2.0


"""Requests side by side, on the multi interface of libcurl."""

from __future__ import annotations

import collections
from collections.abc import Iterator
import contextlib
import math
import selectors
import time

import pycurl

from troveclient_rpcping import plaintext
from troveclient_rpcping import reply as replies
from troveclient_rpcping.engine import access as engine_access

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

# The names of libcurl's errors. It has no text for some errors of GnuTLS.
_ERRORS = {
    code: name.removeprefix('E_').replace('_', ' ').lower()
    for name, code in vars(pycurl).items()
    if name.startswith('E_') and not name.startswith('E_MULTI')
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

# The longest wait, in seconds: the selector counts milliseconds in 32 bits.
_LONGEST_PAUSE = 3600.0

# A shorter absence of the caller, in seconds, ends no attempt to connect.
_SHORT_ABSENCE = 0.01


class Handle:
    """A handle of libcurl, for one request after another."""

    def __init__(self, access: engine_access.Access):
        self.url = ''
        self.headers: list[str] = []
        #: Seconds for the request, in all. The loop ends it after them.
        self.timeout = 0.0
        #: Seconds for the connection. libcurl ends the request after them.
        self.connect_timeout = 0.0
        self._limit = 0
        self._head: list[bytes] = []
        self._head_size = 0
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
        self.url = url
        self.headers = headers
        self.timeout = timeout
        self._limit = limit
        self._head.clear()
        self._head_size = 0
        self._body.clear()
        self.connect_within(timeout)
        self.curl.setopt(pycurl.URL, url)
        self.curl.setopt(pycurl.HTTPHEADER, headers)
        self.curl.setopt(pycurl.FRESH_CONNECT, fresh)
        self.curl.setopt(pycurl.FORBID_REUSE, fresh)

    def connect_within(self, seconds: float) -> None:
        """Limit the time for the connection, from the start of the request.

        If the name of the server has several addresses, libcurl divides this
        time among them.
        """
        self.connect_timeout = seconds
        milliseconds = round(min(seconds, _LONGEST_TIMEOUT) * 1000)
        self.curl.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, milliseconds))

    def _on_header(self, line: bytes) -> int:
        self._head_size += len(line)
        if self._head_size > _HEAD_LIMIT:
            return 0
        self._head.append(line)
        return len(line)

    def _on_body(self, data: bytes) -> int:
        self._body += data
        # libcurl ends the request if this is not the length of the data.
        return len(data) if len(self._body) <= self._limit else 0

    def took(self) -> tuple[float, float]:
        """Return the seconds of the request in all, and those of its ping.

        The ping is the time from sending the request to the end of the
        reply. Many pings share the look-up of the name and the connection.
        """
        total: float = self.curl.getinfo(pycurl.TOTAL_TIME)
        sending: float = self.curl.getinfo(pycurl.PRETRANSFER_TIME)
        return total, max(0.0, total - sending)

    def outcome(
        self, code: int, message: str
    ) -> replies.Reply | replies.NoReply:
        """Return the reply, or why there is none.

        :param message: libcurl's error message; empty where libcurl leaves it
            out.
        """
        if code == pycurl.E_COULDNT_CONNECT:
            system = self.curl.getinfo(pycurl.OS_ERRNO)
            message = engine_access.shortage(system) or message
        if code == pycurl.E_OPERATION_TIMEDOUT:
            message = self._timeout_message()
            return replies.NoReply(replies.Failure.TIMEOUT, message)
        status, fields = replies.parse_head(self._head)
        overlong = len(self._body) > self._limit
        # If libcurl reads another status, the head is not to be trusted.
        if status != self.curl.getinfo(pycurl.RESPONSE_CODE):
            status = None
        if status is not None and (code == 0 or overlong):
            body = bytes(self._body[: self._limit])
            return replies.Reply(status, fields, body, complete=not overlong)
        if code and not message:
            name = _ERRORS.get(code, 'unnamed')
            message = f'libcurl error {code} ({name})'
        # libcurl quotes the server in some messages.
        message = plaintext.one_line(message)
        if self._head or code in _BAD_RESPONSE:
            message = message or 'The reply is not HTTP'
            return replies.NoReply(replies.Failure.BAD_RESPONSE, message)
        return replies.NoReply(replies.Failure.CONNECTION, message)

    def _timeout_message(self) -> str:
        # A kept connection takes no time to connect.
        connected = (
            self.curl.getinfo(pycurl.CONNECT_TIME)
            or self.curl.getinfo(pycurl.PRETRANSFER_TIME)
            or self._head
        )
        missing = 'answer from' if connected else 'connection to'
        return f'No {missing} the API within {self.timeout:g} s'


class Loop:
    """Runs requests side by side.

    ``socket_action`` drives libcurl: the work for an event does not grow with
    the number of requests. Unlike ``select``, it takes a file descriptor of
    any number.

    The loop, not libcurl, ends a request that takes too long: libcurl looks at
    the time before it reads a reply that has come.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        # When libcurl wants to be called again.
        self._due = math.inf
        # The requests under way, and when each of them times out.
        self._running: dict[pycurl.Curl, tuple[Handle, float]] = {}
        # No request times out before this.
        self._first_timeout = math.inf
        # For how many seconds the caller was absent. The timeouts are on a
        # clock that stops meanwhile.
        self._absent = 0.0
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        # The pause that libcurl asks for, in ms. The callback is a method in
        # C, because no signal interrupts such a method.
        self._timer: collections.deque[int] = collections.deque(maxlen=1)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._timer.append)

    def start(self, handle: Handle) -> None:
        """Start the request that *handle* was prepared for."""
        self._multi.add_handle(handle.curl)
        times_out = time.monotonic() - self._absent + handle.timeout
        self._running[handle.curl] = handle, times_out
        self._first_timeout = min(self._first_timeout, times_out)

    def wait(self, timeout: float) -> list[tuple[Handle, int, str]]:
        """Let the requests go on until some end, or the time is up.

        :param timeout: seconds to wait at the most. Without a request under
            way this is a pause.
        :returns: the requests that ended: the handle of each, libcurl's error
            code (0 for none) and error message.
        """
        end = time.monotonic() + timeout
        while True:
            self._turn(end)
            ended = [*self._ended(), *self._timed_out()]
            if ended or time.monotonic() >= end:
                return ended

    def _turn(self, end: float) -> None:
        """Wait for the first event, and let libcurl handle it."""
        now = time.monotonic()
        if self._timer:
            pause = self._timer.pop() / 1000
            self._due = now + pause if pause >= 0 else math.inf
        times_out = self._first_timeout + self._absent
        first = min(end, self._due, times_out, now + _LONGEST_PAUSE)
        # libcurl and the selectors have the same numbers for reading and
        # writing.
        for key, events in self._selector.select(max(0.0, first - now)):
            self._multi.socket_action(key.fd, events)
        if self._due <= time.monotonic():
            self._due = math.inf
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def discount(self, absence: float) -> None:
        """Move the timeouts of the requests under way by an absence.

        :param absence: for how many seconds the caller has not called
            :meth:`wait`. Replies may have come, and nobody read them.
        """
        self._absent += absence
        if absence > _SHORT_ABSENCE:
            for handle, _ in self._running.values():
                handle.connect_within(handle.connect_timeout + absence)

    def close(self) -> None:
        """End the requests under way, and free libcurl's memory."""
        for curl in self._running:
            # After an interrupt libcurl may not know the request any more.
            # The end of the multi handle frees all requests.
            with contextlib.suppress(pycurl.error):
                self._multi.remove_handle(curl)
        self._running.clear()
        self._multi.close()
        self._selector.close()

    def _ended(self) -> Iterator[tuple[Handle, int, str]]:
        queued = 1
        while queued:
            queued, good, bad = self._multi.info_read()
            for curl, code, message in [(c, 0, '') for c in good] + bad:
                yield self._remove(curl), code, message

    def _timed_out(self) -> Iterator[tuple[Handle, int, str]]:
        now = time.monotonic() - self._absent
        if now < self._first_timeout:
            return
        for curl, (_, times_out) in list(self._running.items()):
            if times_out <= now:
                yield self._remove(curl), pycurl.E_OPERATION_TIMEDOUT, ''
        self._first_timeout = min(
            (times_out for _, times_out in self._running.values()),
            default=math.inf,
        )

    def _remove(self, curl: pycurl.Curl) -> Handle:
        self._multi.remove_handle(curl)
        handle, _ = self._running.pop(curl)
        return handle

    def _on_socket(
        self, what: int, fd: int, multi: object, data: object
    ) -> None:
        # After an interrupt the selector may not have this descriptor.
        if what == pycurl.POLL_REMOVE:
            with contextlib.suppress(KeyError):
                self._selector.unregister(fd)
            return
        try:
            self._selector.modify(fd, what)
        except KeyError:
            self._selector.register(fd, what)
