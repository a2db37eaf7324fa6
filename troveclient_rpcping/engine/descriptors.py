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

"""The limits of this machine on the number of connections.

A connection takes a file descriptor. If none is left, libcurl reports that it
cannot connect, as if the server were down.
"""

from __future__ import annotations

import errno
import os
import resource

# Descriptors for the rest of the process: a log, a name server, Keystone.
_RESERVE = 32
# Descriptors for each request: its connection, and the look-up of the name.
_EACH = 2


def flight(wanted: int) -> int:
    """Return how many requests may be under way at once.

    Raise the limit of this process if it is too low, and as far as allowed.

    :param wanted: the wanted number of requests.
    :returns: this number, or a lower one if the limit is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir('/dev/fd'))
    except OSError:
        # No descriptor is left to count them.
        used = soft
    needed = used + _RESERVE + _EACH * wanted
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY:
            needed = min(needed, hard)
        if needed > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
            soft = needed
        room = (soft - used - _RESERVE) // _EACH
        return max(1, min(wanted, room))
    return wanted


def shortage(code: int = 0) -> str:
    """Return what this machine lacks for a connection; empty for nothing.

    :param code: the error of the system; 0 if it is not known.
    """
    if code == errno.EADDRNOTAVAIL:
        return 'This machine has no local port left for a connection'
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return (
                'This machine has no file descriptor left for a connection: '
                'raise "ulimit -n", or lower --concurrency'
            )
    return ''
