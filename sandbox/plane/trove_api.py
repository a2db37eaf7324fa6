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

"""The ``trove-api`` program, with workers that die with their master.

``trove_api.py --config-file FILE``. Otherwise it equals the console script of
the trove package.
"""

# mypy: disable-error-code="import-not-found, import-untyped, misc"
# ruff: noqa: I001

# This patches the standard library for eventlet, so it comes first.
from trove.cmd import api

import os
import sys

from sandbox import tether

if __name__ == '__main__':
    master = os.getpid()
    os.register_at_fork(after_in_child=lambda: tether.die_with_parent(master))
    sys.argv[0] = 'trove-api'
    sys.exit(api.main())
