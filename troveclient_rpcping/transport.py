# SPDX-License-Identifier: Apache-2.0

"""One GET through the keystoneauth session of a troveclient Client.

troveclient's own way to read a reply is not safe: its ``from_response`` and
keystoneauth's JSON adapter crash on bodies that Trove never sends, and both
read a body of any length.
"""

from __future__ import annotations

import dataclasses
import functools
import http.client
import logging
from typing import Any
import urllib.parse

from keystoneauth1 import exceptions as ksa_exceptions
import requests
import urllib3

from troveclient_rpcping import exceptions
from troveclient_rpcping import plaintext
from troveclient_rpcping import reply as replies
from troveclient_rpcping import version

LOG = logging.getLogger(__name__)

USER_AGENT = f'python-troveclient-rpcping/{version.VERSION}'

# No ID is longer: Trove's have 36 characters, and its column holds as many.
_LONGEST_ID = 255

#: The headers of every request.
HEADERS = {
    'Accept': 'application/json',
    # Not compressed: a small body could unpack to a large one.
    'Accept-Encoding': 'identity',
    # A cache must not answer for a guest.
    'Cache-Control': 'no-cache, no-store',
    'Pragma': 'no-cache',
}


# A sweep needs each path twice: to check the ID, and to send the ping.
@functools.lru_cache(maxsize=1024)
def ping_path(instance_id: str) -> str:
    """Return the path of the ping of one instance, below the endpoint.

    Only this function knows the route. No ID can lead to another route.

    :param instance_id: the ID.
    :raises InvalidInstanceID: for a text that cannot be an ID.
    """
    # Quoting is not enough. It keeps dots, and clients and proxies resolve
    # "..". Many proxies unquote slashes again.
    if (
        not instance_id.strip('.')
        or set(instance_id) & set('/\\')
        or len(instance_id) > _LONGEST_ID
    ):
        shown = plaintext.one_line(instance_id, 60)
        raise exceptions.InvalidInstanceID(
            f'"{shown}" cannot be the ID of an instance', instance_id
        )
    quoted = urllib.parse.quote(instance_id, safe='', errors='replace')
    return f'/mgmt/instances/{quoted}/rpc_ping'


def session_client(api: Any) -> Any:
    """Return the keystoneauth adapter inside a troveclient Client.

    :param api: a ``troveclient.v1.client.Client``.
    :raises SessionRequired: the client was made without a session.
    """
    client = api.client
    if getattr(client, 'session', None) is None:
        raise exceptions.SessionRequired(
            'rpc_ping needs a client made with a keystoneauth session: '
            'Client(session=...). Without one, troveclient can only log in '
            'by the Identity API v2.0, which no longer exists.'
        )
    return client


def endpoint(client: Any) -> str:
    """Return the URL of the database service.

    A URL that a user set may have fields for the IDs of the caller.
    keystoneauth fills them in for each request, but not in ``management_url``.

    :param client: what :func:`session_client` returned.
    :raises keystoneauth1.exceptions.CatalogException: this is not a URL, or
        the login has no such ID.
    """
    url = str(client.management_url)
    for name in ('project_id', 'user_id'):
        if f'%({name})s' in url:
            value = getattr(client.session, f'get_{name}')(client.auth)
            if not value:
                raise ksa_exceptions.CatalogException(
                    f'The endpoint "{plaintext.one_line(url)}" needs '
                    f'{name}, and this login has none'
                )
            url = url.replace(f'%({name})s', value)
    if not url.isascii():
        raise ksa_exceptions.CatalogException(
            f'The endpoint "{plaintext.one_line(url)}" is not a URL: write '
            'letters beyond ASCII as %C3%A4, and as xn--... in the name of '
            'the host. The endpoint comes from the catalog, or from a setting '
            'that replaces it'
        )
    return url


def unsendable_token() -> ksa_exceptions.ClientException:
    """Return the exception for a token beyond ASCII."""
    return ksa_exceptions.AuthorizationFailure(
        'The token has letters beyond ASCII, which HTTP cannot send: check '
        'where it is set (--os-token, OS_TOKEN or clouds.yaml)'
    )


def get(api: Any, path: str, timeout: float | None) -> replies.Reply:
    """Send one GET to the database endpoint, and return the reply.

    Redirects are not followed: the token goes to the endpoint alone.

    :param api: a ``troveclient.v1.client.Client`` with a session.
    :param path: path and query, from the endpoint on.
    :param timeout: seconds to wait for the connection, and for each piece of
        the reply. None: the timeout of the session.
    :raises keystoneauth1.exceptions.ClientException: no reply, or no login.
    """
    client = session_client(api)
    url = endpoint(client) + path
    LOG.debug('GET %s', url)
    with _request(client, url, timeout) as response:
        # Not response.headers: _forget_redirect() changes those.
        fields = response.raw.headers
        reply = replies.Reply(
            status=response.status_code,
            headers={name.lower(): fields[name] for name in fields},
        )
        # http.client takes every 1xx but 100 for the reply, and expects no
        # body after 204. The rest must not become the reply to the next ping.
        more = reply.status == 204 and reply.announces_body
        if reply.status < 200 or more:
            response.raw.close()
        body, complete = _read(response)
    reply = dataclasses.replace(reply, body=body, complete=complete)
    log_reply(url, reply)
    return reply


def _request(
    client: Any, url: str, timeout: float | None
) -> requests.Response:
    """Send one GET, and read the head of the reply."""
    given = {} if timeout is None else {'timeout': timeout}
    try:
        response: requests.Response = client.session.request(
            url,
            'GET',
            auth=client.auth,
            headers={**client.additional_headers, **HEADERS},
            user_agent=client.user_agent or USER_AGENT,
            connect_retries=client.connect_retries or 0,
            raise_exc=False,
            redirect=False,
            stream=True,
            # keystoneauth would read the whole body, to log it.
            log=False,
            hooks={'response': _forget_redirect},
            **given,
        )
    except UnicodeEncodeError as error:
        # The URL and all other headers are ASCII.
        raise unsendable_token() from error
    except (urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
        # requests lets some errors of urllib3 on malformed heads through.
        message = f'Unreadable reply from {url}: {error}'
        raise ksa_exceptions.UnknownConnectionError(message, error) from error
    return response


def _forget_redirect(
    response: requests.Response, **kwargs: Any
) -> requests.Response:
    # Even if requests does not follow a redirect, it reads the whole body, and
    # fails at a malformed address.
    response.headers.pop('Location', None)
    return response


def log_reply(url: str, reply: replies.Reply) -> None:
    """Log a reply at DEBUG: the whole text, each line clean."""
    if not LOG.isEnabledFor(logging.DEBUG):
        return
    LOG.debug(
        'GET %s: HTTP %d, request ID %s',
        url,
        reply.status,
        reply.request_id or 'none',
    )
    for line in plaintext.lines(reply.text):
        LOG.debug('| %s', line)


def _read(response: requests.Response) -> tuple[bytes, bool]:
    """Return a body, or its first part, and whether the reply is whole."""
    # A fake has no reply of http.client.
    original = getattr(response.raw, '_original_response', None)
    body = b''
    try:
        # Not decompressed: a small body could unpack to a large one.
        body = response.raw.read(replies.BODY_LIMIT + 1, decode_content=False)
        if isinstance(original, http.client.HTTPResponse):
            # http.client ends the head at the first line that is not a header
            # field. It drops the other lines, among which may be the length
            # of the body.
            urllib3.util.response.assert_header_parsing(original.msg)
    except (
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
        ValueError,
    ):
        # The reply is not whole.
        return body[: replies.BODY_LIMIT], False
    return body[: replies.BODY_LIMIT], len(body) <= replies.BODY_LIMIT
