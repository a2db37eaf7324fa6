# SPDX-License-Identifier: Apache-2.0

"""The shell around both commands: login, signals, streams, failures.

The ``openstack`` shell logs in before the code of a command begins, and waits
for Keystone without a limit. The commands of this package therefore have
``auth_required = False``, and log in here.

Python drops an exception that a signal handler raises in a destructor, and
prints "Exception ignored in". So a signal may get lost, and the user must send
it again. A process-wide hook could prevent that, but would affect other code.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Iterator
from concurrent import futures
import contextlib
import io
import logging
import os
import re
import signal
import threading
import types
from typing import Any

from keystoneauth1 import exceptions as ksa_exceptions
from openstackclient.identity import common
from osc_lib import exceptions as osc_exceptions
from troveclient.apiclient import exceptions as trove_exceptions

from troveclient_rpcping import client
from troveclient_rpcping import durations
from troveclient_rpcping import management
from troveclient_rpcping import plaintext
from troveclient_rpcping.cli import arguments as cli_arguments
from troveclient_rpcping.cli import login_failure
from troveclient_rpcping.cli import survey as surveys
from troveclient_rpcping.osc import exits

# Seconds that Keystone has for a login.
_LOGIN = 60.0

# The failures of a command. The exceptions of this package are subclasses of
# that of troveclient.
_FAILURES = (
    OSError,
    ksa_exceptions.ClientException,
    trove_exceptions.ClientException,
)


class Terminated(BaseException):
    """SIGTERM arrived. No ``except Exception`` catches it."""


class LoginFailed(osc_exceptions.CommandError):
    """The login failed; the text says why, and what to do.

    :param said: the text. It is cleaned here.
    :param mistake: whether only the user can mend it.
    """

    def __init__(self, said: str, *, mistake: bool = False):
        super().__init__(plaintext.one_line(f'No login: {said}', 400))
        self.mistake = mistake


def run(
    app: Any,
    parser: argparse.ArgumentParser,
    mistake: str | None,
    act: Callable[[], int],
) -> int:
    """Run a command, and return its exit status.

    :param mistake: what is wrong with the command line; None for nothing.
    :param act: the command; returns its exit status if nothing interrupts it.
    :raises CommandError: the command failed; the text is a clean line.
    """
    if mistake:
        # Not parser.error(): that would end the interactive shell.
        app.LOG.error(cli_arguments.brief(parser, mistake))
        return exits.USAGE
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
        line = re.sub(r'\A\[Errno \d+\] ', '', line)
        raise osc_exceptions.CommandError(line) from error
    finally:
        _discard_if_broken(app.stdout)


def sigterm_raises() -> contextlib.AbstractContextManager[None]:
    """Let SIGTERM raise :class:`Terminated` within the block."""

    def raise_terminated(number: int, frame: types.FrameType | None) -> None:
        raise Terminated

    return handled(signal.SIGTERM, raise_terminated)


@contextlib.contextmanager
def handled(
    number: signal.Signals,
    handler: Callable[[int, types.FrameType | None], None] | signal.Handlers,
) -> Iterator[None]:
    """Handle a signal within the block."""
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
    plan: surveys.Plan,
    *,
    always_list: bool,
) -> surveys.Survey:
    """Return the survey that a command line asks for.

    :param always_list: list even for IDs alone, to know more about them.
    :raises TargetError: standard input, or a file, cannot be read.
    """

    def project_id(project: str) -> str:
        found = common.find_project(app.client_manager.identity, project)
        return str(found.id)

    return surveys.Survey(
        cli_arguments.selection(arguments),
        plan,
        stdin=app.stdin,
        project_id=project_id,
        always_list=always_list,
    )


@contextlib.contextmanager
def manager(
    app: Any, seconds: float | None = None
) -> Iterator[management.Management]:
    """Log in, and make the shell ready for a sweep within the block.

    :param app: the ``openstack`` shell. It may run other commands later.
    :param seconds: how long the login may take; None if the user sets no
        limit.
    :returns: the manager of the cloud.
    :raises LoginFailed: there is no login.
    """
    for stream in (app.stdout, app.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of guests may have letters that the encoding lacks.
            stream.reconfigure(errors='backslashreplace')
    # osc_lib sets the root logger to DEBUG, and its handlers drop most of the
    # records. Formatting the records would be most of a ping of 50 µs.
    handlers = logging.getLogger().handlers
    heard = any(handler.level <= logging.DEBUG for handler in handlers)
    levels = {
        'troveclient_rpcping': logging.NOTSET if heard else logging.INFO,
        # keystoneauth warns when it cannot get the versions of Keystone. The
        # error of the failed login says the same.
        'keystoneauth.identity': (
            logging.NOTSET if app.options.debug else logging.ERROR
        ),
    }
    with contextlib.ExitStack() as stack:
        for name, level in levels.items():
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(level)
        _log_in(app, stack, min(seconds or _LOGIN, _LOGIN))
        session = app.client_manager.session
        yield client.of_cloud(app.cloud, session).mgmt_instances


def _log_in(app: Any, stack: contextlib.ExitStack, seconds: float) -> None:
    """Log in, unless the shell is logged in already.

    A later login has a limit, too; *stack* removes the limit at its end.

    :param seconds: the longest time for the login.
    """
    try:
        # In this thread, because it may ask a person for a password.
        _set_up(app)
        clients = app.client_manager
        session = clients.session
        limit = session.timeout
        if limit is None:
            # A request must not end before the wait for it. A login that
            # hangs goes on in its thread, and keeps this limit.
            session.timeout = _LOGIN + 1.0

        def ask() -> Any:
            try:
                return clients.auth_ref
            except BaseException:
                session.timeout = limit
                raise

        session.auth.auth_ref = _within(seconds, ask)
        stack.callback(setattr, session, 'timeout', limit)
    except futures.TimeoutError as error:
        within = durations.human(seconds)
        keystone = login_failure.keystone(_login_options(app))
        raise LoginFailed(
            f'{keystone} did not answer within {within}.'
        ) from error
    except Exception as error:
        raise login_failed(app, error) from error


def _set_up(app: Any) -> None:
    """Set up the login.

    osc_lib's shell does the same for a command that requires a login
    (``prepare_to_run_command``), but has no public name for it.
    """
    clients = app.client_manager
    clients._auth_required = True
    app.cloud = app.cloud_config.get_one(
        cloud=app.options.cloud, argparse=app.options
    )
    clients._cli_options = app.cloud
    clients.setup_auth()


def _within(seconds: float, act: Callable[[], Any]) -> Any:
    """Act in another thread, so that signals arrive during the wait.

    A timeout of requests does not bound a login. It counts for each read, and
    not for the name server. And a login takes several requests.

    :raises concurrent.futures.TimeoutError: the act takes too long.
    """
    done: futures.Future[Any] = futures.Future()

    def work() -> None:
        try:
            done.set_result(act())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return done.result(seconds)


def login_failed(app: Any, error: Exception) -> LoginFailed:
    """Return why a login failed, and what to do."""
    options = _login_options(app)
    auth_type = str(options.get('auth_type'))
    found = login_failure.explained(error, auth_type, options)
    if found is None:
        said = ' '.join(str(error).split()) or type(error).__name__
        return LoginFailed(said, mistake=True)
    return LoginFailed(found.text, mistake=found.mistake)


def _login_options(app: Any) -> dict[str, Any]:
    # An incomplete login has its options beside "auth".
    config = app.cloud.config
    return {**config, **(config.get('auth') or {})}


def is_quiet(app: Any) -> bool:
    """Whether standard error gets no text: the user says so, or closed it."""
    return app.stderr is None or not app.options.verbose_level


def say(app: Any, *sentences: str) -> None:
    """Print sentences for people on standard error."""
    if not is_quiet(app):
        try:
            for sentence in sentences:
                app.stderr.write(f'{sentence}\n')
            app.stderr.flush()
        except OSError:
            # The exit status stands without these sentences.
            discard(app.stderr)


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
