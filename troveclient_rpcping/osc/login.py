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

"""The login of a command, within a time.

The ``openstack`` shell logs in before the code of a command begins, and waits
for Keystone without a limit. The commands of this package therefore have
``auth_required = False``, and log in here.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from concurrent import futures
import contextlib
import logging
import threading
from typing import Any

from osc_lib import exceptions as osc_exceptions

from troveclient_rpcping import durations
from troveclient_rpcping import plaintext
from troveclient_rpcping.cli import login_failure

#: Seconds that Keystone has for a login.
TIMEOUT = 60.0


class LoginFailed(osc_exceptions.CommandError):
    """There is no login; the text says why, and what to do.

    :param said: the text. It is cleaned here.
    :param mistake: whether only the user can mend it.
    """

    def __init__(self, said: str, *, mistake: bool = False):
        super().__init__(plaintext.one_line(said, 400))
        self.mistake = mistake


def log_in(app: Any, seconds: float | None) -> None:
    """Log in, unless the shell is logged in already.

    :param seconds: the longest time for it; None for :data:`TIMEOUT`.
    :raises LoginFailed: there is no login.
    """
    limit = min(seconds or TIMEOUT, TIMEOUT)
    manager = app.client_manager
    try:
        # In this thread, because it may ask a person for a password.
        _set_up(app)
        # keystoneauth warns when it cannot get the versions of Keystone. The
        # error of the failed login says the same.
        level = logging.NOTSET if app.options.debug else logging.ERROR
        with log_level('keystoneauth.identity', level):
            manager.session.auth.auth_ref = _within(
                limit, lambda: _ask(manager, limit)
            )
    except futures.TimeoutError as error:
        within = durations.human(limit)
        keystone = login_failure.keystone(_options(app))
        said = f'No login: {keystone} did not answer within {within}.'
        raise LoginFailed(said) from error
    except Exception as error:
        raise failure(app, error) from error


def _set_up(app: Any) -> None:
    """Set up the login.

    osc_lib's shell does the same for a command that requires a login
    (``prepare_to_run_command``), but has no public name for it.
    """
    manager = app.client_manager
    manager._auth_required = True
    app.cloud = app.cloud_config.get_one(
        cloud=app.options.cloud, argparse=app.options
    )
    manager._cli_options = app.cloud
    manager.setup_auth()


def _ask(manager: Any, seconds: float) -> Any:
    # The request must end after the wait for it, and not before.
    with bounded(manager.session, seconds + 1.0):
        return manager.auth_ref


@contextlib.contextmanager
def bounded(session: Any, seconds: float) -> Iterator[None]:
    """Bound every request of a session within the block.

    :param seconds: how long each read may take, unless the user sets a limit.
    """
    if session.timeout is not None:
        yield
        return
    session.timeout = seconds
    try:
        yield
    finally:
        session.timeout = None


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


def failure(app: Any, error: Exception) -> LoginFailed:
    """Return why a login failed, and what to do."""
    options = _options(app)
    auth_type = str(options.get('auth_type'))
    found = login_failure.explained(error, auth_type, options)
    if found is None:
        said = ' '.join(str(error).split()) or type(error).__name__
        found = login_failure.LoginFailure(said, mistake=True)
    return LoginFailed(f'No login: {found.text}', mistake=found.mistake)


def _options(app: Any) -> dict[str, Any]:
    # An incomplete login has its options beside "auth".
    config = app.cloud.config
    return {**config, **(config.get('auth') or {})}


@contextlib.contextmanager
def log_level(name: str, level: int) -> Iterator[None]:
    """Set the level of a logger within the block."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
