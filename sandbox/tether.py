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

"""Run a program that dies with the process that started it.

``python3 -I -S tether.py PARENT -- PROGRAM ARGUMENT…`` asks the kernel for
SIGKILL when the parent dies (prctl(2), PR_SET_PDEATHSIG; it survives
execve), and becomes the program. The kernel means the parent's *thread*:
start it from a thread that lives as long as the process does.

A launcher rather than a ``preexec_fn``, which may deadlock in a process
that has threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Be killed when ``parent`` dies, or at once if it is dead already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), 'prctl(PR_SET_PDEATHSIG)')
    # It may have died before prctl: then nobody would tell.
    if os.getppid() != parent:
        os._exit(1)


def tethered(argv: list[str]) -> list[str]:
    """The command line that runs ``argv`` tethered to this process."""
    launcher = [sys.executable, '-I', '-S', os.path.abspath(__file__)]
    return [*launcher, str(os.getpid()), '--', *argv]


if __name__ == '__main__':
    die_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[3], sys.argv[3:])  # noqa: S606
