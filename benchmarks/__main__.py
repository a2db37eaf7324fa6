# SPDX-License-Identifier: Apache-2.0

"""``python -m benchmarks``: run one of the two benchmarks."""

import argparse
import logging
import os
import pathlib
import signal
import sys

import benchmarks
from benchmarks import neighbours
from benchmarks import race
from sandbox import error


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='python -m benchmarks')
    parser.add_argument(
        'which',
        nargs='?',
        choices=['sweep', 'neighbours'],
        default='sweep',
        help='sweep (default): the sweep beside other ways to ping; '
        'neighbours: what a sweep does to other callers of the API',
    )
    parser.add_argument(
        'cells',
        nargs='*',
        metavar='CELL',
        help='cells of neighbours (default: all; see --list)',
    )
    parser.add_argument('--list', action='store_true', help='name all cells')
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        '--quick',
        action='store_true',
        help='only show that the benchmark works; its figures mean nothing',
    )
    either.add_argument(
        '--record',
        action='store_true',
        help='write the figures into the documentation '
        '(default: into build/benchmarks)',
    )
    return parser.parse_intermixed_args()


def main() -> None:
    """Run what the command line says."""
    said = _parse()
    # Whatever ends the program, it removes its folders.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.basicConfig(format='%(asctime)s %(message)s', datefmt='%H:%M:%S')
    benchmarks.LOG.setLevel(logging.INFO)
    # The programs that run heed neither clouds nor proxies.
    for name in list(os.environ):
        if name.startswith('OS_') or name.lower().endswith('_proxy'):
            del os.environ[name]
    scratch = pathlib.Path('build', 'benchmarks')
    folder = benchmarks.RECORDED if said.record else scratch
    try:
        if said.list:
            sys.stdout.write('\n'.join([*neighbours.plan(), '']))
        elif said.which == 'neighbours':
            neighbours.run(said.cells, folder, quick=said.quick)
        else:
            race.run(folder, quick=said.quick)
    except (benchmarks.BenchmarkError, error.SandboxError) as exc:
        sys.exit(str(exc))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == '__main__':
    main()
