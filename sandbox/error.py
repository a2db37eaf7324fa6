# SPDX-License-Identifier: Apache-2.0

"""The exception of the sandbox."""


class SandboxError(Exception):
    """An error that the user can act upon. The text is one line or a few."""
