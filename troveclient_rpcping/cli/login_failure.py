# SPDX-License-Identifier: Apache-2.0

"""Why a login failed, in one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import re
from typing import Any

from keystoneauth1 import exceptions as ksa_exceptions

from troveclient_rpcping import plaintext

_WHAT_TO_GIVE = (
    'Name a cloud of clouds.yaml (--os-cloud or OS_CLOUD), or set '
    'OS_AUTH_URL, OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME.'
)
_CHECK_URL = (
    'Check that Keystone runs, the URL (OS_AUTH_URL, or auth_url in '
    'clouds.yaml), and the way there: proxies and certificates.'
)
_CHECK_CATALOG = (
    'Check the region (OS_REGION_NAME) and the interface (OS_INTERFACE).'
)

# Without one of these settings there are no credentials at all.
_CREDENTIALS = {'auth_url', 'username', 'user_id', 'token', 'endpoint'}

# Kinds of login that need no credentials.
_NO_LOGIN = ('none', 'noauth')

# The text of osc_lib and openstacksdk about an option that is not set.
_MISSING = re.compile(r'Missing value ([\w-]+) required for auth plugin \S+')

# The text of Python about an option that a kind of login does not know.
_UNFIT = re.compile(r".*got an unexpected keyword argument '(\w+)'")

# Keystone's text of a 404 about a token or an application credential. The 404
# of a wrong URL has another text.
_GONE = re.compile('token|credential', re.IGNORECASE)

# The cause at the end of an error of urllib3.
_ERRNO = re.compile(r'\[Errno -?\d+\] ([^"\'\])]+)')


@dataclasses.dataclass(frozen=True, slots=True)
class LoginFailure:
    """Why there is no login.

    :param text: the cause, and what to do; not cleaned.
    :param mistake: whether only the user can mend it.
    """

    text: str
    mistake: bool = False


def missing(auth_type: str, auth: Mapping[str, Any]) -> LoginFailure | None:
    """Say which credentials are missing, before Keystone is asked.

    :returns: None if nothing is missing.
    """
    if auth_type in _NO_LOGIN:
        return None
    given = {name for name, value in auth.items() if value not in (None, '')}
    if _CREDENTIALS.isdisjoint(given):
        return LoginFailure(
            f'there are no credentials. {_WHAT_TO_GIVE}', mistake=True
        )
    url = str(auth.get('auth_url') or '')
    if url and not url.startswith(('http://', 'https://')):
        return LoginFailure(
            f'the URL of Keystone, {url}, does not begin with http:// or '
            'https://. Set OS_AUTH_URL, or auth_url in clouds.yaml.',
            mistake=True,
        )
    if auth_type not in ('password', 'v3password'):
        return None
    if 'user_id' in given:
        given.add('username')
    needed = ('auth_url', 'username', 'password')
    lacking = [name for name in needed if name not in given]
    return _lacking(lacking) if lacking else None


def _lacking(names: list[str]) -> LoginFailure:
    variables = ', OS_'.join(names).upper().replace('-', '_')
    return LoginFailure(
        f'credentials are missing. Set OS_{variables}.', mistake=True
    )


def explained(
    error: BaseException, auth_type: str, auth: Mapping[str, Any]
) -> LoginFailure | None:
    """Say why a login failed, and what to do.

    :returns: None if the cause is not known.
    """
    for each in _chain(error):
        found = _of_keystone(each, keystone(auth))
        if found is not None:
            return found
    found = missing(auth_type, auth)
    if found is not None:
        return found
    said = ' '.join(str(error).split())
    if isinstance(error, ksa_exceptions.MissingRequiredOptions):
        return _lacking([option.dest for option in error.options])
    if names := _MISSING.findall(said):
        return _lacking(names)
    unfit = _UNFIT.fullmatch(said)
    if isinstance(error, TypeError) and unfit:
        return LoginFailure(
            f'a login of the type {auth_type} does not take {unfit[1]}.',
            mistake=True,
        )
    return None


def is_refusal(error: BaseException) -> bool:
    """Whether Keystone refused the credentials of a login.

    Only a person can mend that. A Keystone that is down or overloaded does
    not refuse credentials.
    """
    return any(map(_refuses, _chain(error)))


def _refuses(error: BaseException) -> bool:
    if isinstance(error, ksa_exceptions.NotFound):
        return bool(_GONE.search(str(error.message)))
    return isinstance(error, ksa_exceptions.Unauthorized)


def keystone(auth: Mapping[str, Any]) -> str:
    """Return the name of the Keystone that is asked for a login."""
    url = plaintext.one_line(str(auth.get('auth_url') or ''))
    # one_line() replaced the user and the password by asterisks.
    return f'Keystone at {url.replace("***@", "")}' if url else 'Keystone'


def _of_keystone(error: BaseException, asked: str) -> LoginFailure | None:
    """Say how Keystone, or the connection to it, failed."""
    said = ' '.join(str(error).split())
    if _refuses(error):
        return LoginFailure(
            f'{asked} refuses these credentials: {said}. Check the user, the '
            'password, the project, and the domains of both; or the token or '
            'the application credential.'
        )
    if isinstance(error, ksa_exceptions.NotFound):
        return LoginFailure(f'{asked} is not there (HTTP 404). {_CHECK_URL}')
    if isinstance(error, ksa_exceptions.HttpError):
        return LoginFailure(f'{asked} answered: {said.rstrip(".")}.')
    if isinstance(error, ksa_exceptions.ConnectTimeout):
        return LoginFailure(f'{asked} does not answer. {_CHECK_URL}')
    if isinstance(error, ksa_exceptions.ConnectionError):
        through = ' through the proxy' if 'ProxyError' in said else ''
        why = _ERRNO.findall(said)
        return LoginFailure(
            f'{asked} cannot be reached{through}: '
            f'{why[-1] if why else said}. {_CHECK_URL}'
        )
    if isinstance(error, ksa_exceptions.EmptyCatalog):
        return LoginFailure(
            'the token is not for a project. Set OS_PROJECT_NAME or '
            'OS_PROJECT_ID.',
            mistake=True,
        )
    if isinstance(error, ksa_exceptions.EndpointNotFound):
        return LoginFailure(f'{said.rstrip(".")}. {_CHECK_CATALOG}')
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Return an error and its causes, the first cause first.

    An error of the discovery says less than its cause.
    """
    found: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in found:
        found.append(each)
        each = each.__cause__ or each.__context__
    return reversed(found)
