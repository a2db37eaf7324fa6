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
import math

from troveclient_rpcping.engine.access import Access
from troveclient_rpcping.reply import Reply

# trove/common/auth.py: Trove answers this to a caller without an admin role.
# Any other 401 comes from keystonemiddleware, and concerns the token.
_NOT_ADMIN = 'User does not have admin privileges.'

#: Seconds between two logins of a sweep. An API process that refuses every
#: token must not cause a login for each request.
PAUSE = 5.0


def refuses_user(reply: Reply) -> bool:
    """Whether a reply says that no token of this user will do."""
    return reply.status == 401 and reply.fault == _NOT_ADMIN


class Login:
    """Gets the first token, and another one when that is refused.

    :param access: whose session logs in.
    :param clock: tells the time in seconds.
    """

    def __init__(self, access: Access, clock: Callable[[], float]):
        self._access = access
        self._clock = clock
        self._not_before = -math.inf
        #: The header lines of a request, the token among them. Each token
        #: has a list of its own, which stands for it.
        self.headers: list[str] = []

    def begin(self) -> None:
        """Get the first token, which may be older than this program.

        :raises keystoneauth1.exceptions.ClientException: no login.
        """
        self.headers = self._access.headers()

    def renewed(self, refused: list[str]) -> bool:
        """Replace a token that was refused, once for all its requests.

        :param refused: the headers that the refused request was sent with.
        :returns: whether to send the request again, with the headers of now.
            That would not help if the token is new.
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
