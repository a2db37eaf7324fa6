# SPDX-License-Identifier: Apache-2.0

"""trove-api as most clouds run it: each worker serves one request at a time.

The sync workers of gunicorn behave as processes of uWSGI and mod_wsgi with
one thread: a request holds its worker, other requests wait in the listen
socket, and each reply closes its connection. The master imports the modules
once. Each worker sets up its application after the fork (``lazy-apps`` of
uWSGI), so the workers share no connection.
"""

# mypy: disable-error-code="import-not-found, import-untyped, misc"
# ruff: noqa: I001

# This patches the standard library for eventlet, so it comes first.
import trove.cmd

import os
import socket
import sys
import threading
from typing import Any

import eventlet.hubs
from gunicorn import arbiter
from gunicorn.app import base

# These imports take long, and open no connection: do them once, in the master.
import trove.cmd.common
import trove.common.api
import trove.common.pastedeploy  # noqa: F401

from sandbox import channel
from sandbox import plan as plans
from sandbox import tether

# The default of uWSGI ("listen").
_BACKLOG = 100


class _Application(base.BaseApplication):
    """Trove's WSGI application, with settings for gunicorn."""

    def __init__(self, plan: plans.Plan, ready: int) -> None:
        self._plan = plan
        self._ready = ready
        self._master = os.getpid()
        super().__init__()

    def load_config(self) -> None:
        for name, value in (
            ('bind', f'{plans.LOOPBACK}:{self._plan.ports.trove}'),
            ('workers', self._plan.options.workers),
            ('worker_class', 'sync'),
            ('backlog', _BACKLOG),
            # uWSGI does not kill a worker that serves a long request.
            ('timeout', 0),
            # Seconds. A worker that has used RabbitMQ does not end by itself.
            ('graceful_timeout', 1),
            ('control_socket_disable', True),
            ('post_fork', self._post_fork),
            ('post_worker_init', self._post_worker_init),
        ):
            self.cfg.set(name, value)

    def _post_fork(self, server: Any, worker: Any) -> None:
        tether.die_with_parent(self._master)
        # The inherited hub has the epoll and the green threads of the master.
        eventlet.hubs.use_hub()

    def _post_worker_init(self, worker: Any) -> None:
        os.write(self._ready, b'.')

    def load(self) -> Any:
        # Trove reads the command line (trove/cmd/common.py).
        config = str(self._plan.file('trove.conf'))
        sys.argv = ['trove-api', '--config-file', config]
        # This import sets up the application, so it comes after the fork.
        from trove.cmd import app_wsgi

        return app_wsgi.application


def _announce(workers: int, ready: int, orders: socket.socket) -> None:
    """Tell the supervisor when each worker has loaded Trove."""
    for _ in range(workers):
        os.read(ready, 1)
    orders.sendall(channel.encode({}))


def main(folder: str, orders: socket.socket) -> None:
    """Serve until the supervisor kills this process."""
    plan = plans.Plan.load(folder)
    reader, writer = os.pipe()
    threading.Thread(
        target=_announce,
        args=(plan.options.workers, reader, orders),
        daemon=True,
    ).start()
    arbiter.Arbiter(_Application(plan, writer)).run()


if __name__ == '__main__':
    main(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
