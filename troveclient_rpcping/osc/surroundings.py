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

"""What the commands set up before they begin."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import io
import logging
import os
from typing import Any

from troveclient_rpcping import client
from troveclient_rpcping import management
from troveclient_rpcping.osc import login


@contextlib.contextmanager
def manager(
    app: Any, seconds: float | None = None
) -> Iterator[management.Management]:
    """Log in, and make the shell ready for a sweep within the block.

    :param app: the ``openstack`` shell. It may run other commands later.
    :param seconds: how long the login may take; None for no limit of the
        user.
    :returns: what sweeps.
    :raises LoginFailed: there is no login.
    """
    _print_what_the_encoding_lacks(app.stdout, app.stderr)
    login.log_in(app, seconds)
    session = app.client_manager.session
    # There may be another login in the middle of a sweep.
    with _unheard_log_silenced(), login.bounded(session, login.PATIENCE):
        yield client.of_cloud(app.cloud, session).mgmt_instances


def let_go_if_broken(stream: Any) -> None:
    """Give up a stream that cannot be written; see :func:`let_go`.

    :param stream: the stream; None if it is closed.
    """
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        let_go(stream)


def let_go(*streams: Any) -> None:
    """Give up streams that nobody reads any more.

    What they still hold is written as the program ends; if that fails, Python
    says so, and ends with an exit status of its own.

    :param streams: ``sys.stdout``, ``sys.stderr``, or what stands for them.
    """
    with open(os.devnull, 'wb') as nowhere:
        for stream in streams:
            with contextlib.suppress(OSError):
                os.dup2(nowhere.fileno(), stream.fileno())


def _print_what_the_encoding_lacks(*streams: Any) -> None:
    """Let no letter in a name keep the rows from being printed."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')


@contextlib.contextmanager
def _unheard_log_silenced() -> Iterator[None]:
    """Do not format log records that no handler prints.

    osc_lib sets the root logger to DEBUG, and leaves it to the handlers what
    is printed. For a ping of 50 µs the unseen records are the larger part.
    """
    root = logging.getLogger()
    ours = logging.getLogger('troveclient_rpcping')
    level = ours.level
    if not any(h.level <= logging.DEBUG for h in root.handlers):
        ours.setLevel(logging.INFO)
    try:
        yield
    finally:
        ours.setLevel(level)
