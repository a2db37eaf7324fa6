# SPDX-License-Identifier: Apache-2.0

"""Run a program that dies with the process that started it.

``python3 -I -S tether.py PARENT -- PROGRAM ARGUMENT…`` asks the kernel to
send SIGKILL when the parent dies, and then becomes the program. The setting
survives execve (prctl(2), PR_SET_PDEATHSIG). The kernel watches the *thread*
that started this program, so that thread must live as long as its process.

A ``preexec_fn`` would be shorter, but may deadlock in a process with threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when ``parent`` dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), 'prctl(PR_SET_PDEATHSIG)')
    # If it died before prctl, there is no signal.
    if os.getppid() != parent:
        os._exit(1)


def tethered(argv: list[str]) -> list[str]:
    """Return a command line that runs ``argv`` tethered to this process."""
    launcher = [sys.executable, '-I', '-S', os.path.abspath(__file__)]
    return [*launcher, str(os.getpid()), '--', *argv]


if __name__ == '__main__':
    die_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[3], sys.argv[3:])  # noqa: S606
