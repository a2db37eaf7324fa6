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

"""Run one process, and measure it as a whole."""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

from benchmarks import stopwatch
from benchmarks.error import BenchmarkError

# Seconds after which a process hangs.
_LONGEST = 600

_ROOT = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What one process took.

    :param wall: seconds from its start to its end.
    :param cpu: seconds of CPU, user and system, its children's too.
    :param rss: bytes of memory at the most.
    :param foreign: share of one core that other processes used meanwhile,
        the server not counted.
    :param server: share of one core that the server used meanwhile.
    :param output: its standard output.
    """

    wall: float
    cpu: float
    rss: int
    foreign: float
    server: float
    output: str


def environment() -> dict[str, str]:
    """Return our environment, without proxies, clouds and bundles of CAs."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith('OS_')
        and not name.lower().endswith('_proxy')
        and name not in ('REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE')
    }


def run(
    argv: list[str], env: dict[str, str], server: int | None = None
) -> Measurement:
    """Run a process to its end.

    :param argv: its command line.
    :param env: its environment.
    :param server: the process ID of the server that it talks to.
    :raises BenchmarkError: if it fails, with its last words.
    """
    with tempfile.TemporaryDirectory(prefix='rpcping-bench-') as name:
        folder = pathlib.Path(name)
        out, err = folder / 'out', folder / 'err'
        report = folder / 'report'
        with out.open('wb') as stdout, err.open('wb') as stderr:
            process = subprocess.Popen(  # noqa: S603
                [
                    *(sys.executable, '-I', '-S', stopwatch.__file__),
                    *(str(report), str(server or 0), '--', *argv),
                ],
                env=env,
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                # Whatever happens, it ends with all that it started.
                start_new_session=True,
            )
            _finish(process)
        output = out.read_text(errors='replace')
        took = json.loads(report.read_text()) if report.exists() else {}
        status = took.pop('status', 'no report')
        if status != 0:
            words = err.read_text(errors='replace').strip() or output.strip()
            raise BenchmarkError(
                f'{" ".join(argv)[:500]}\nended with {status}: {words[-500:]}'
            )
    return Measurement(output=output, **took)


def _finish(process: 'subprocess.Popen[bytes]') -> None:
    try:
        process.wait(_LONGEST)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # Nothing is left of the group if all went well.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
