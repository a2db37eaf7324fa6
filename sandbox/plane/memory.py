# SPDX-License-Identifier: Apache-2.0

"""trove-api and the guest agents in one process, without a broker."""

# mypy: disable-error-code="import-not-found, import-untyped, misc"
# ruff: noqa: I001

# This patches the standard library for eventlet, so it comes first.
import trove.cmd  # noqa: F401

import socket
import sys

import eventlet
from trove.cmd import common
from trove.common import cfg
from trove.common import wsgi

from sandbox import channel
from sandbox import plan as plans
from sandbox.plane import agents
from sandbox.plane import memory_bus


def main(folder: str, orders: socket.socket) -> None:
    """Serve until the supervisor kills this process.

    This follows trove/cmd/api.py.
    """
    plan = plans.Plan.load(folder)
    memory_bus.install()
    sys.argv = ['trove-api', '--config-file', str(plan.file('trove.conf'))]
    conf = common.initialize()
    cfg.set_api_config_defaults()
    guests = agents.Agents(plan)
    guests.start()
    launcher = wsgi.launch(
        'trove',
        conf.bind_port,
        conf.api_paste_config,
        host=conf.bind_host,
        # A test may open more connections at once than the default of 128.
        backlog=1024,
        workers=1,
    )
    orders.sendall(channel.encode({}))
    eventlet.spawn(channel.serve, orders, guests.carry_out)
    launcher.wait()


if __name__ == '__main__':
    main(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
