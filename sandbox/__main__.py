# SPDX-License-Identifier: Apache-2.0

"""``python3 -m sandbox``."""

import sys

from sandbox import cli

if __name__ == '__main__':
    sys.exit(cli.main())
