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

"""Runs many requests side by side, with the multi interface of libcurl."""

from __future__ import annotations

import collections
from collections.abc import Iterator
import contextlib
import math
import selectors
import time

import pycurl

from troveclient_rpcping.engine.handle import Handle

# The longest wait, in seconds: the selector counts milliseconds in 32 bits.
_LONGEST_PAUSE = 3600.0

# A shorter absence of the caller ends no attempt to connect, in seconds.
_SHORT_ABSENCE = 0.01

_EVENTS = {
    pycurl.POLL_IN: selectors.EVENT_READ,
    pycurl.POLL_OUT: selectors.EVENT_WRITE,
    pycurl.POLL_INOUT: selectors.EVENT_READ | selectors.EVENT_WRITE,
}


class Loop:
    """Runs requests side by side.

    ``socket_action`` drives libcurl: the work for an event does not grow with
    the number of requests. Unlike ``select``, it takes a file descriptor of
    any number.

    The loop ends a request that takes too long, and not libcurl: libcurl looks
    at the time before it reads a reply that has come.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        # The descriptors in the selector, which is slow to list them.
        self._watched: set[int] = set()
        self._closed = False
        # When libcurl wants to be called again.
        self._due = math.inf
        # The requests under way, and when each of them times out.
        self._running: dict[pycurl.Curl, tuple[Handle, float]] = {}
        # None of them times out before that.
        self._first_timeout = math.inf
        # For how many seconds the caller was absent.
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
        times_out = self._now() + handle.timeout
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
        if self._timer:
            pause = self._timer.pop() / 1000
            self._due = time.monotonic() + pause if pause >= 0 else math.inf
        for key, events in self._selector.select(self._pause(end)):
            mask = 0
            if events & selectors.EVENT_READ:
                mask |= pycurl.CSELECT_IN
            if events & selectors.EVENT_WRITE:
                mask |= pycurl.CSELECT_OUT
            self._multi.socket_action(key.fd, mask)
        if self._due <= time.monotonic():
            self._due = math.inf
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def discount(self, absence: float) -> None:
        """Leave a time out of the timeouts of the requests under way.

        :param absence: for how many seconds the caller has not called
            :meth:`wait`. Replies may have come, and nobody read them.
        """
        self._absent += absence
        if absence > _SHORT_ABSENCE:
            for handle, _ in self._running.values():
                handle.connect_within(handle.connect_timeout + absence)

    def close(self) -> None:
        """End the requests under way, and free libcurl's memory."""
        self._closed = True
        for curl in self._running:
            # After an interrupt libcurl may not know the request any more.
            # The end of the multi handle frees all of them.
            with contextlib.suppress(pycurl.error):
                self._multi.remove_handle(curl)
        self._running.clear()
        self._multi.close()
        self._selector.close()

    def _pause(self, end: float) -> float:
        now = time.monotonic()
        times_out = self._first_timeout + self._absent
        first = min(end, self._due, times_out, now + _LONGEST_PAUSE)
        return max(0.0, first - now)

    def _now(self) -> float:
        """Return the time on a clock that stops while the caller is absent."""
        return time.monotonic() - self._absent

    def _ended(self) -> Iterator[tuple[Handle, int, str]]:
        queued = 1
        while queued:
            queued, good, bad = self._multi.info_read()
            for curl, code, message in [(c, 0, '') for c in good] + bad:
                yield self._remove(curl), code, message

    def _timed_out(self) -> Iterator[tuple[Handle, int, str]]:
        now = self._now()
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
        if self._closed:
            # After an interrupt the selector may not have this descriptor.
            return
        if what == pycurl.POLL_REMOVE:
            self._watched.discard(fd)
            try:
                self._selector.unregister(fd)
            except KeyError:
                # An interrupt kept the descriptor out of the selector.
                return
        elif fd in self._watched:
            self._selector.modify(fd, _EVENTS[what])
        else:
            self._selector.register(fd, _EVENTS[what])
            self._watched.add(fd)
