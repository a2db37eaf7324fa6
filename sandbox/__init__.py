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

"""A whole Trove control plane on one machine, for tests and for trials.

::

    from sandbox import Sandbox

    with Sandbox(agent_timeout=1) as box:
        subprocess.run(['openstack', 'database', …], env=box.env())
        box.set_guest('db-healthy', 'dead')

``python3 -m sandbox --help`` describes the same from a shell.
"""

import sys

# An older Python would stop at a syntax error, which explains nothing.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit('sandbox: error: Python 3.11 or newer is needed')

from sandbox.box import Sandbox
from sandbox.error import SandboxError
from sandbox.fleet import Behaviour
from sandbox.fleet import Guest

__all__ = ['Behaviour', 'Guest', 'Sandbox', 'SandboxError']
