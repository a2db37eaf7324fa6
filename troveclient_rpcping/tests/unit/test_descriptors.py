#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""The limits of this machine."""

import errno
import json
import subprocess
import sys

from troveclient_rpcping.engine import descriptors
from troveclient_rpcping.tests import base

# In a process of its own: a limit cannot be raised again.
PROGRAM = """
import json, resource, sys
from troveclient_rpcping.engine import descriptors
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
flight = descriptors.flight(wanted)
print(json.dumps([flight, *resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""

FULL = """
import os, resource, sys
from keystoneauth1 import session
import pycurl
from troveclient_rpcping import client, fixture
from troveclient_rpcping.engine.access import Access
from troveclient_rpcping.engine.handle import Handle
api = client.Client(session=session.Session(auth=fixture.Login('http://x')))
handle = Handle(Access(api))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
kept = []
try:
    while True:
        kept.append(os.open(os.devnull, 0))
except OSError:
    outcome = handle.outcome(pycurl.E_COULDNT_CONNECT, 'Could not connect')
os.close(kept.pop())
print(outcome.kind, outcome.message)
outcome = handle.outcome(pycurl.E_COULDNT_CONNECT, 'Could not connect')
print(outcome.kind, outcome.message)
"""


class DescriptorsTest(base.TestCase):
    def flight(self, soft: int, hard: int, wanted: int) -> tuple[int, ...]:
        """Return the number of pings in flight, and the limits after it."""
        numbers = map(str, (soft, hard, wanted))
        process = subprocess.run(
            [sys.executable, '-c', PROGRAM, *numbers],
            check=True,
            capture_output=True,
        )
        return tuple(json.loads(process.stdout))

    def test_a_limit_that_suffices_is_left_alone(self) -> None:
        """The default concurrency needs no higher limit."""
        self.assertEqual((64, 1024, 4096), self.flight(1024, 4096, 64))

    def test_a_limit_that_is_too_low_is_raised(self) -> None:
        """The limit is raised as far as needed, within the hard limit."""
        flight, soft, hard = self.flight(256, 4096, 1024)
        self.assertEqual((1024, 4096), (flight, hard))
        self.assertGreater(soft, 2048)
        self.assertLess(soft, 2200)

    def test_fewer_pings_fly_where_the_limit_cannot_be_raised(self) -> None:
        """A ping may take two descriptors, and the process needs some."""
        flight, soft, _ = self.flight(256, 256, 1024)
        self.assertEqual(256, soft)
        self.assertGreater(flight, 64)
        self.assertLess(2 * flight, 256)
        self.assertEqual(1, self.flight(36, 36, 1024)[0])

    def test_a_port_that_is_missing_is_named(self) -> None:
        """The message says that this machine has no port left."""
        said = descriptors.shortage(errno.EADDRNOTAVAIL)
        self.assertIn('no local port left', said)
        self.assertEqual('', descriptors.shortage(errno.ECONNREFUSED))

    def test_a_descriptor_that_is_missing_is_named(self) -> None:
        """The message does not blame the server."""
        process = subprocess.run(
            [sys.executable, '-c', FULL],
            check=True,
            capture_output=True,
            text=True,
        )
        full, free = process.stdout.splitlines()
        self.assertRegex(
            full, 'connection This machine has no file descriptor left'
        )
        # With a descriptor, the connection has failed for another cause.
        self.assertEqual('connection Could not connect', free)
