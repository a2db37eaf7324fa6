# SPDX-License-Identifier: Apache-2.0

"""Orders and replies: one JSON object in each line, over a socket.

The control socket of a sandbox uses this protocol, and so do the supervisor
and the servers among themselves. An order is ``{"order": NAME, …}``. A reply
is an object with the result, or ``{"error": TEXT}``.
"""

from collections.abc import Callable
import json
import socket
from typing import Any

from sandbox import error

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """Return the line that carries a message."""
    return json.dumps(message).encode() + b'\n'


def decode(line: bytes) -> Message:
    """Return the message of a line. The peer is trusted: it is an object."""
    message: Message = json.loads(line)
    return message


def checked(reply: Message) -> Message:
    """Return the reply.

    :raises sandbox.SandboxError: if the order failed.
    """
    if 'error' in reply:
        raise error.SandboxError(reply['error'])
    return reply


def order(path: str, message: Message, timeout: float = 180) -> Message:
    """Send one order to a control socket, and wait for the reply.

    :param path: the path of the socket.
    :param timeout: seconds. The longest order is to start RabbitMQ again.
    :raises sandbox.SandboxError: if no sandbox listens, or if the order
        failed.
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
            f'the sandbox ended before it carried out {message}'
        )
    return checked(decode(line))


def listening(path: str) -> bool:
    """Tell whether a sandbox listens on a control socket."""
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
