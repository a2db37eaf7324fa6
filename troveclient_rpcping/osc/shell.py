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

"""The shell around both commands: login, signals, streams, failures.

Python drops an exception that a signal handler raises in a destructor, and
prints "Exception ignored in". So a signal may get lost, and the user must send
it again. A process-wide hook could prevent that, but would affect other code.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import io
import logging
import os
import signal
import threading
from types import FrameType
from typing import Any

from keystoneauth1 import exceptions as ksa_exceptions
from openstackclient.identity import common
from osc_lib import exceptions as osc_exceptions
from troveclient.apiclient import exceptions as trove_exceptions

from troveclient_rpcping import client
from troveclient_rpcping import management
from troveclient_rpcping import plaintext
from troveclient_rpcping.cli import arguments as cli_arguments
from troveclient_rpcping.cli import survey
from troveclient_rpcping.cli.exclusions import Exclusions
from troveclient_rpcping.osc import exits
from troveclient_rpcping.osc import login

# The failures of a command. The exceptions of this package are subclasses of
# that of troveclient.
_FAILURES = (
    OSError,
    ksa_exceptions.ClientException,
    trove_exceptions.ClientException,
)


class Terminated(BaseException):
    """SIGTERM arrived. No ``except Exception`` catches it."""


def run(app: Any, act: Callable[[], int]) -> int:
    """Run a command, and return its exit status.

    :param act: the command; returns its exit status if nothing interrupts it.
    :raises CommandError: the command failed; the text is a clean line.
    """
    try:
        with sigterm_raises():
            return act()
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except Terminated:
        return exits.TERMINATED
    except BrokenPipeError:
        # cliff has an exit status for it.
        raise
    except _FAILURES as error:
        line = ' '.join(plaintext.lines(str(error)))
        raise osc_exceptions.CommandError(line) from error
    finally:
        _discard_if_broken(app.stdout)


def refuse(app: Any, parser: argparse.ArgumentParser, mistake: str) -> int:
    """Report wrong usage, and return the exit status for it."""
    # Not parser.error(): that would end the interactive shell.
    app.LOG.error(cli_arguments.brief(parser, mistake))
    return exits.USAGE


def sigterm_raises() -> contextlib.AbstractContextManager[None]:
    """Let SIGTERM raise :class:`Terminated` within the block."""

    def raise_terminated(signum: int, frame: FrameType | None) -> None:
        raise Terminated

    return _handled(signal.SIGTERM, raise_terminated)


def sighup_ignored() -> contextlib.AbstractContextManager[None]:
    """Let the program outlive its terminal within the block."""
    return _handled(signal.SIGHUP, signal.SIG_IGN)


@contextlib.contextmanager
def _handled(
    number: signal.Signals,
    handler: Callable[[int, FrameType | None], None] | signal.Handlers,
) -> Iterator[None]:
    # Only the main thread gets signals, and may set handlers.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, previous)


def new_survey(
    app: Any,
    arguments: argparse.Namespace,
    plan: survey.Plan,
    *,
    always_list: bool,
) -> survey.Survey:
    """Return the survey that a command line asks for.

    :param always_list: list even for IDs alone, to know more about them.
    :raises TargetError: standard input, or a file, cannot be read.
    """
    exclusions = None
    if arguments.exclude or arguments.exclude_status:
        exclusions = Exclusions(arguments.exclude, arguments.exclude_status)

    def project_id(project: str) -> str:
        found = common.find_project(app.client_manager.identity, project)
        return str(found.id)

    return survey.Survey(
        cli_arguments.selection(arguments),
        plan,
        stdin=app.stdin,
        project_id=project_id,
        always_list=always_list,
        exclusions=exclusions,
    )


@contextlib.contextmanager
def manager(
    app: Any, seconds: float | None = None
) -> Iterator[management.Management]:
    """Log in, and make the shell ready for a sweep within the block.

    :param app: the ``openstack`` shell. It may run other commands later.
    :param seconds: how long the login may take; None for no limit of the
        user.
    :returns: the manager of the cloud.
    :raises LoginFailed: there is no login.
    """
    for stream in (app.stdout, app.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of guests may have letters that the encoding lacks.
            stream.reconfigure(errors='backslashreplace')
    login.log_in(app, seconds)
    session = app.client_manager.session
    # osc_lib sets the root logger to DEBUG, and its handlers drop most of it.
    # For a ping of 50 µs, formatting those would be most of the work.
    handlers = logging.getLogger().handlers
    heard = any(handler.level <= logging.DEBUG for handler in handlers)
    with (
        login.log_level(
            'troveclient_rpcping', logging.NOTSET if heard else logging.INFO
        ),
        # A long sweep logs in again.
        login.bounded(session, login.TIMEOUT),
    ):
        yield client.of_cloud(app.cloud, session).mgmt_instances


def discard(*streams: Any) -> None:
    """Discard the text that broken streams still hold.

    Otherwise Python would write this text as the program ends, and change the
    exit status when that fails.
    """
    with open(os.devnull, 'wb') as nowhere:
        for stream in streams:
            with contextlib.suppress(OSError):
                os.dup2(nowhere.fileno(), stream.fileno())


def _discard_if_broken(stream: Any) -> None:
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        discard(stream)
