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

"""The exceptions of this library.

A sweep raises none for a guest: there verdicts are values.

::

    troveclient.apiclient.exceptions.ClientException
     +-- HttpError
     |    +-- HTTPClientError
     |         +-- BadRequest
     |              +-- GuestUnreachable   the agent did not answer Trove
     |              +-- GuestError         the agent failed the ping
     +-- ListingFailed                    no listing of the instances
     +-- TargetError                      the choice of the guests is not clear
     |    +-- NoTargetError               there is no such instance
     +-- UnsupportedVersion
     |    +-- SessionRequired             made without a keystoneauth session
     +-- ValidationError
          +-- InvalidInstanceID           not an ID that can stand in a URL

Each has ``instance_id`` and ``request_id``, which are None where there is
none. Every other HTTP error is troveclient's own exception for its status. A
failing connection or login is keystoneauth's, as with any call of troveclient.
"""

from __future__ import annotations

from collections.abc import Iterator
import inspect
from typing import Any

from troveclient.apiclient import exceptions

from troveclient_rpcping.reply import Reply
from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict

__all__ = [
    'GuestError',
    'GuestUnreachable',
    'InvalidInstanceID',
    'ListingFailed',
    'NoTargetError',
    'SessionRequired',
    'TargetError',
    'from_result',
]


class _Ours:
    """What each exception of this library has."""

    #: The instance that was asked for; None if the error is not about one.
    instance_id: str | None = None
    #: The ID that the reply of Trove bears; None if it bears none, or if
    #: there is no reply.
    request_id: str | None = None


class GuestUnreachable(_Ours, exceptions.BadRequest):  # type: ignore[misc]
    """Trove says that its call to the guest agent timed out.

    That is the word of one call. ``rpc_ping_each`` looks for proof before it
    calls a guest dead. It is a ``BadRequest``, so that programs that handle
    the 400 of the plain API go on working.
    """

    reason = Reason.AGENT_TIMEOUT


class GuestError(_Ours, exceptions.BadRequest):  # type: ignore[misc]
    """The guest agent failed the ping.

    ``reason`` is :attr:`Reason.AGENT_ERROR`.
    """

    reason = Reason.AGENT_ERROR


class SessionRequired(_Ours, exceptions.UnsupportedVersion):  # type: ignore[misc]
    """The client was made without a keystoneauth session.

    troveclient's own HTTP client can only log in by Keystone's v2.0 API,
    which was removed in 2018 (Queens).
    """


class InvalidInstanceID(_Ours, exceptions.ValidationError):  # type: ignore[misc]
    """The text cannot be the ID of an instance."""

    def __init__(self, message: str, instance_id: str | None = None):
        super().__init__(message)
        self.instance_id = instance_id


class ListingFailed(_Ours, exceptions.ClientException):  # type: ignore[misc]
    """No listing of the instances came, or none that can be read.

    ``reason`` is a :class:`~troveclient_rpcping.verdict.Reason`. ``came`` is
    True if a listing came that cannot be read.
    """

    def __init__(
        self,
        why: str,
        reason: Reason,
        *,
        came: bool = False,
        request_id: str | None = None,
    ):
        super().__init__(f'The instances could not be listed: {why}')
        self.reason = reason
        self.came = came
        self.request_id = request_id


class TargetError(_Ours, exceptions.ClientException):  # type: ignore[misc]
    """The choice of the guests is not clear; the text says what to do."""


class NoTargetError(TargetError):
    """No instance is of the kind that was named."""


# troveclient's exception for each status. Its own map is private, and its own
# from_response() crashes on bodies of another shape, and on a 429 or 503 with
# Retry-After.
def _http_errors() -> Iterator[Any]:
    for member in vars(exceptions).values():
        if inspect.isclass(member) and issubclass(
            member, exceptions.HttpError
        ):
            yield member


_BY_STATUS = {cls.http_status: cls for cls in _http_errors()}


def from_result(result: PingResult, reply: Reply, url: str) -> Exception:
    """Make the exception for a ping that did not end as ``reachable``.

    :param result: the result that *reply* gave.
    :param reply: the reply that was judged.
    :param url: where the request went.
    """
    if result.verdict is Verdict.UNREACHABLE:
        cls: Any = GuestUnreachable
    elif result.verdict is Verdict.ERROR:
        cls = GuestError
    else:
        cls = _class_for(reply.status)
    kwargs: dict[str, Any] = {}
    if issubclass(cls, exceptions.RequestEntityTooLarge):
        kwargs['retry_after'] = reply.retry_after or 0
    error: Any = cls(
        message=result.message,
        details=reply.text,
        response=reply,
        request_id=reply.request_id,
        url=url,
        method='GET',
        http_status=reply.status,
        **kwargs,
    )
    error.reason = result.reason
    error.instance_id = result.instance_id
    return error  # type: ignore[no-any-return]


def _class_for(status: int) -> Any:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 400 <= status < 500:
        return exceptions.HTTPClientError
    if status >= 500:
        return exceptions.HttpServerError
    return exceptions.HttpError
