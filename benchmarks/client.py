# SPDX-License-Identifier: Apache-2.0

"""Ping guests from Python; a program that ``benchmarks.race`` measures.

``python -m benchmarks.client WAY ENDPOINT AT_ONCE`` reads the IDs of the
guests from standard input. It prints JSON: how many replies were 204, and how
many seconds of time and of CPU all pings took.
"""

from concurrent import futures
import functools
import json
import sys
import time

from keystoneauth1 import session as ksa_session
from keystoneauth1 import token_endpoint
import requests
from requests import adapters

from troveclient_rpcping import client


def _sweep(session: ksa_session.Session, ids: list[str], at_once: int) -> int:
    managed = client.Client(session=session).mgmt_instances
    results = managed.rpc_ping_each(ids, concurrency=at_once)
    return sum(result.http_status == 204 for result in results)


def _loop(session: ksa_session.Session, ids: list[str], _: int) -> int:
    managed = client.Client(session=session).mgmt_instances
    for each in ids:
        managed.rpc_ping(each)  # it raises for any other reply
    return len(ids)


def _threads(
    session: ksa_session.Session, ids: list[str], at_once: int
) -> int:
    service = {'service_type': 'database'}
    get = functools.partial(session.get, endpoint_filter=service)
    paths = [f'/mgmt/instances/{each}/rpc_ping' for each in ids]
    with futures.ThreadPoolExecutor(at_once) as pool:
        return [reply.status_code for reply in pool.map(get, paths)].count(204)


#: The ways by their names in the table.
WAYS = {
    'rpc_ping_each': _sweep,
    'loop of rpc_ping': _loop,
    'keystoneauth in threads': _threads,
}


def main(way: str, endpoint: str, at_once: str) -> None:
    """Ping, and print how long it took."""
    http = requests.Session()
    # Each thread keeps its connection.
    http.mount('http://', adapters.HTTPAdapter(pool_maxsize=int(at_once)))
    auth = token_endpoint.Token(endpoint, 'a-token')
    session = ksa_session.Session(auth=auth, session=http)
    ids = sys.stdin.read().split()
    begun, cpu = time.monotonic(), time.process_time()
    good = WAYS[way](session, ids, int(at_once))
    wall, cpu = time.monotonic() - begun, time.process_time() - cpu
    sys.stdout.write(json.dumps({'good': good, 'wall': wall, 'cpu': cpu}))


if __name__ == '__main__':
    main(*sys.argv[1:])
