# SPDX-License-Identifier: Apache-2.0

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
