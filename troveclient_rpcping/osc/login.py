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
import re
import threading
from typing import Any

from keystoneauth1 import exceptions as ksa_exceptions
from osc_lib import exceptions as osc_exceptions
import urllib3

from troveclient_rpcping import durations
from troveclient_rpcping import plaintext

#: Seconds that Keystone has for a login.
PATIENCE = 60.0

_WHAT_TO_GIVE = (
    'Name a cloud of clouds.yaml (--os-cloud or OS_CLOUD), or set '
    'OS_AUTH_URL, OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME.'
)

_CHECK_URL = (
    'Check that Keystone runs, the URL (OS_AUTH_URL, or auth_url in '
    'clouds.yaml), and the way there: proxies and certificates.'
)

# The options of a login without which there are no credentials at all.
_CREDENTIALS = {'auth_url', 'username', 'user_id', 'token', 'endpoint'}

# What osc_lib and openstacksdk say of an option that is not set.
_MISSING = re.compile(r'Missing value ([\w-]+) required for auth plugin \S+')

# What Python says of an option that a kind of login does not know.
_UNFIT = re.compile(r".*got an unexpected keyword argument '(\w+)'")

# A URL may have a password in it.
_USER_IN_URL = re.compile(r'(?<=://)[^/\s@]*@')


class LoginFailed(osc_exceptions.CommandError):
    """There is no login; the text says why, and what to do.

    :param said: the text; cleaned here.
    :param mistake: whether only the user can mend it.
    """

    def __init__(self, said: str, *, mistake: bool = False):
        super().__init__(plaintext.one_line(_USER_IN_URL.sub('', said), 400))
        self.mistake = mistake


def log_in(app: Any, seconds: float | None) -> None:
    """Log in, unless the shell is logged in already.

    :param app: the ``openstack`` shell.
    :param seconds: how long it may take, at the most; None for
        :data:`PATIENCE`.
    :raises LoginFailed: there is no login.
    """
    limit = min(seconds or PATIENCE, PATIENCE)
    manager = app.client_manager
    try:
        # Here and not in the thread: it may ask a person for a password.
        _set_up(app)
        with _unasked_warnings_silenced(app):
            manager.session.auth.auth_ref = _within(
                limit, lambda: _ask(manager, limit)
            )
    except futures.TimeoutError as error:
        within = durations.human(limit)
        said = f'No login: {_keystone(app)} did not answer within {within}.'
        raise LoginFailed(said) from error
    except Exception as error:
        raise _failure(app, error) from error


def _set_up(app: Any) -> None:
    """Find out how to log in.

    osc_lib's shell does the same before a command that requires a login
    (``prepare_to_run_command``), and has no public name for it.
    """
    manager = app.client_manager
    manager._auth_required = True
    app.cloud = app.cloud_config.get_one(
        cloud=app.options.cloud, argparse=app.options
    )
    manager._cli_options = app.cloud
    manager.setup_auth()


def _ask(manager: Any, seconds: float) -> Any:
    # When nobody waits for it any more, it must still come to an end, and not
    # before that.
    with bounded(manager.session, seconds + 1.0):
        return manager.auth_ref


@contextlib.contextmanager
def bounded(session: Any, seconds: float) -> Iterator[None]:
    """Let no request of a session hang for ever within the block.

    :param session: a session of keystoneauth.
    :param seconds: how long each read may take, if the user sets no limit.
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
    """Do something in another thread; wait, so that signals still arrive.

    No limit of requests bounds a login: it is for each read, a name server
    has none, and a login takes several requests.

    :raises concurrent.futures.TimeoutError: it takes too long.
    """
    done: futures.Future[Any] = futures.Future()

    def work() -> None:
        try:
            done.set_result(act())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return done.result(seconds)


def _failure(app: Any, error: Exception) -> LoginFailed:
    """Say why a login failed, and what to do."""
    url = _keystone(app)
    said = ' '.join(str(error).split()) or type(error).__name__
    proxy = ''
    for each in _chain(error):
        if isinstance(each, urllib3.exceptions.ProxyError):
            proxy = ' through the proxy'
        if isinstance(each, ksa_exceptions.Unauthorized):
            return LoginFailed(
                f'No login: {url} refuses these credentials (HTTP 401). Check '
                'the user, the password, the project, and the domains of '
                'both.'
            )
        if isinstance(each, ksa_exceptions.ConnectTimeout):
            # The user has set a shorter time for each request.
            return LoginFailed(f'No login: {url} did not answer in time.')
        if isinstance(each, ksa_exceptions.HttpError):
            return LoginFailed(f'No login: {url} answered: {each}')
        # requests' errors are OSErrors too, without an errno.
        if isinstance(each, OSError) and each.errno and each.strerror:
            return LoginFailed(
                f'No login: {url} cannot be reached{proxy}: '
                f'{each.strerror}. {_CHECK_URL}'
            )
    if isinstance(
        error,
        ksa_exceptions.ConnectionError | ksa_exceptions.DiscoveryFailure,
    ):
        return LoginFailed(f'No login: {url}: {said}. {_CHECK_URL}')
    if _CREDENTIALS.isdisjoint(_credentials(app)):
        said = f'No login: there are no credentials. {_WHAT_TO_GIVE}'
        return LoginFailed(said, mistake=True)
    unfit = _UNFIT.fullmatch(said)
    if isinstance(error, TypeError) and unfit:
        kind = app.cloud.config.get('auth_type')
        said = f'a login of the type {kind} does not take {unfit[1]}.'
    missing = _MISSING.findall(said)
    if missing:
        names = ', '.join(
            f'OS_{name.upper().replace("-", "_")}' for name in missing
        )
        said = f'credentials are missing. Set {names}.'
    return LoginFailed(f'No login: {said}', mistake=True)


def _credentials(app: Any) -> list[str]:
    """Return the names of the options of a login that are set."""
    return [name for name, value in _options(app).items() if value]


def _options(app: Any) -> dict[str, Any]:
    # Until they are all there, they do not stand among those of the login.
    config = app.cloud.config
    return {**config, **(config.get('auth') or {})}


def _keystone(app: Any) -> str:
    """Return what is asked for a login, in words."""
    url = _options(app).get('auth_url')
    if not url:
        return 'Keystone'
    clean = _USER_IN_URL.sub('', plaintext.one_line(str(url)))
    return f'Keystone at {clean}'


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and those below it that libraries made it of."""
    seen: list[Any] = []
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and each not in seen:
            seen.append(each)
            yield each
            waiting += [each.__cause__, each.__context__, *each.args]
            waiting.append(getattr(each, 'reason', None))


@contextlib.contextmanager
def _unasked_warnings_silenced(app: Any) -> Iterator[None]:
    """Leave one line for one failure.

    keystoneauth warns when it cannot ask Keystone for its versions. If the
    login fails, the error says the same.
    """
    logger = logging.getLogger('keystoneauth.identity')
    level = logger.level
    if not app.options.debug:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
