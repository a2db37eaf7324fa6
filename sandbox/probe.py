# SPDX-License-Identifier: Apache-2.0

"""Requests to a running sandbox over HTTP, as a client sends them."""

from collections.abc import Collection
import concurrent.futures
import http
import json
import pathlib
import re
import threading
import time
from typing import Any
import urllib.error
import urllib.request

from sandbox import error
from sandbox import fleet
from sandbox import plan as plans

# Seconds until trove-api and the guests must have found a broker again.
_DEADLINE = 90

# In this number of rounds, each worker most likely gets a ping.
_ROUNDS = 10

# A line of oslo.log begins with date, time, PID and level.
_PINGING = re.compile(rb'(?m)^\S+ \S+ (\d+) INFO .* Sending RPC PING ')

# Without the proxies of the environment: all servers are on loopback.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def login(
    auth_url: str, user: str, password: str, project: str
) -> tuple[str, str]:
    """Return a token of Keystone, and the ID of its project.

    :raises OSError: if the login fails.
    """
    domain = {'id': 'default'}
    identity = {
        'methods': ['password'],
        'password': {
            'user': {'name': user, 'domain': domain, 'password': password}
        },
    }
    scope = {'project': {'name': project, 'domain': domain}}
    body: dict[str, Any] = {'auth': {'identity': identity, 'scope': scope}}
    request = urllib.request.Request(  # noqa: S310
        f'{auth_url}/auth/tokens',
        json.dumps(body).encode(),
        {'Content-Type': 'application/json'},
    )
    with _opener.open(request, timeout=30) as reply:
        token = str(reply.headers['X-Subject-Token'])
        return token, json.load(reply)['token']['project']['id']


def ping_until_answered(
    plan: plans.Plan,
    guest: fleet.Guest,
    workers: Collection[int],
    give_up: threading.Event,
) -> None:
    """Ping until each worker of trove-api has got an answer.

    A round is one ping for each worker, sent at once: a single request may
    always reach the same of several idle workers.

    :param workers: the PIDs of the workers. If one of them is missing from
        the log of trove-api, the round is repeated. The number of rounds is
        limited, because a worker over the rate limit logs nothing.
    :param give_up: an event that ends the wait without a result.
    :raises sandbox.SandboxError: if no ping was answered within 90 s.
    """
    end = time.monotonic() + _DEADLINE
    log = plan.log('trove-api')
    begin = log.stat().st_size
    rounds = 0
    while True:
        try:
            # The project of Trove itself: no client spends its rate limit.
            auth, project_id = login(
                plan.auth_url, 'trove', plan.passwords.trove, 'service'
            )
            with concurrent.futures.ThreadPoolExecutor(len(workers)) as pool:
                pings = [
                    pool.submit(_ping, plan, guest, auth, project_id)
                    for _ in workers
                ]
            for ping in pings:
                ping.result()
            rounds += 1
            if rounds == _ROUNDS or _seen(log, begin).issuperset(workers):
                return
        except OSError as exc:
            if time.monotonic() > end:
                raise error.SandboxError(
                    f'no ping got through within {_DEADLINE} s: {exc}'
                ) from exc
            if give_up.wait(0.2):
                return


def _seen(log: pathlib.Path, begin: int) -> set[int]:
    """Return the PIDs that logged a ping behind this position of the log."""
    with log.open('rb') as lines:
        lines.seek(begin)
        return {int(pid) for pid in _PINGING.findall(lines.read())}


def _ping(
    plan: plans.Plan, guest: fleet.Guest, auth: str, project_id: str
) -> None:
    request = urllib.request.Request(  # noqa: S310
        f'{plan.trove_root}/v1.0/{project_id}'
        f'/mgmt/instances/{guest.id}/rpc_ping',
        headers={'X-Auth-Token': auth},
    )
    try:
        _opener.open(request, timeout=plan.options.agent_timeout + 5).close()
    except urllib.error.HTTPError as exc:
        exc.close()
        if exc.code != http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise
        # A small rate limit may be spent already: accept that as an answer.
