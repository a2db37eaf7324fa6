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

"""What the command line means."""

import argparse
import dataclasses
import pathlib

_ROOT = pathlib.Path(__file__).resolve().parent.parent

#: Where the page about performance has its figures.
RECORDED = _ROOT / 'doc' / 'source' / 'contributor' / 'performance'

#: Where they go otherwise.
SCRATCH = _ROOT / 'build' / 'benchmarks'


@dataclasses.dataclass(frozen=True)
class Arguments:
    """One call of the benchmarks.

    :param quick: a minute, to see that all works; figures to distrust.
    :param folder: where picture and figures go.
    :param sandbox: whether the real trove-api takes part.
    """

    quick: bool
    folder: pathlib.Path
    sandbox: bool


def parse(argv: list[str]) -> Arguments:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks',
        description='Compare the sweep with curl -Z, keystoneauth in threads '
        'and a loop of openstack commands.',
    )
    parser.add_argument(
        '--quick',
        action='store_true',
        help='about a minute: fewer runs, fewer pings, figures to distrust',
    )
    parser.add_argument(
        '--record',
        action='store_true',
        help='write the picture and the figures into the documentation '
        '(default: into build/benchmarks)',
    )
    parser.add_argument(
        '--no-sandbox',
        action='store_true',
        help='leave out the real trove-api',
    )
    parsed = parser.parse_args(argv)
    if parsed.quick and parsed.record:
        parser.error('figures of a quick run are not worth recording')
    if parsed.no_sandbox and parsed.record:
        parser.error('the record wants the figures of the sandbox, too')
    return Arguments(
        quick=parsed.quick,
        folder=RECORDED if parsed.record else SCRATCH,
        sandbox=not parsed.no_sandbox,
    )
