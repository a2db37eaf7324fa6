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

"""What a Python user would write: keystoneauth in a pool of threads.

With an adapter and a fixed endpoint, which spares the session the work with
the catalog, and a pool of connections as large as that of threads: no naive
opponent.
"""

from concurrent import futures

from keystoneauth1 import adapter
from keystoneauth1 import session
from keystoneauth1 import token_endpoint
import requests
from requests import adapters

from benchmarks.clients import task as task_


def ping(task: task_.Task) -> int:
    """Ping all; return how many replies were 204."""
    http = requests.Session()
    pool = adapters.HTTPAdapter(pool_maxsize=task.concurrency)
    http.mount('http://', pool)
    http.mount('https://', pool)
    trove = adapter.Adapter(
        session.Session(
            auth=token_endpoint.Token(task.endpoint, task.token),
            session=http,
            verify=task.verify,
        ),
        endpoint_override=task.endpoint,
    )

    def ping_one(instance_id: str) -> bool:
        path = f'/mgmt/instances/{instance_id}/rpc_ping'
        return bool(trove.get(path, raise_exc=False).status_code == 204)

    with futures.ThreadPoolExecutor(task.concurrency) as threads:
        return sum(threads.map(ping_one, task.instance_ids()))


if __name__ == '__main__':
    task_.perform(ping)
