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

"""One GET through the keystoneauth session of a troveclient Client.

What troveclient would do with the reply itself is not safe: its
``from_response`` and keystoneauth's JSON adapter crash on bodies that Trove
never sends, and both read a body of any length.
"""

from __future__ import annotations

import http.client
import logging
import time
from typing import Any
import urllib.parse

from keystoneauth1 import exceptions as ksa_exceptions
import requests
import urllib3

from troveclient_rpcping import exceptions
from troveclient_rpcping import plaintext
from troveclient_rpcping import version
from troveclient_rpcping.reply import BODY_LIMIT
from troveclient_rpcping.reply import Reply

LOG = logging.getLogger(__name__)

USER_AGENT = f'python-troveclient-rpcping/{version.VERSION}'

# Not compressed: what arrives is what is kept, and no small body unpacks to a
# large one.
HEADERS = {'Accept': 'application/json', 'Accept-Encoding': 'identity'}


def ping_path(instance_id: str) -> str:
    """Return the path of the ping of one instance, below the endpoint.

    The one place where the route stands. No ID can reach another one.

    :param instance_id: the ID.
    :raises InvalidInstanceID: for a text that cannot be an ID.
    """
    # Quoting is not enough. Dots alone survive it, and are folded away by
    # clients and proxies; slashes are unquoted again by many a proxy.
    if not instance_id.strip('.') or set(instance_id) & set('/\\'):
        shown = plaintext.one_line(instance_id, 60)
        raise exceptions.InvalidInstanceID(
            f'"{shown}" cannot be the ID of an instance'
        )
    quoted = urllib.parse.quote(instance_id, safe='', errors='replace')
    return f'/mgmt/instances/{quoted}/rpc_ping'


def session_client(api: Any) -> Any:
    """Return the keystoneauth adapter inside a troveclient Client.

    :param api: a ``troveclient.v1.client.Client``.
    :raises SessionRequired: if it was made without a session.
    """
    client = api.client
    if getattr(client, 'session', None) is None:
        raise exceptions.SessionRequired(
            'rpc_ping needs a client made with a keystoneauth session: '
            'Client(session=...). Without one, troveclient can only log in '
            'by the Identity API v2.0, which no longer exists.'
        )
    return client


def get(api: Any, path: str, timeout: float | None) -> Reply:
    """Send one GET to the database endpoint, and return what comes back.

    Redirects are not followed: the token goes to the endpoint alone.

    :param api: a ``troveclient.v1.client.Client`` with a session.
    :param path: path and query, from the endpoint on.
    :param timeout: seconds to wait for the connection, for the head of the
        reply (each piece of it, as ``requests`` counts) and for the body (in
        all). None: the session's own timeout.
    :raises keystoneauth1.exceptions.ClientException: no reply, or no login.
    """
    client = session_client(api)
    url = client.management_url + path
    kwargs: dict[str, Any] = {}
    if timeout is not None:
        kwargs['timeout'] = timeout
    LOG.debug('GET %s', url)
    try:
        response = client.session.request(
            url,
            'GET',
            auth=client.auth,
            headers={**client.additional_headers, **HEADERS},
            user_agent=client.user_agent or USER_AGENT,
            connect_retries=client.connect_retries or 0,
            raise_exc=False,
            redirect=False,
            stream=True,
            # Its log of the response would read the body whole.
            log=False,
            **kwargs,
        )
    except (urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
        # requests lets some of urllib3's errors on malformed heads through.
        message = f'Unreadable reply from {url}: {error}'
        raise ksa_exceptions.UnknownConnectionError(message, error) from error
    deadline = None if timeout is None else time.monotonic() + timeout
    with response:
        body, complete = _read(response, deadline)
    reply = Reply(
        status=response.status_code,
        headers={k.lower(): v for k, v in response.headers.items()},
        body=body,
        complete=complete,
    )
    log_reply(url, reply)
    return reply


def log_reply(url: str, reply: Reply) -> None:
    """Log a reply at DEBUG: all of its text, each line of it clean."""
    if not LOG.isEnabledFor(logging.DEBUG):
        return
    LOG.debug(
        'GET %s: HTTP %d, request ID %s',
        url,
        reply.status,
        plaintext.one_line(reply.request_id or 'none'),
    )
    for line in plaintext.lines(reply.text):
        LOG.debug('| %s', line)


def _read(
    response: requests.Response, deadline: float | None
) -> tuple[bytes, bool]:
    """Read a body up to its limit and the deadline; say if it is whole."""
    body = bytearray()
    try:
        # Byte by byte, because only then no read outlasts the deadline by
        # more than one timeout: a longer piece is waited for until it is
        # whole. A genuine body has a few hundred bytes.
        for byte in response.iter_content(chunk_size=1):
            body += byte
            if len(body) > BODY_LIMIT:
                return bytes(body[:BODY_LIMIT]), False
            if deadline is not None and time.monotonic() > deadline:
                return bytes(body), False
    except (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
        ValueError,
    ):
        # Broken off, or broken. The status and what came are judged alike.
        return bytes(body), False
    return bytes(body), True
