# SPDX-License-Identifier: Apache-2.0

"""The exceptions of this library.

A sweep raises no exception for a guest: its results have verdicts instead.

::

    troveclient.apiclient.exceptions.ClientException
     +-- HttpError
     |    +-- HTTPClientError
     |         +-- BadRequest
     |              +-- GuestUnreachable   the agent did not answer Trove
     |              +-- GuestError         the agent failed the ping
     +-- ListingFailed                    no listing of the instances
     +-- TargetError                      the choice of the guests is not clear
     |    +-- NoTargetError               no instance fits the choice
     +-- UnsupportedVersion
     |    +-- SessionRequired             made without a keystoneauth session
     +-- ValidationError
          +-- InvalidInstanceID           not an ID that can stand in a URL

Each exception has ``instance_id`` and ``request_id``, which may be None. For
any other HTTP error there is troveclient's own exception for its status. If
the connection or the login fails, the exception is keystoneauth's, as with any
call of troveclient.
"""

from __future__ import annotations

from typing import Any

from troveclient.apiclient import exceptions as trove_exceptions

from troveclient_rpcping import reply as replies
from troveclient_rpcping import verdict as verdicts


class _Ours:
    """The attributes of each exception of this library."""

    #: The instance that was pinged; None if the error is not about one.
    instance_id: str | None = None
    #: The ID of the request in Trove's reply; None if there is none.
    request_id: str | None = None


class GuestUnreachable(
    _Ours,
    trove_exceptions.BadRequest,  # type: ignore[misc]
):
    """Trove says that its call to the guest agent timed out.

    One call alone is not proof: ``rpc_ping_each`` looks for proof before it
    calls a guest unreachable. The exception is a ``BadRequest``, because
    programs may already handle the 400 of the plain API.
    """

    reason = verdicts.Reason.AGENT_TIMEOUT


class GuestError(_Ours, trove_exceptions.BadRequest):  # type: ignore[misc]
    """The guest agent failed the ping.

    ``reason`` is :attr:`~troveclient_rpcping.verdict.Reason.AGENT_ERROR`.
    """

    reason = verdicts.Reason.AGENT_ERROR


class SessionRequired(
    _Ours,
    trove_exceptions.UnsupportedVersion,  # type: ignore[misc]
):
    """The client was made without a keystoneauth session.

    troveclient's own HTTP client can only log in by Keystone's v2.0 API,
    which was removed in 2018 (Queens).
    """


class InvalidInstanceID(
    _Ours,
    trove_exceptions.ValidationError,  # type: ignore[misc]
):
    """The text cannot be the ID of an instance."""

    def __init__(self, message: str, instance_id: str | None = None):
        super().__init__(message)
        self.instance_id = instance_id


class ListingFailed(
    _Ours,
    trove_exceptions.ClientException,  # type: ignore[misc]
):
    """No listing of the instances came, or it cannot be read.

    ``reason`` is a :class:`~troveclient_rpcping.verdict.Reason`. ``came`` is
    True if a listing came that cannot be read.
    """

    def __init__(
        self,
        why: str,
        reason: verdicts.Reason,
        *,
        came: bool = False,
        request_id: str | None = None,
    ):
        super().__init__(f'The instances could not be listed: {why}')
        self.reason = reason
        self.came = came
        self.request_id = request_id


class TargetError(
    _Ours,
    trove_exceptions.ClientException,  # type: ignore[misc]
):
    """The choice of the guests is not clear; the text says what to do."""


class NoTargetError(TargetError):
    """No instance fits the choice."""


# troveclient's exception for each status. Its own map is private, and its own
# from_response() crashes on bodies of another shape, and on a 429 or 503 with
# Retry-After.
_BY_STATUS = {
    member.http_status: member
    for member in vars(trove_exceptions).values()
    if hasattr(member, 'http_status')
}


def from_result(
    result: verdicts.PingResult, reply: replies.Reply, url: str
) -> Exception:
    """Return the exception for a guest that is not ``reachable``.

    :param result: the judgement on *reply*.
    :param reply: the reply.
    :param url: the URL of the request.
    """
    ours = {
        verdicts.Verdict.UNREACHABLE: GuestUnreachable,
        verdicts.Verdict.ERROR: GuestError,
    }
    cls: Any = ours.get(result.verdict) or _class_for(reply.status)
    more = {}
    if issubclass(cls, trove_exceptions.RequestEntityTooLarge):
        more['retry_after'] = reply.retry_after or 0
    error = cls(
        message=result.message,
        details=reply.text,
        response=reply,
        request_id=reply.request_id,
        url=url,
        method='GET',
        http_status=reply.status,
        **more,
    )
    error.reason = result.reason
    error.instance_id = result.instance_id
    return error  # type: ignore[no-any-return]


def _class_for(status: int) -> Any:
    other = trove_exceptions.HttpError
    if status >= 500:
        other = trove_exceptions.HttpServerError
    elif status >= 400:
        other = trove_exceptions.HTTPClientError
    return _BY_STATUS.get(status, other)
