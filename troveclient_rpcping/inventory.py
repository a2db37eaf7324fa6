# SPDX-License-Identifier: Apache-2.0

"""The management listing: every instance of every project."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Generator
import dataclasses
import datetime
import email.utils
import re
from typing import Any

from troveclient_rpcping import exceptions
from troveclient_rpcping import plaintext
from troveclient_rpcping import reply as replies
from troveclient_rpcping import verdict as verdicts

#: The longest page, in bytes. An instance takes about 700.
PAGE_LIMIT = 16 * 1024 * 1024

#: Seconds for one page, in all.
TIMEOUT = 120.0

# Instances a page. For each page Trove lists its servers in Nova anew, so few
# large pages are best. But Trove puts the ID of each instance of the page into
# the URL of its request to Nova (55 bytes each;
# trove/extensions/mgmt/instances/models.py), and web servers in front of Nova
# may refuse a URL of more than 8 KiB.
_LARGE_PAGE = 1000
_SMALL_PAGE = 100

# More instances than any cloud has: a longer listing has no end.
_MOST = 200_000

# More pages than any cloud has, even with 20 rows a page, all read twice. A
# longer listing brings the same pages again and again.
_MOST_PAGES = 20_000

_CANONICAL_UUID = re.compile(
    r'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}', re.IGNORECASE
)

# The offset in the URL of the next page.
_MARKER = re.compile(r'[?&]marker=([0-9]{1,9})(?:[&#]|\Z)')

# The statuses after which a smaller page may help. Trove answers 403 if a URL
# is too long for Nova, and 401 if the caller is not an administrator.
_REFUSED = (403, 414, 500)

Fetch = Callable[[str], replies.Reply | replies.NoReply]
Reading = Generator[str, replies.Reply | replies.NoReply, 'list[Instance]']

# Seconds after which a heartbeat is stale (agent_heartbeat_expiry). An agent
# sends one every 30 s (report_interval; trove/common/cfg.py).
_STALE = 90.0

# Trove records no heartbeat in this status (trove/conductor/manager.py).
_UNRECORDED = 'RESTART_REQUIRED'

# Trove itself would not ask the agent in these statuses:
# AGENT_INVALID_STATUSES (trove/instance/models.py).
_BUSY = {'BUILD', 'REBOOT', 'RESIZE', 'PROMOTE', 'EJECT', 'UPGRADE'}

# Another such status. It counts only with a server: Trove also gives it to an
# instance whose server it does not find in Nova (load_status_from_existing).
_SHUTDOWN = 'SHUTDOWN'

# Nova's statuses of a server that does not run (nova/api/openstack/common.py,
# _STATE_MAP).
_OFF = {'SHUTOFF', 'PAUSED', 'SUSPENDED', 'SHELVED', 'SHELVED_OFFLOADED'}


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """A guest's server in Nova, as Trove's listing has it.

    A value is None if the listing lacks it.

    :param id: the ID.
    :param host: the name of its compute host. If Nova hides the name from
        Trove, this is an ID that stands for the host (Nova's ``hostId``).
    :param status: Nova's status, as in ``SHUTOFF``.
    """

    id: str | None = None
    host: str | None = None
    status: str | None = None

    def __post_init__(self) -> None:
        plaintext.clean_fields(self, 'id', 'host', 'status')

    @property
    def is_off(self) -> bool:
        """Whether the server does not run: then no agent in it can answer."""
        return self.status in _OFF


@dataclasses.dataclass(frozen=True, slots=True)
class Instance:
    """One row of the management listing.

    A value is None if the listing lacks it. Tenants and servers chose these
    texts. So each one is made a clean line.

    :param id: the ID.
    :param name: the name, as the tenant chose it. It need not be unique.
    :param project_id: the project that owns the instance.
    :param datastore: type and version, as in ``mysql 8.0``.
    :param status: Trove's status, as in ``ACTIVE``. For an instance whose
        server Trove does not find in Nova it is SHUTDOWN.
    :param last_heartbeat: when Trove last heard from the agent, in UTC, as
        Trove writes it.
    :param heartbeat_age: the age of that heartbeat at the time of the
        listing, in seconds, by Trove's own clock.
    :param server: the server; None if Trove does not find it in Nova.
    """

    id: str
    name: str | None = None
    project_id: str | None = None
    datastore: str | None = None
    status: str | None = None
    last_heartbeat: str | None = None
    heartbeat_age: float | None = None
    server: Server | None = None

    def __post_init__(self) -> None:
        texts = ('id', 'name', 'project_id', 'datastore', 'status')
        plaintext.clean_fields(self, *texts, 'last_heartbeat')

    @property
    def is_stale(self) -> bool:
        """Whether the last heartbeat is older than usual."""
        age = self.heartbeat_age
        return age is not None and age > _STALE and self.status != _UNRECORDED

    @property
    def is_fresh(self) -> bool:
        """Whether a heartbeat came just before the listing."""
        age = self.heartbeat_age
        return age is not None and 0 <= age <= _STALE

    @property
    def is_busy(self) -> bool:
        """Whether Trove itself would not ask the agent now."""
        return self.status in _BUSY or (
            self.status == _SHUTDOWN and self.server is not None
        )

    @property
    def is_off(self) -> bool:
        """Whether the server does not run."""
        return self.server is not None and self.server.is_off


def is_id(text: str) -> bool:
    """Whether *text* is an ID: a UUID in canonical form. Others are names."""
    return _CANONICAL_UUID.fullmatch(text) is not None


def list_instances(fetch: Fetch) -> list[Instance]:
    """Return what :func:`read_listing` returns.

    :param fetch: sends a GET for a path and query, from the endpoint on.
    :raises ListingFailed: no listing came, or it cannot be read.
    """
    reading = read_listing()
    path = next(reading)
    while True:
        try:
            path = reading.send(fetch(path))
        except StopIteration as end:
            instances: list[Instance] = end.value
            return instances


def read_listing() -> Reading:
    """List every instance of every project once; leave out deleted ones.

    Trove sorts the instances by their last update, and a page begins at an
    *offset*. So an instance that is updated between two pages moves to the
    front, past the reader. If there is more than one page, the listing is read
    again until it brings no new instance.

    :returns: a generator that yields the path of each page, from the endpoint
        on, takes the reply, and returns the instances.
    :raises ListingFailed: no listing came, or it cannot be read.
    """
    try:
        return (yield from _read(_LARGE_PAGE))
    except _PageRefused:
        return (yield from _read(_SMALL_PAGE))


class _PageRefused(exceptions.ListingFailed):
    """The server refused a page; a smaller page may help."""


def _read(size: int) -> Reading:
    found: dict[str, Instance] = {}
    pages = 0
    while True:
        known, begun = len(found), pages
        marker: int | None = 0
        while marker is not None:
            reply = yield _page_path(size, marker)
            page, marker = _parse(reply, marker)
            found.update((instance.id, instance) for instance in page)
            pages += 1
            if not page:
                break
            if len(found) > _MOST or pages > _MOST_PAGES:
                raise _malformed(
                    f'it goes on beyond {_MOST:,} instances, or '
                    f'{_MOST_PAGES:,} pages'
                )
        if pages == begun + 1 or len(found) == known:
            return list(found.values())


def _page_path(size: int, marker: int) -> str:
    path = '/mgmt/instances?deleted=false&include_clustered=true'
    return f'{path}&limit={size}' + (f'&marker={marker}' if marker else '')


def _parse(
    reply: replies.Reply | replies.NoReply, marker: int
) -> tuple[list[Instance], int | None]:
    if (
        isinstance(reply, replies.NoReply)
        or reply.status != 200
        or reply.cached
    ):
        raise _failure(reply)
    body = reply.json()
    rows = body.get('instances') if isinstance(body, dict) else None
    if not isinstance(rows, list) or not reply.complete:
        raise _malformed('the reply is not one that Trove sends')
    now = _date(reply)
    instances = [_instance(row, now) for row in rows]
    return instances, _next_marker(body.get('links'), marker)


def _failure(
    reply: replies.Reply | replies.NoReply,
) -> exceptions.ListingFailed:
    reason, message = verdicts.judge_listing(reply)
    if isinstance(reply, replies.NoReply):
        return exceptions.ListingFailed(message, reason)
    failure = (
        _PageRefused if reply.status in _REFUSED else exceptions.ListingFailed
    )
    why = plaintext.first_line(message)
    return failure(why, reason, request_id=reply.request_id)


def _malformed(why: str) -> exceptions.ListingFailed:
    return exceptions.ListingFailed(
        why, verdicts.Reason.BAD_RESPONSE, came=True
    )


def _date(reply: replies.Reply) -> datetime.datetime | None:
    """Return the time of the reply, by the clock of the API."""
    try:
        return email.utils.parsedate_to_datetime(reply.headers['date'])
    except (KeyError, ValueError):
        return None


def _age(heartbeat: str | None, now: datetime.datetime | None) -> float | None:
    """Return the age of a heartbeat in seconds; None if it is not known."""
    try:
        beat = datetime.datetime.fromisoformat(heartbeat or '')
        if beat.tzinfo is None:
            beat = beat.replace(tzinfo=datetime.UTC)
        return (now - beat).total_seconds() if now else None
    except (ValueError, TypeError, OverflowError):
        return None


def _instance(row: Any, now: datetime.datetime | None) -> Instance:
    if not isinstance(row, dict) or not isinstance(row.get('id'), str):
        raise _malformed('an instance in it has no ID')
    datastore, found = row.get('datastore'), row.get('server')
    parts = [_text(datastore, 'type'), _text(datastore, 'version')]
    heartbeat = _text(row, 'service_status_updated')
    server = None
    if isinstance(found, dict):
        # trove/extensions/mgmt/instances/views.py, MgmtInstanceView.
        server = Server(
            id=_text(found, 'id') or None,
            # A server that is shelved and offloaded has no host.
            host=_text(found, 'host') or None,
            status=_text(found, 'status') or None,
        )
    return Instance(
        id=row['id'],
        name=_text(row, 'name'),
        project_id=_text(row, 'tenant_id'),
        datastore=' '.join(part for part in parts if part) or None,
        status=_text(row, 'status'),
        last_heartbeat=heartbeat,
        heartbeat_age=_age(heartbeat, now),
        server=server,
    )


def _text(row: Any, key: str) -> str | None:
    value = row.get(key) if isinstance(row, dict) else None
    return value if isinstance(value, str) else None


def _next_marker(links: Any, marker: int) -> int | None:
    """Return the offset of the next page; None if this was the last."""
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get('rel') == 'next':
            found = _MARKER.search(str(link.get('href')))
            # If the offset does not advance, the listing has no end.
            if found is None or int(found[1]) <= marker:
                raise _malformed('its pages lead nowhere')
            return int(found[1])
    return None
