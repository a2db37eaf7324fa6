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

"""libcurl's multi interface as an event loop: transfers in, outcomes out."""

from __future__ import annotations

import collections
from collections.abc import Iterator
import contextlib
import selectors
import time

import pycurl

from troveclient_rpcping.engine.handle import Handle

# The longest wait, in seconds: the selector counts milliseconds in 32 bits.
_LONGEST_PAUSE = 3600.0

_EVENTS = {
    pycurl.POLL_IN: selectors.EVENT_READ,
    pycurl.POLL_OUT: selectors.EVENT_WRITE,
    pycurl.POLL_INOUT: selectors.EVENT_READ | selectors.EVENT_WRITE,
}


class Loop:
    """Runs transfers side by side.

    ``socket_action`` drives it: the work for an event does not grow with the
    number of transfers, and a file descriptor may be of any number, unlike
    with ``select``.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        # The descriptors of the selector, which is slow to tell them.
        self._watched: set[int] = set()
        self._closed = False
        self._due: float | None = None
        self._running: dict[pycurl.Curl, Handle] = {}
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        # The pause that libcurl asks for, in ms. A method of C, because no
        # signal arrives in it.
        self._timer: collections.deque[int] = collections.deque(maxlen=1)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._timer.append)

    def start(self, handle: Handle) -> None:
        """Start the request that *handle* was prepared for."""
        self._multi.add_handle(handle.curl)
        self._running[handle.curl] = handle
        self._set_due()

    def wait(self, timeout: float | None) -> list[tuple[Handle, int, str]]:
        """Let the transfers go on until some end, or the time is up.

        :param timeout: seconds to wait at the most; None for no limit.
            Without a transfer under way this is a pause.
        :returns: for each that ended its handle, libcurl's error code (0 for
            none) and error message. May be empty before the time is up.
        """
        ready = self._selector.select(self._pause(timeout))
        for key, events in ready:
            mask = 0
            if events & selectors.EVENT_READ:
                mask |= pycurl.CSELECT_IN
            if events & selectors.EVENT_WRITE:
                mask |= pycurl.CSELECT_OUT
            self._multi.socket_action(key.fd, mask)
        self._set_due()
        if self._due is not None and self._due <= time.monotonic():
            self._due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        ended = list(self._ended())
        self._set_due()
        return ended

    def close(self) -> None:
        """End everything that is under way, and free it."""
        self._closed = True
        for curl in self._running:
            # After an interrupt libcurl may not know the transfer any more.
            # The multi handle frees all of them below.
            with contextlib.suppress(pycurl.error):
                self._multi.remove_handle(curl)
        self._running.clear()
        self._multi.close()
        self._selector.close()

    def _pause(self, timeout: float | None) -> float:
        pause = _LONGEST_PAUSE
        if timeout is not None:
            pause = min(pause, timeout)
        if self._due is not None:
            pause = min(pause, max(0.0, self._due - time.monotonic()))
        return pause

    def _ended(self) -> Iterator[tuple[Handle, int, str]]:
        queued = 1
        while queued:
            queued, good, bad = self._multi.info_read()
            for curl, code, message in [(c, 0, '') for c in good] + bad:
                self._multi.remove_handle(curl)
                yield self._running.pop(curl), code, message

    def _on_socket(
        self, what: int, fd: int, multi: object, data: object
    ) -> None:
        if self._closed:
            # After an interrupt the selector may not hold what libcurl thinks.
            return
        if what == pycurl.POLL_REMOVE:
            self._watched.discard(fd)
            try:
                self._selector.unregister(fd)
            except KeyError:
                # An interrupt came as libcurl said what to watch.
                return
        elif fd in self._watched:
            self._selector.modify(fd, _EVENTS[what])
        else:
            self._selector.register(fd, _EVENTS[what])
            self._watched.add(fd)

    def _set_due(self) -> None:
        """Record when libcurl wants to be called again."""
        if not self._timer:
            return
        pause = self._timer.pop()
        self._due = time.monotonic() + pause / 1000 if pause >= 0 else None
