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

"""Time one process: ``python3 -I -S stopwatch.py REPORT SERVER -- PROGRAM …``.

A small program of its own, because a process inherits the peak memory of the
one that started it (wait4(2), ``ru_maxrss``; exec does not reset it): this
one has less than any that is measured.

It writes a JSON object to the file REPORT; see ``benchmarks.measure`` for
what is in it. SERVER is the process ID of the server, 0 for none.
"""

import json
import os
import sys
import time

_TICK = 1 / os.sysconf('SC_CLK_TCK')


def process_cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used; 0 for no process."""
    if not pid:
        return 0.0
    with open(f'/proc/{pid}/stat', encoding='utf-8') as file:
        # proc(5): utime and stime are fields 14 and 15; 3 follows the name.
        fields = file.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK


def machine_cpu() -> float:
    """Return the seconds of CPU that all processes have used."""
    with open('/proc/stat', encoding='utf-8') as file:
        user, nice, system = (int(one) for one in file.readline().split()[1:4])
    return (user + nice + system) * _TICK


def timed(argv: list[str], server: int) -> dict[str, float]:
    """Run a program to its end, and return what it took."""
    busy = machine_cpu()
    served = process_cpu(server)
    start = time.monotonic()
    pid = os.posix_spawnp(argv[0], argv, os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - start
    cpu = usage.ru_utime + usage.ru_stime
    served = process_cpu(server) - served
    busy = machine_cpu() - busy
    return {
        'status': os.waitstatus_to_exitcode(status),
        'wall': wall,
        'cpu': cpu,
        'rss': usage.ru_maxrss * 1024,
        'foreign': max(0.0, busy - cpu - served) / wall,
        'server': served / wall,
    }


if __name__ == '__main__':
    report = timed(sys.argv[4:], int(sys.argv[2]))
    with open(sys.argv[1], 'w', encoding='utf-8') as out:
        json.dump(report, out)
