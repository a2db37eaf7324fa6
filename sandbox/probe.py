# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.

"""Ask the running sandbox over HTTP, as a client would."""

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
from sandbox import plan as plan_

# Seconds that all connections to a broker that was away may take.
_DEADLINE = 90

# Rounds of pings in which each worker most likely gets one.
_ROUNDS = 10

# As oslo.log begins a line: date, time, PID, level.
_PINGING = re.compile(rb'(?m)^\S+ \S+ (\d+) INFO .* Sending RPC PING ')

# No proxy from the environment: everything is on loopback.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def login(
    auth_url: str, user: str, password: str, project: str
) -> tuple[str, str]:
    """A token of Keystone's, and the ID of its project.

    :raises OSError: if there is none to be had.
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
    plan: plan_.Plan,
    guest: fleet.Guest,
    workers: Collection[int],
    give_up: threading.Event,
) -> None:
    """Ping until each worker of trove-api has got an answer.

    A round of pings, one for each worker, is sent at once: of several idle
    workers always the same one may take a lone request.

    :param workers: their PIDs. A round in which a worker is not seen in
        trove-api's log is repeated, but not for ever: over the rate limit
        a worker logs nothing.
    :param give_up: set when nobody wants to know any more.
    :raises sandbox.SandboxError: if that takes more than a minute and a
        half.
    """
    end = time.monotonic() + _DEADLINE
    log = plan.log('trove-api')
    begin = log.stat().st_size
    rounds = 0
    while True:
        try:
            # With Trove's own project: its rate limit is nobody else's.
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
    """The workers that pinged a guest since the log had that many bytes."""
    with log.open('rb') as lines:
        lines.seek(begin)
        return {int(pid) for pid in _PINGING.findall(lines.read())}


def _ping(
    plan: plan_.Plan, guest: fleet.Guest, auth: str, project_id: str
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
        # The smallest rate limits leave no room for a proof.
