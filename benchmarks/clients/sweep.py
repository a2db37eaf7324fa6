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

"""``mgmt_instances.rpc_ping_each`` of this project."""

from keystoneauth1 import session
from keystoneauth1 import token_endpoint

from benchmarks.clients import task as task_
from troveclient_rpcping import client


def ping(task: task_.Task) -> int:
    """Ping all; return how many replies were 204. Keeps no result."""
    auth = token_endpoint.Token(task.endpoint, task.token)
    trove = client.Client(
        session=session.Session(auth=auth, verify=task.verify)
    )
    pings = trove.mgmt_instances.rpc_ping_each(
        task.instance_ids(), concurrency=task.concurrency
    )
    return sum(result.http_status == 204 for result in pings)


if __name__ == '__main__':
    task_.perform(ping)
