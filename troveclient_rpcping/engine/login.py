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

"""The token of a sweep, and when it is worth getting another."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import time

from keystoneauth1 import exceptions as ksa_exceptions

from troveclient_rpcping.engine.access import Access
from troveclient_rpcping.reply import Reply

# trove/common/auth.py: what a caller without an admin role is told. Any other
# 401 comes from keystonemiddleware, and is about the token.
_NOT_ADMIN = 'User does not have admin privileges.'

# How often one request may be refused for its token and asked again, and how
# many logins a run may cost: an API process that takes no token at all is not
# to cause a login for each request.
_REFUSALS = 3
_LOGINS = 100

# Seconds until another attempt when a login failed, or its token was refused.
# In the second case the pause doubles, up to the longest.
_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


def refuses_user(reply: Reply) -> bool:
    """Whether a reply says that no token of this user will do."""
    return reply.status == 401 and reply.fault == _NOT_ADMIN


@dataclasses.dataclass(slots=True)
class Token:
    """A token, as header lines, and whether the API has yet to take it."""

    headers: list[str]
    fresh: bool


class Login:
    """Gets tokens: one at the start, and another when that has expired.

    :param access: whose session logs in.
    :param clock: tells the time in seconds.
    :raises keystoneauth1.exceptions.ClientException: no token can be had.
    """

    def __init__(
        self, access: Access, clock: Callable[[], float] = time.monotonic
    ):
        self._access = access
        self._clock = clock
        # It may be older than this program: it is not fresh.
        self.token = Token(access.headers(), fresh=False)
        self._refusals: dict[str, int] = {}
        self._logins = 0
        self._pause = _PAUSE
        # When to log in again: after a login that failed, and after one whose
        # token is refused from the first.
        self._not_before = 0.0
        self._not_before_if_fresh = 0.0

    def renewed(self, key: str, refused: Token) -> bool:
        """Log in again, once for all that was sent with the same token.

        :param key: what was asked for.
        :param refused: the token that it was sent with.
        :returns: whether to ask again, with the token of now. That would not
            help if a fresh token was refused just now, or if this request
            alone is refused with one token after another.
        :raises keystoneauth1.exceptions.ClientException: no login.
        """
        refusals = self._refusals.get(key, 0)
        if refusals >= _REFUSALS or self._logins >= _LOGINS:
            return False
        if refused is self.token:
            begin = self._not_before
            if refused.fresh:
                begin = self._not_before_if_fresh
            if self._clock() < begin:
                return False
            self._renew()
        self._refusals[key] = refusals + 1
        return True

    def taken(self, token: Token) -> None:
        """Take in that the API took a token."""
        token.fresh = False
        self._pause = _PAUSE

    def answered(self, key: str) -> None:
        """Take in that a request is over, with whatever answer."""
        self._refusals.pop(key, None)

    def _renew(self) -> None:
        try:
            self._access.renew()
            self.token = Token(self._access.headers(), fresh=True)
        except ksa_exceptions.ClientException:
            self._not_before = self._clock() + _PAUSE
            raise
        self._logins += 1
        self._not_before_if_fresh = self._clock() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
