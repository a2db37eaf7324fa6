# SPDX-License-Identifier: Apache-2.0


"""The login and the connections that the session and this machine allow."""

from __future__ import annotations

from collections.abc import Callable
import datetime
import errno
import math
import os
import resource
from typing import Any

from keystoneauth1 import session as ksa_session
import pycurl
import requests
from requests import utils as requests_utils

from troveclient_rpcping import transport

#: Seconds between two logins of a sweep. If an API process refuses every
#: token, there must not be a login for each request.
PAUSE = 5.0

# Descriptors for the rest of the process: a log, a name server, Keystone.
_RESERVE = 32
# Descriptors for each request: its connection, and the look-up of the name.
_EACH = 2


class Access:
    """The endpoint, the token, and the session's settings for both.

    The session has the user's settings for a connection, and libcurl needs
    them.

    :param api: a ``troveclient.v1.client.Client`` with a session.
    :raises SessionRequired: the client was made without a session.
    """

    def __init__(self, api: Any):
        self._client = transport.session_client(api)
        self._session = self._client.session
        self.endpoint = transport.endpoint(self._client)
        self.user_agent: str = self._client.user_agent or transport.USER_AGENT
        #: The header lines of a request, the token among them. There is a new
        #: list for each token.
        self.headers: list[str] = []
        self._not_before = -math.inf

    def log_in(self) -> None:
        """Get a token, unless the session has a valid one.

        :raises keystoneauth1.exceptions.ClientException: no login.
        """
        fields = {
            **self._client.additional_headers,
            **transport.HEADERS,
            **(self._session.get_auth_headers(self._client.auth) or {}),
        }
        # A line break in a value would be another header.
        lines = [
            f'{name}: {value}'
            for name, value in fields.items()
            if not set(f'{name}{value}') & set('\r\n\0')
        ]
        if not all(map(str.isascii, lines)):
            raise transport.unsendable_token()
        self.headers = lines

    def renewed(self, refused: list[str], clock: Callable[[], float]) -> bool:
        """Replace a token that the API refused, once for all its requests.

        :param refused: the headers of the refused request.
        :param clock: returns the time in seconds. A login may take long.
        :returns: whether to send the request again, with the headers of now.
            If the last login was a moment ago, that would not help.
        :raises keystoneauth1.exceptions.ClientException: no login.
        """
        if refused is not self.headers:
            return True
        if clock() < self._not_before:
            return False
        try:
            self._session.invalidate(self._client.auth)
            self.log_in()
        finally:
            self._not_before = clock() + PAUSE
        return True

    def time(self, url: str, seconds: float) -> None:
        """Add a request to the timings of the session, if it keeps timings."""
        # There is no public attribute for it. A list without a reader would
        # grow with the number of guests.
        if getattr(self._session, '_collect_timing', False):
            elapsed = datetime.timedelta(seconds=seconds)
            self._session.get_timings().append(
                ksa_session.RequestTiming('GET', url, elapsed)
            )

    def configure(self, curl: pycurl.Curl) -> None:
        """Give a handle the TLS settings and the proxy of the session."""
        # The settings that requests would use for this URL, with those of the
        # environment (REQUESTS_CA_BUNDLE, https_proxy, no_proxy, ...).
        http: requests.Session = self._session.session
        settings = http.merge_environment_settings(
            self.endpoint, {}, False, self._session.verify, self._session.cert
        )
        _verify(curl, settings['verify'])
        cert = settings['cert']
        if isinstance(cert, str):
            curl.setopt(pycurl.SSLCERT, cert)
        elif cert:
            curl.setopt(pycurl.SSLCERT, cert[0])
            curl.setopt(pycurl.SSLKEY, cert[1])
        proxy = requests_utils.select_proxy(self.endpoint, settings['proxies'])
        # Empty, not unset: libcurl would read the environment again.
        curl.setopt(pycurl.PROXY, proxy or '')
        curl.setopt(pycurl.NOPROXY, '')
        if proxy and proxy.rpartition('://')[0].lower() in ('', 'http'):
            # For a proxy without a port, as in requests. libcurl has 1080.
            curl.setopt(pycurl.PROXYPORT, 80)


def _verify(curl: pycurl.Curl, verify: bool | str | None) -> None:
    if verify is False:
        curl.setopt(pycurl.SSL_VERIFYPEER, 0)
        curl.setopt(pycurl.SSL_VERIFYHOST, 0)
        curl.setopt(pycurl.PROXY_SSL_VERIFYPEER, 0)
        curl.setopt(pycurl.PROXY_SSL_VERIFYHOST, 0)
        return
    bundle = requests_utils.DEFAULT_CA_BUNDLE_PATH
    if isinstance(verify, str) and verify:
        bundle = verify
    is_folder = os.path.isdir(bundle)
    file, folder = (None, bundle) if is_folder else (bundle, None)
    for option, path in (
        (pycurl.CAINFO, file),
        (pycurl.PROXY_CAINFO, file),
        (pycurl.CAPATH, folder),
        (pycurl.PROXY_CAPATH, folder),
    ):
        # Without None, libcurl would trust its own bundle or folder, too.
        curl.setopt(option, path)


def flight(wanted: int) -> int:
    """Return how many requests may be under way at once.

    Each request takes file descriptors. If none is left, libcurl reports that
    it cannot connect, as if the server were down. So this raises the limit of
    this process if it is too low, and as far as allowed.

    :param wanted: the wanted number of requests.
    :returns: this number, or a lower one if the limit is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir('/dev/fd'))
    except OSError:
        # No descriptor is left to count them.
        used = soft
    needed = used + _RESERVE + _EACH * wanted
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        soft = needed
    return max(1, min(wanted, (soft - used - _RESERVE) // _EACH))


def shortage(code: int) -> str:
    """Return what this machine lacks for a connection; empty for nothing.

    :param code: the error of the system; 0 if it is not known.
    """
    if code == errno.EADDRNOTAVAIL:
        return 'This machine has no local port left for a connection'
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return (
                'This machine has no file descriptor left for a connection: '
                'raise "ulimit -n", or lower --concurrency'
            )
    return ''
