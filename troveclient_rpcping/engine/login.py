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

"""The token of a sweep, and its renewal."""

from __future__ import annotations

from collections.abc import Callable
import math

from troveclient_rpcping.engine.access import Access
from troveclient_rpcping.reply import Reply

# Trove's message to a caller without an admin role (trove/common/auth.py). Any
# other 401 comes from keystonemiddleware, and concerns the token.
_NOT_ADMIN = 'User does not have admin privileges.'

#: Seconds between two logins of a sweep. If an API process refuses every
#: token, there must not be a login for each request.
PAUSE = 5.0


def refuses_user(reply: Reply) -> bool:
    """Whether Trove refuses the user, whatever the token."""
    return reply.status == 401 and reply.fault == _NOT_ADMIN


class Login:
    """Gets the first token, and a new one when the API refuses it.

    :param access: the access whose session logs in.
    :param clock: returns the time in seconds.
    """

    def __init__(self, access: Access, clock: Callable[[], float]):
        self._access = access
        self._clock = clock
        self._not_before = -math.inf
        #: The header lines of a request, the token among them. There is a new
        #: list for each token.
        self.headers: list[str] = []

    def begin(self) -> None:
        """Get the first token, which may be older than this program.

        :raises keystoneauth1.exceptions.ClientException: no login.
        """
        self.headers = self._access.headers()

    def renewed(self, refused: list[str]) -> bool:
        """Replace a token that the API refused, once for all its requests.

        :param refused: the headers of the refused request.
        :returns: whether to send the request again, with the headers of now.
            If the last login was a moment ago, that would not help.
        :raises keystoneauth1.exceptions.ClientException: no login.
        """
        if refused is not self.headers:
            return True
        now = self._clock()
        if now < self._not_before:
            return False
        self._not_before = now + PAUSE
        self._access.renew()
        self.headers = self._access.headers()
        return True
