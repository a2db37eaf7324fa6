# SPDX-License-Identifier: Apache-2.0

"""Try what this project claims of Trove against a cloud; print what held.

``tools/acceptance.sh`` runs it. It sends GETs alone, and some hundred of them.
Exit status: 0 if every claim held that was tried, 1 if one did not, 2 for
wrong usage.
"""

from __future__ import annotations

import argparse
import collections
from collections.abc import Callable
from collections.abc import Collection
from concurrent import futures
import dataclasses
import datetime
import email.utils
import enum
import functools
import logging
import pathlib
import shutil
import subprocess
import sys
import time
import uuid

from keystoneauth1 import exceptions as ksa_exceptions
from openstack import config as sdk_config
from openstack import exceptions as sdk_exceptions
from rich import console
from rich import table
from rich import text
from troveclient.apiclient import exceptions as trove_exceptions

from troveclient_rpcping import client
from troveclient_rpcping import inventory
from troveclient_rpcping import limits
from troveclient_rpcping import plaintext
from troveclient_rpcping import reply as replies
from troveclient_rpcping import transport
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.sweep import run

# How many pings are sent at once, and how often each burst is.
_BURSTS = (1, 2, 4, 8)
_ROUNDS = 2

# Seconds between two pings of a live guest while a dead one is waited for.
_PACE = 0.5

# How often a request is sent that the rate limit refuses.
_TRIES = 5

# Seconds for one command. With a fresh heartbeat, the proof that a guest is
# dead takes more than twice as long as Trove waits for it.
_COMMAND = 300

# Columns of the table; "Seen" takes what is left, and holds an ID.
_CLAIM, _RESULT = 28, 12


class Result(enum.Enum):
    """What became of a claim, and how a terminal shows it."""

    HELD = ('held', 'green')
    BROKEN = ('DID NOT HOLD', 'bold red')
    NOT_TRIED = ('not tried', 'dim')


class NotHeld(Exception):  # noqa: N818
    """The claim did not hold; the text says what was seen."""


class NotTried(Exception):  # noqa: N818
    """The claim was not tried; the text says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A reply, and the seconds that it took."""

    reply: replies.Reply
    seconds: float

    def __str__(self) -> str:
        words = self.reply.fault
        after = f'{self.reply.status} after {_duration(self.seconds)}'
        return f'{after}: {plaintext.first_line(words)}' if words else after


@dataclasses.dataclass(frozen=True)
class Trial:
    """One cloud, and the claims as methods: each returns what it saw.

    A method raises NotHeld or NotTried for the other two results.

    :param live: IDs of guests that are well.
    :param dead: the ID of a dead guest, if there is one.
    :param member_cloud: a cloud of a user who is not an administrator.
    :param connect: returns a client of a cloud by its name, or of the one
        that the environment names.
    """

    live: list[str]
    dead: str | None = None
    member_cloud: str | None = None
    connect: Callable[[str | None], client.Client] = client.connect

    @functools.cached_property
    def api(self) -> client.Client:
        """A client of the administrator, logged in."""
        return self.connect(None)

    def login(self) -> str:
        """Keystone knows the user, and the database endpoint."""
        return transport.endpoint(transport.session_client(self.api))

    def ping(
        self, instance_id: str, api: client.Client | None = None
    ) -> Answer:
        """Ping a guest, by default as the administrator."""
        return self._get(transport.ping_path(instance_id), api)

    def _get(self, path: str, api: client.Client | None = None) -> Answer:
        """Send a GET; wait and send it again if the rate limit refuses it."""
        for _ in range(_TRIES):
            began = time.monotonic()
            reply = transport.get(api or self.api, path, limits.TIMEOUT)
            answer = Answer(reply, time.monotonic() - began)
            if reply.status not in (413, 429):
                break
            pause = 1.0 if reply.retry_after is None else reply.retry_after
            time.sleep(min(pause, 60.0))
        return answer

    @functools.cached_property
    def pings(self) -> list[Answer]:
        """Two pings of each live guest."""
        return [self.ping(guest) for guest in self.live for _ in range(2)]

    def live_guests(self) -> str:
        """Trove answers 204 for a guest whose agent answers."""
        for answer in self.pings:
            _hold(answer.reply.status == 204, str(answer))
        seconds = [answer.seconds for answer in self.pings]
        return (
            f'{len(self.pings)} pings: 204 after {_duration(min(seconds))} '
            f'to {_duration(max(seconds))}'
        )

    def unknown_id(self) -> str:
        """Trove says of an ID that it does not know it."""
        instance_id = str(uuid.uuid4())
        answer = self.ping(instance_id)
        reason = verdicts.judge(answer.reply, instance_id).reason
        _hold(reason is verdicts.Reason.NOT_FOUND, str(answer))
        return str(answer)

    def request_ids(self) -> str:
        """Each reply has an ID of its own."""
        ids = [answer.reply.request_id for answer in self.pings]
        _hold(all(ids), f'{ids.count(None)} of {len(ids)} replies have none')
        return f'one on each of {len(ids)} replies'

    def no_cache(self) -> str:
        """No cache answers in Trove's place."""
        for answer in self.pings:
            _hold(not answer.reply.cached, answer.reply.cached)
        ids = [answer.reply.request_id for answer in self.pings]
        if not all(ids):
            raise NotTried('without request IDs a cache may stay unseen')
        _hold(len(set(ids)) == len(ids), 'the same reply twice')
        control = self.pings[0].reply.headers.get('cache-control', 'none')
        return f'each reply is a new one; its Cache-Control: {control}'

    @functools.cached_property
    def listing(self) -> Listing:
        """The listing of all instances, read as the commands read it."""
        began = time.monotonic()
        send = run.fetcher(self.api, None)
        pages: list[replies.Reply] = []

        def fetch(path: str) -> replies.Reply | replies.NoReply:
            reply = send(path)
            if isinstance(reply, replies.Reply):
                pages.append(reply)
            return reply

        instances = inventory.list_instances(fetch)
        date = pages[0].headers.get('date', '')
        return Listing(instances, date, time.monotonic() - began)

    @property
    def rows(self) -> list[inventory.Instance]:
        """The rows of the live guests in the listing."""
        rows = [
            each for each in self.listing.instances if each.id in self.live
        ]
        if not rows:
            raise NotTried('the listing has no guest that is well')
        return rows

    def whole_listing(self) -> str:
        """The listing has every guest that was given."""
        listing = self.listing
        listed = {each.id for each in listing.instances}
        given = filter(None, [*self.live, self.dead])
        missing = [guest for guest in given if guest not in listed]
        _hold(not missing, f'it lacks {" ".join(missing)}')
        return (
            f'{len(listing.instances)} instances in '
            f'{_duration(listing.seconds)}'
        )

    def date(self) -> str:
        """The listing has a date, by which the age of heartbeats is known."""
        date = self.listing.date
        now = datetime.datetime.now(datetime.UTC)
        try:
            off = now - email.utils.parsedate_to_datetime(date)
        except (ValueError, TypeError):
            raise NotHeld(f'Date: {date or "none"}') from None
        return (
            f'{abs(off.total_seconds()):.0f} s from the clock of this machine'
        )

    def heartbeats(self) -> str:
        """Trove knows when it heard the agents of live guests last."""
        ages = [row.heartbeat_age for row in self.rows if row.is_fresh]
        stale = [row.id for row in self.rows if not row.is_fresh]
        _hold(not stale, f'no fresh one of {" ".join(stale)}')
        return f'at most {max(filter(None, [0.0, *ages])):.0f} s old'

    def fields(self) -> str:
        """The rows of live guests have what the output shows."""
        missing = set()
        for row in self.rows:
            server = row.server or inventory.Server()
            shown = {
                'name': row.name,
                'status': row.status,
                'project': row.project_id,
                'datastore': row.datastore,
                'server': server.id,
                'host': server.host,
                'status of the server': server.status,
            }
            missing |= {name for name, value in shown.items() if not value}
        _hold(not missing, f'there is no {", ".join(sorted(missing))}')
        return 'name, status, project, datastore and version, server and host'

    def rate_limit(self) -> str:
        """The limits resource names the limit of GETs."""
        answer = self._get('/limits')
        body = answer.reply.json()
        rows = body.get('limits') if isinstance(body, dict) else None
        for row in rows if isinstance(rows, list) else []:
            if isinstance(row, dict) and row.get('verb') == 'GET':
                unit = str(row.get('unit')).lower()
                return (
                    f'{row.get("value")} GETs a {unit}, of which '
                    f'{row.get("remaining")} are left in one process'
                )
        raise NotTried(f'the API names none ({answer.reply.status})')

    def bursts(self) -> str:
        """The API answers several pings at once, and how quickly."""
        seconds = {
            size: min(self._burst(size) for _ in range(_ROUNDS))
            for size in _BURSTS
        }
        abreast = max(
            size * seconds[1] / took for size, took in seconds.items()
        )
        times = ', '.join(_duration(took) for took in seconds.values())
        sizes = ', '.join(map(str, seconds))
        return f'{sizes} at once: {times}; about {abreast:.0f} side by side'

    def _burst(self, size: int) -> float:
        guests = (self.live * size)[:size]
        began = time.monotonic()
        with futures.ThreadPoolExecutor(size) as pool:
            answers = list(pool.map(self.ping, guests))
        took = time.monotonic() - began
        for answer in answers:
            _hold(answer.reply.status == 204, f'{size} at once: {answer}')
        return took

    @property
    def dead_one(self) -> str:
        """The ID of the dead guest, if there is one."""
        if self.dead is None:
            raise NotTried('no dead guest was given (--dead)')
        return self.dead

    @functools.cached_property
    def wait(self) -> Wait:
        """A ping of the dead guest, and those of a live one meanwhile."""
        meanwhile: list[float] = []
        with futures.ThreadPoolExecutor(1) as pool:
            dead = pool.submit(self.ping, self.dead_one)
            while not futures.wait([dead], _PACE).done:
                meanwhile.append(self.ping(self.live[0]).seconds)
        return Wait(dead.result(), meanwhile)

    def dead_guest(self) -> str:
        """Trove says that the agent did not answer, and soon enough."""
        answer = self.wait.answer
        reason = verdicts.judge(answer.reply, self.dead_one).reason
        _hold(reason is verdicts.Reason.AGENT_TIMEOUT, str(answer))
        return str(answer)

    def room_for_others(self) -> str:
        """A dead guest does not hold the whole API."""
        wait = self.wait
        if wait.answer.reply.status == 204 or not wait.meanwhile:
            raise NotTried('the guest did not keep Trove waiting')
        quick = [t for t in wait.meanwhile if t < wait.answer.seconds / 2]
        _hold(
            bool(quick),
            f'a live guest had to wait {_duration(wait.meanwhile[0])}',
        )
        return (
            f'{len(quick)} of {len(wait.meanwhile)} pings of a live guest '
            f'answered, in {_duration(max(quick))} at most'
        )

    def refusal(self) -> str:
        """A user who is not an administrator learns nothing."""
        if self.member_cloud is None:
            raise NotTried('no member was given (--member-cloud)')
        member = self.connect(self.member_cloud)
        ping = self.ping(self.live[0], member)
        listing = self._get('/mgmt/instances?limit=1', member)
        seen = f'ping {ping}; listing {listing.reply.status}'
        _hold(
            {ping.reply.status, listing.reply.status} <= {401, 403},
            seen,
        )
        return seen


@dataclasses.dataclass(frozen=True, slots=True)
class Wait:
    """The answer for a dead guest; seconds of other pings meanwhile."""

    answer: Answer
    meanwhile: list[float]


@dataclasses.dataclass(frozen=True)
class Listing:
    """The instances, the Date of the first page, and the seconds."""

    instances: list[inventory.Instance]
    date: str
    seconds: float


CLAIMS: tuple[tuple[str, Callable[[Trial], str]], ...] = (
    ('Login and endpoint', Trial.login),
    ('Live guest: 204', Trial.live_guests),
    ('Unknown ID: 404', Trial.unknown_id),
    ('Replies have request IDs', Trial.request_ids),
    ('No cache answers for Trove', Trial.no_cache),
    ('Listing has each guest', Trial.whole_listing),
    ('Listing has a Date', Trial.date),
    ('Listing has fresh heartbeats', Trial.heartbeats),
    ('Listing has our fields', Trial.fields),
    ('Rate limit is named', Trial.rate_limit),
    ('Pings at once are answered', Trial.bursts),
    ('Member is refused: 401, 403', Trial.refusal),
    ('Dead guest: 400, a timeout', Trial.dead_guest),
    ('Others are served meanwhile', Trial.room_for_others),
    ('Exit status 0: all are well', lambda trial: _command(0, trial.live)),
    (
        'Exit status 3: one is dead',
        lambda trial: _command(3, [*trial.live, trial.dead_one]),
    ),
    ('Exit status 1: unknown ID', lambda _: _command(1, [str(uuid.uuid4())])),
)


def _hold(held: bool, seen: str) -> None:
    if not held:
        raise NotHeld(seen)


def _duration(seconds: float) -> str:
    return f'{seconds * 1e3:.0f} ms' if seconds < 1 else f'{seconds:.1f} s'


def _command(expected: int, guests: list[str]) -> str:
    """Run the ping as a user does, and compare its exit status."""
    beside = pathlib.Path(sys.executable).with_name('openstack')
    program = shutil.which(beside) or shutil.which('openstack')
    if program is None:
        raise NotTried('there is no openstack command')
    began = time.monotonic()
    # The IDs were checked.
    process = subprocess.run(  # noqa: S603
        [
            *(program, 'database', 'instance', 'rpc', 'ping'),
            *('-f', 'value', '-c', 'Verdict', *guests),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_COMMAND,
    )
    took = _duration(time.monotonic() - began)
    counts = collections.Counter(process.stdout.split())
    words = ', '.join(f'{n} {verdict}' for verdict, n in counts.items())
    seen = f'{process.returncode} after {took}: {words or process.stderr}'
    _hold(process.returncode == expected, seen)
    return seen


def attempt(claim: Callable[[Trial], str], trial: Trial) -> tuple[Result, str]:
    """Try one claim; return the result, and what was seen."""
    try:
        return Result.HELD, claim(trial)
    except NotTried as error:
        return Result.NOT_TRIED, str(error)
    except (
        NotHeld,
        sdk_exceptions.SDKException,
        ksa_exceptions.ClientException,
        trove_exceptions.ClientException,
        subprocess.TimeoutExpired,
    ) as error:
        return Result.BROKEN, str(error)


def _print_row(
    screen: console.Console,
    *cells: str | text.Text,
    style: str = '',
) -> None:
    row = table.Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=_CLAIM)
    row.add_column(width=_RESULT)
    row.add_column(overflow='fold')
    row.add_row(*cells, style=style)
    screen.print(row)


def try_all(trial: Trial, screen: console.Console) -> list[Result]:
    """Try every claim, print a row for each, and return the results."""
    _print_row(screen, 'Claim', 'Result', 'Seen', style='bold')
    results: list[Result] = []
    for name, claim in CLAIMS:
        with screen.status(f'{name} …'):
            # The first claim is the login.
            if results[:1] in ([], [Result.HELD]):
                result, seen = attempt(claim, trial)
            else:
                result, seen = Result.NOT_TRIED, 'there is no login'
        results.append(result)
        word, style = result.value
        # Not as markup: a server wrote a part of it.
        clean = text.Text(plaintext.one_line(seen))
        _print_row(screen, name, text.Text(word, style), clean)
    return results


def _options(argv: Collection[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='tools/acceptance.sh',
        description='Try what this project claims against the cloud that '
        'OS_CLOUD, or the OS_* variables, name. Read only.',
        epilog='Exit status: 0 if every claim held that was tried, 1 if one '
        'did not hold, 2 for wrong usage.',
        allow_abbrev=False,
    )
    parser.add_argument(
        'live', nargs='+', type=_id, metavar='ID', help='a guest that is well'
    )
    parser.add_argument(
        '--dead', type=_id, metavar='ID', help='a guest that is dead'
    )
    parser.add_argument(
        '--member-cloud',
        metavar='NAME',
        help='a cloud of clouds.yaml whose user is not an administrator',
    )
    options = parser.parse_args(argv and list(argv))
    if options.dead in options.live:
        parser.error(f'{options.dead} cannot be well and dead')
    for cloud in {None, options.member_cloud}:
        try:
            sdk_config.get_cloud_region(cloud=cloud)
        except (
            ksa_exceptions.ClientException,
            sdk_exceptions.SDKException,
        ) as error:
            parser.error(plaintext.first_line(str(error)))
    return options


def _id(value: str) -> str:
    if not inventory.is_id(value):
        raise argparse.ArgumentTypeError(
            f'"{plaintext.one_line(value)}" is not the ID of an instance'
        )
    return value.lower()


def main() -> int:
    """Return the exit status."""
    options = _options()
    # keystoneauth warns of what the table shows.
    logging.getLogger().addHandler(logging.NullHandler())
    trial = Trial(options.live, options.dead, options.member_cloud)
    screen = console.Console(highlight=False)
    try:
        results = try_all(trial, screen)
    except KeyboardInterrupt:
        return 130
    counts = (
        f'{result.value[0].lower()} {results.count(result)}'
        for result in Result
    )
    screen.print(f'\n{len(results)} claims: {", ".join(counts)}')
    return 1 if Result.BROKEN in results else 0


if __name__ == '__main__':
    sys.exit(main())
