# SPDX-License-Identifier: Apache-2.0

"""The guest agents in their own process, on RabbitMQ."""

# mypy: disable-error-code="import-not-found, import-untyped, misc"
# ruff: noqa: I001

# This patches the standard library for eventlet, so it comes first.
import trove.cmd  # noqa: F401

import socket
import sys

from trove.cmd import common

from sandbox import channel
from sandbox import plan as plans
from sandbox.plane import agents


def main(folder: str, orders: socket.socket) -> None:
    """Serve until the supervisor ends or kills this process."""
    plan = plans.Plan.load(folder)
    sys.argv = ['guests']
    for name in ('trove.conf', 'guests.conf'):
        sys.argv += ['--config-file', str(plan.file(name))]
    common.initialize()
    guests = agents.Agents(plan)
    guests.start()
    orders.sendall(channel.encode({}))
    channel.serve(orders, guests.carry_out)


if __name__ == '__main__':
    main(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
