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

"""``run``: a command, and a sandbox that lives as long as the command."""

from collections.abc import Sequence
import contextlib
import shutil
import subprocess

from sandbox import box as box_
from sandbox import error
from sandbox import tether

# Seconds that a command has to end after Ctrl-C or SIGTERM.
_PATIENCE = 5


def run(box: box_.Sandbox, argv: Sequence[str]) -> int:
    """Start a sandbox, and run a command against it.

    :returns: the exit status of the command, as a shell shows it.
    :raises sandbox.SandboxError: if there is no such command.
    """
    program = shutil.which(argv[0])
    if program is None:
        raise error.SandboxError(f'there is no command {argv[0]}')
    with box:
        process = subprocess.Popen(  # noqa: S603
            tether.tethered([program, *argv[1:]]),
            env=box.env(),
        )
        try:
            status = process.wait()
        except BaseException as exc:
            # A terminal also sends Ctrl-C to the command, but not SIGTERM.
            _end(process, knows=isinstance(exc, KeyboardInterrupt))
            raise
    return status if status >= 0 else 128 - status


def _end(process: subprocess.Popen[bytes], *, knows: bool) -> None:
    """End the command.

    :param knows: the command has got Ctrl-C already.
    """
    if knows and _ended(process):
        return
    process.terminate()
    if not _ended(process):
        process.kill()
        process.wait()


def _ended(process: subprocess.Popen[bytes]) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
    return process.returncode is not None
