# SPDX-License-Identifier: Apache-2.0

"""The version of this package."""

import importlib.metadata

#: As pbr derives it from git; "unknown" in a tree that was never installed.
try:
    VERSION = importlib.metadata.version('troveclient-rpcping')
except importlib.metadata.PackageNotFoundError:
    VERSION = 'unknown'
