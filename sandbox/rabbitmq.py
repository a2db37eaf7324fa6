# SPDX-License-Identifier: Apache-2.0

"""The installed RabbitMQ."""

import asyncio
from collections.abc import Mapping
import pathlib
import shutil

from sandbox import error

#: The packages of Debian and of upstream install the script here. Debian's
#: script on the PATH is a wrapper that demands root.
SERVER = pathlib.Path('/usr/lib/rabbitmq/bin/rabbitmq-server')
_CONTROL = SERVER.with_name('rabbitmqctl')


def installed() -> bool:
    """Tell whether ``--transport rabbit`` can work here."""
    return SERVER.is_file() and shutil.which('epmd') is not None


def require() -> None:
    """Check that RabbitMQ is installed.

    :raises sandbox.SandboxError: if it is not. The text says what to do.
    """
    if not installed():
        raise error.SandboxError(
            'RabbitMQ is not installed; install it (apt-get install '
            'rabbitmq-server), or use --transport memory'
        )


async def permit(env: Mapping[str, str], *, writing: bool) -> None:
    """Permit or forbid that the user "sandbox" sends messages.

    :param env: the environment of the node.
    :raises sandbox.SandboxError: if rabbitmqctl fails.
    """
    everything, nothing = '.*', '^$'
    write = everything if writing else nothing
    process = await asyncio.create_subprocess_exec(
        str(_CONTROL),
        *('set_permissions', 'sandbox', everything, write, everything),
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise error.SandboxError(f'rabbitmqctl failed: {output.decode()}')
