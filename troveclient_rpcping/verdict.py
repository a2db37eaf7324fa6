# SPDX-License-Identifier: Apache-2.0

"""The verdict on a guest after one ping, and its reason.

The rule above all others: a guest is ``unreachable`` only if Trove itself says
that its agent did not answer, and ``reachable`` only if its agent answered.
After a reply of another kind the guest is ``unknown``: automation reboots
guests that it believes to be dead. This module judges one reply alone. The
sweep decides whether a timeout is proof.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from typing import Any

from troveclient_rpcping import plaintext
from troveclient_rpcping import reply as replies


class Verdict(enum.StrEnum):
    """The verdict on a guest after a ping."""

    #: The guest agent answered.
    REACHABLE = 'reachable'
    #: The guest agent does not answer, and there is proof: Trove asked and
    #: waited, other guests answered meanwhile, and a stale heartbeat or
    #: further timeouts confirm it. ``rpc_ping`` has Trove's word alone.
    UNREACHABLE = 'unreachable'
    #: The guest agent failed the ping.
    ERROR = 'error'
    #: Nothing is known of the guest: the ping brought no answer about it.
    UNKNOWN = 'unknown'


class Reason(enum.StrEnum):
    """Why a guest is not known to be reachable. The names are stable."""

    #: Trove's call to the guest agent timed out.
    AGENT_TIMEOUT = 'agent-timeout'
    #: The guest agent answered that it does not know the ping, because its
    #: image is old. RPC works, so the guest is reachable.
    NO_SUCH_METHOD = 'no-such-method'
    #: The guest agent answered with an error. The detail is its first line;
    #: ``--debug`` shows the whole text.
    AGENT_ERROR = 'agent-error'
    #: The instance does not exist, or it is deleted.
    NOT_FOUND = 'not-found'
    #: Trove cannot ask, because Nova does not know the server of the
    #: instance. Or the guest is silent, and its status is one in which Trove
    #: itself would not ask the agent (BUILD, REBOOT, RESIZE, ...).
    NOT_READY = 'not-ready'
    #: The guest is silent, and its server does not run in Nova
    #: (SHUTOFF, PAUSED, SUSPENDED, SHELVED or SHELVED_OFFLOADED).
    SERVER_OFF = 'server-off'
    #: The caller is not an administrator (by Trove's policy rule
    #: ``context_is_admin``), or the API refused the token.
    DENIED = 'denied'
    #: The server's rate limit refused the request.
    RATE_LIMITED = 'rate-limited'
    #: Nova failed, so Trove never asked the guest.
    COMPUTE_ERROR = 'compute-error'
    #: Trove's API failed, or answered with something unforeseen.
    API_ERROR = 'api-error'
    #: A proxy in front of Trove answered in its place. Or Trove answered that
    #: it cannot reach Keystone (503).
    GATEWAY = 'gateway'
    #: No answer came within the timeout of this client. Or Trove's call to
    #: the guest timed out, and the sweep ended before there was proof.
    TIMEOUT = 'timeout'
    #: Calls get lost between trove-api and the guest agents: on the message
    #: bus, or in a worker of trove-api that lost its connection to the bus.
    #: So a timeout says nothing about the guest.
    MESSAGE_BUS = 'message-bus'
    #: There was no connection to the API, or the connection broke.
    CONNECTION = 'connection'
    #: The reply is not one that Trove sends. Or a cache answered in place of
    #: Trove, and the reply is old.
    BAD_RESPONSE = 'bad-response'
    #: The sweep ended before the ping of this guest, or before its answer.
    NOT_ASKED = 'not-asked'


#: The reasons that lie with the control plane, or with the caller. They say
#: nothing about the guest, and many guests share them.
CONTROL_PLANE = (
    Reason.DENIED,
    Reason.CONNECTION,
    Reason.TIMEOUT,
    Reason.MESSAGE_BUS,
    Reason.GATEWAY,
    Reason.COMPUTE_ERROR,
    Reason.API_ERROR,
    Reason.BAD_RESPONSE,
    Reason.RATE_LIMITED,
    Reason.NOT_ASKED,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PingResult:
    """The result of one ping.

    :param instance_id: the ID of the instance.
    :param verdict: the verdict on the guest.
    :param reason: the reason; None if the guest is reachable, and its agent
        knows the ping.
    :param message: the whole text of the reply, or of the failure. Do not
        trust it: a part may come out of the guest.
    :param rtt: the round-trip time in seconds, from sending the request to
        the end of the reply; None if there was no reply.
    :param http_status: the HTTP status; None if there was no reply.
    :param request_id: the ID of the request in the reply; None if there is
        none. Trove writes another ID into its own log (trove/common/wsgi.py,
        ContextMiddleware).
    :param lost: how many pings of this guest timed out before this one. If
        the verdict is ``reachable``, they got lost on the way.
    """

    instance_id: str
    verdict: Verdict
    reason: Reason | None = None
    message: str = ''
    rtt: float | None = None
    http_status: int | None = None
    request_id: str | None = None
    lost: int = 0

    @property
    def ok(self) -> bool:
        """Whether the guest is reachable."""
        return self.verdict is Verdict.REACHABLE

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values, ready for JSON.

        It has ``detail`` in the place of ``message``.
        """
        return {
            'instance_id': self.instance_id,
            'ok': self.ok,
            'verdict': self.verdict.value,
            'reason': self.reason.value if self.reason else None,
            'detail': self.detail,
            'rtt': self.rtt,
            'http_status': self.http_status,
            'request_id': self.request_id,
            'lost': self.lost,
        }

    @property
    def detail(self) -> str:
        """The message as one clean, short line."""
        text = self.message.removeprefix(GUEST_ERROR_PREFIX)
        return plaintext.first_line(text)

    def as_unknown(self, reason: Reason, message: str) -> PingResult:
        """Return the result with the verdict ``unknown`` instead."""
        return dataclasses.replace(
            self, verdict=Verdict.UNKNOWN, reason=reason, message=message
        )


def unknown(instance_id: str, reason: Reason, message: str) -> PingResult:
    """Return the result of a ping without a reply."""
    return PingResult(
        instance_id=instance_id,
        verdict=Verdict.UNKNOWN,
        reason=reason,
        message=message,
    )


#: How Trove's GuestError begins (trove/common/exception.py).
GUEST_ERROR_PREFIX = 'An error occurred communicating with the guest: '

# trove/common/exception.py, GuestTimeout: Trove since 26.0.
_AGENT_TIMEOUT = 'Timeout trying to connect to the Guest Agent.'
# oslo.messaging's MessagingTimeout inside a GuestError: the text in Trove's
# specification of 2014. It must match whole, and name this instance: a guest
# could begin an exception of its own with a similar text.
_AGENT_TIMEOUT_2014 = (
    'Timeout while waiting on RPC response - topic: "guestagent.{id}", '
    'RPC method: "rpc_ping" info: "<unknown>".'
)
# The same from the releases until 25.1, which treat the timeout like any error
# (trove/guestagent/api.py, _call): two texts of oslo.messaging's driver for
# RabbitMQ, one of them unformatted (_drivers/amqpdriver.py, get and
# _raise_timeout_exception). They must match whole, too.
_AGENT_TIMEOUT_RABBIT = re.compile(
    r'Timed out waiting for a reply to message ID [0-9a-f]{32}\.'
    r"|\('Timed out waiting for a reply %\(reply_q\)s to message ID "
    r"%\(msg_id\)s\.', \{'msg_id': '[0-9a-f]{32}', 'reply_q': '\w+'\}\)\."
)
# oslo.messaging's NoSuchMethod and UnsupportedVersion.
_TOO_OLD = re.compile(
    r'Endpoint does not support RPC (?:method rpc_ping|version \S+)\.'
)
# The texts of kombu, amqp and oslo.messaging if trove-api itself cannot use
# the message bus. Trove takes this for an error of the guest
# (trove/guestagent/api.py, _call).
_BUS_ERROR = re.compile(
    # amqp/exceptions.py: "Exchange.declare: (403) ACCESS_REFUSED - ...".
    r'(?:[A-Z]\w+\.[\w-]+|\(\d+, \d+\)): \(\d+\) '
    # oslo_messaging/_drivers/impl_rabbit.py and amqpdriver.py.
    r'|Unable to connect to AMQP server on '
    r'|Unable to (?:get|connect to) .*\bqueue\b'
    # amqp/transport.py, connection.py, channel.py.
    r'|Server unexpectedly closed connection\Z|Socket closed\Z'
    r'|Too many heartbeats missed\Z|basic_publish: timed out\Z'
    r'|[Cc]onnection (?:already closed|was closed)\b'
    # The operating system, about a socket to the broker.
    r'|\[Errno \d+\] (?:ECONN\w+|Connection |No route |Network |Broken pipe)'
)
# A text with a traceback comes out of a guest, over the bus.
_REMOTE = 'Traceback (most recent call last)'
# novaclient's ClientException: "<text of Nova> (HTTP 500)", and the ID of the
# request to Nova if there is one.
_NOVA_ERROR = re.compile(r'\(HTTP \d{3}\)(?: \(Request-ID: \S+\))?\s*\Z')
# trove/common/auth.py, TenantBasedAuth: the project in the URL is not that of
# the token, or the URL has none.
_OTHER_PROJECT = re.compile(r'User with tenant id \S+ cannot access')
# trove/common/exception.py, NotFound. Another 404 says nothing about the
# instance: the endpoint may be wrong, or the route missing.
_NOT_FOUND = re.compile(r'Resource .+ cannot be found\.')


# The reasons that the status alone shows, from Trove or from a proxy.
_BY_STATUS = {
    **dict.fromkeys((401, 403), Reason.DENIED),
    **dict.fromkeys((413, 429), Reason.RATE_LIMITED),
    **dict.fromkeys((502, 503, 504), Reason.GATEWAY),
}


def judge(
    reply: replies.Reply | replies.NoReply,
    instance_id: str,
    rtt: float | None = None,
) -> PingResult:
    """Judge the reply to one ping. Pure, and total: it never raises.

    Trove answers 400 for each of its errors that has no status of its own
    (trove/common/wsgi.py, ``_get_http_error``). So only the message tells a
    dead guest from a broken Nova.

    :param reply: the HTTP reply, or why there is none.
    :param instance_id: the instance that was pinged.
    :param rtt: the round-trip time in seconds; ignored if there is no reply.
    """
    if isinstance(reply, replies.NoReply):
        return unknown(instance_id, Reason(reply.kind), reply.message)
    verdict, reason, message = _grounds(reply, instance_id)
    return PingResult(
        instance_id=instance_id,
        verdict=verdict,
        reason=reason,
        message=message,
        rtt=rtt,
        http_status=reply.status,
        request_id=reply.request_id,
    )


def judge_listing(
    reply: replies.Reply | replies.NoReply,
) -> tuple[Reason, str]:
    """Return why a listing did not come, and the message.

    :param reply: the HTTP reply, or why there is none.
    """
    if isinstance(reply, replies.NoReply):
        return Reason(reply.kind), reply.message
    if reply.cached:
        return Reason.BAD_RESPONSE, f'it came out of a cache ({reply.cached})'
    text = reply.json()
    if not isinstance(text, str):
        return _reason_of(reply), _message_of(reply)
    # Nova's errors come as a mere JSON string, with a status of 403
    # (trove/extensions/mgmt/instances/service.py, index).
    reason = Reason.COMPUTE_ERROR if reply.status == 403 else _reason_of(reply)
    return reason, text


def _grounds(
    reply: replies.Reply, instance_id: str
) -> tuple[Verdict, Reason | None, str]:
    """Return the verdict, its reason, and the message."""
    if reply.cached:
        message = (
            f'HTTP {reply.status} out of a cache ({reply.cached}): it says '
            'nothing about the guest now'
        )
        return Verdict.UNKNOWN, Reason.BAD_RESPONSE, message
    if reply.status == 204:
        # A 204 has no body. A 204 with a body does not come from Trove.
        if reply.body or reply.announces_body or not reply.complete:
            message = 'HTTP 204 with a body'
            return Verdict.UNKNOWN, Reason.BAD_RESPONSE, message
        return Verdict.REACHABLE, None, ''
    fault = reply.fault
    if reply.status == 400 and fault is not None:
        if not _is_whole(reply):
            message = 'HTTP 400 with a broken body'
            return Verdict.UNKNOWN, Reason.BAD_RESPONSE, message
        # A proxy may have wrapped the lines of the text.
        text = ' '.join(fault.split())
        if text == _AGENT_TIMEOUT:
            return Verdict.UNREACHABLE, Reason.AGENT_TIMEOUT, fault
        if text.startswith(GUEST_ERROR_PREFIX):
            guest_text = text.removeprefix(GUEST_ERROR_PREFIX)
            return *_judge_guest_error(guest_text, instance_id), fault
    return Verdict.UNKNOWN, _reason_of(reply), _message_of(reply)


def is_about_project(text: str) -> bool:
    """Whether Trove says that the project in the URL is not the caller's."""
    return _OTHER_PROJECT.search(text) is not None


def _message_of(reply: replies.Reply) -> str:
    """Return the message of a reply that brought no answer of a guest."""
    if reply.redirects_to is not None:
        return (
            f'HTTP {reply.status} redirects to {reply.redirects_to} '
            'and is not followed: set this address in the endpoint'
        )
    return reply.words or (
        f'HTTP {reply.status} without an error message of Trove'
    )


def _judge_guest_error(text: str, instance_id: str) -> tuple[Verdict, Reason]:
    timeout_2014 = _AGENT_TIMEOUT_2014.format(id=instance_id)
    if (
        text.casefold() == timeout_2014.casefold()
        or _AGENT_TIMEOUT_RABBIT.fullmatch(text)
    ):
        return Verdict.UNREACHABLE, Reason.AGENT_TIMEOUT
    if _TOO_OLD.match(text):
        return Verdict.REACHABLE, Reason.NO_SUCH_METHOD
    if _BUS_ERROR.match(text) and _REMOTE not in text:
        return Verdict.UNKNOWN, Reason.MESSAGE_BUS
    return Verdict.ERROR, Reason.AGENT_ERROR


def _is_whole(reply: replies.Reply) -> bool:
    """Whether the body is all that the head announces, and no more."""
    length = reply.headers.get('content-length')
    coding = reply.headers.get('transfer-encoding')
    if coding is not None:
        # With a length too, a proxy may have read another body.
        framed = length is None and coding.strip().lower() == 'chunked'
    else:
        framed = length is None or length.strip() == str(len(reply.body))
    return reply.complete and framed


def _reason_of(reply: replies.Reply) -> Reason:
    """Return why a reply says nothing about a guest."""
    status = reply.status
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    # The other reasons need a message of Trove.
    fault = reply.fault
    if fault is None:
        return Reason.API_ERROR if status == 500 else Reason.BAD_RESPONSE
    if status == 400 and _NOVA_ERROR.search(fault):
        return Reason.COMPUTE_ERROR
    if status == 404 and _NOT_FOUND.match(fault):
        return Reason.NOT_FOUND
    if status == 422:
        return Reason.NOT_READY
    return Reason.API_ERROR if status >= 400 else Reason.BAD_RESPONSE
