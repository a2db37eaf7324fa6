# SPDX-License-Identifier: Apache-2.0

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
