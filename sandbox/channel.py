# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

"""Orders and replies: one JSON object a line, over a socket.

The same words are spoken on the control socket of a sandbox and between its
supervisor and the servers. An order is ``{"order": NAME, …}``; a reply
holds what was asked for, or ``{"error": TEXT}``.
"""

from collections.abc import Callable
import json
import socket
from typing import Any

from sandbox import error

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """One line."""
    return json.dumps(message).encode() + b'\n'


def decode(line: bytes) -> Message:
    """One message; the peer is ours, so it is an object."""
    message: Message = json.loads(line)
    return message


def checked(reply: Message) -> Message:
    """The reply, unless it says that the order failed."""
    if 'error' in reply:
        raise error.SandboxError(reply['error'])
    return reply


def order(path: str, message: Message, timeout: float = 180) -> Message:
    """Give one order on a control socket, and wait until it is carried out.

    :param path: the socket's path.
    :param timeout: seconds; the longest order is to start RabbitMQ again.
    :raises sandbox.SandboxError: when nobody listens, or it went wrong.
    """
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(timeout)
            sock.connect(path)
            sock.sendall(encode(message))
            line = sock.makefile('rb').read()
    except OSError as exc:
        raise error.SandboxError(
            f'the sandbox does not answer on {path}: {exc}'
        ) from exc
    if not line:
        raise error.SandboxError(
            f'the sandbox ended before it had carried out {message}'
        )
    return checked(decode(line))


def listening(path: str) -> bool:
    """Whether a sandbox is behind that path."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(path)
        except OSError:
            return False
    return True


def serve(
    sock: socket.socket, carry_out: Callable[[Message], Message]
) -> None:
    """Carry out the orders that arrive, until the other end closes."""
    for line in sock.makefile('rb'):
        try:
            reply = carry_out(decode(line))
        except Exception as exc:
            reply = {'error': f'{type(exc).__name__}: {exc}'}
        sock.sendall(encode(reply))
