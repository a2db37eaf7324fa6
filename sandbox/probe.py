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

import http
import json
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
    plan: plan_.Plan, guest: fleet.Guest, give_up: threading.Event
) -> None:
    """Ping until each worker of trove-api has most likely got an answer.

    :param give_up: set when nobody wants to know any more.
    :raises sandbox.SandboxError: if that takes more than a minute and a
        half.
    """
    end = time.monotonic() + _DEADLINE
    times = 1
    if plan.options.transport is plan_.Transport.RABBIT:
        times = 3 * plan.options.workers
    while True:
        try:
            # With Trove's own project: its rate limit is nobody else's.
            auth, project_id = login(
                plan.auth_url, 'trove', plan.passwords.trove, 'service'
            )
            for _ in range(times):
                _ping(plan, guest, auth, project_id)
            return
        except OSError as exc:
            if time.monotonic() > end:
                raise error.SandboxError(
                    f'no ping got through within {_DEADLINE} s: {exc}'
                ) from exc
            if give_up.wait(0.2):
                return


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
