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

"""The supervisor of a sandbox, as its owner sees it."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from typing import cast
from typing import IO

from sandbox import channel
from sandbox import error
from sandbox import plan as plan_

_ROOT = pathlib.Path(__file__).resolve().parent.parent

# Seconds until a supervisor that was told to end is killed.
_STOP = 30


class Supervisor:
    """The process that is the parent of every server. This process owns it."""

    def __init__(
        self, folder: pathlib.Path, venv: pathlib.Path, options: plan_.Options
    ) -> None:
        chosen = json.dumps(dataclasses.asdict(options))
        argv = ['-m', 'sandbox.serve', str(folder), str(venv), chosen]
        path = {'PYTHONPATH': str(_ROOT), 'PYTHONSAFEPATH': '1'}
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, *argv],
            env=os.environ | path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C reaches this process only, which then ends it in order.
            start_new_session=True,
        )
        self._to = cast(IO[bytes], self._process.stdin)
        self._from = cast(IO[bytes], self._process.stdout)
        self.pid = self._process.pid
        self._log = folder / 'supervisor.log'

    def started(self) -> str:
        """Wait until every server runs, and return the control socket."""
        line = self._from.readline()
        if not line:
            raise error.SandboxError(
                f'the sandbox ended while it started; read {self._log}'
            )
        return str(channel.checked(channel.decode(line))['socket'])

    def detach(self) -> None:
        """Let it outlive this process."""
        self._to.write(b'detach\n')
        self._to.flush()

    def end(self) -> None:
        """End it, and wait until every process is gone."""
        self._to.close()  # this tells it to end
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its servers die with it
            self._process.wait()
        self._from.close()
