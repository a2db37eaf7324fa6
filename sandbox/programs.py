# SPDX-License-Identifier: Apache-2.0

"""The programs of a sandbox, with their environments and arguments."""

import asyncio
import dataclasses
import os
import pathlib
import sys

from sandbox import plan as plans
from sandbox import rabbitmq
from sandbox import server

_ROOT = pathlib.Path(__file__).resolve().parent.parent


def _environment(plan: plans.Plan) -> dict[str, str]:
    """Return an environment without the user's settings."""
    return {
        'PATH': os.environ.get('PATH', os.defpath),
        'LANG': 'C.UTF-8',
        'HOME': str(plan.folder),
        'PYTHONPATH': str(_ROOT),
        'PYTHONSAFEPATH': '1',
    }


def _plane(plan: plans.Plan, name: str, module: str) -> server.Server:
    python = plan.venv / 'bin' / 'python'
    return server.Server(
        name,
        [str(python), '-m', f'sandbox.plane.{module}', str(plan.folder)],
        _environment(plan),
        plan.log(name),
    )


def programs(plan: plans.Plan) -> list[server.Server]:
    """Return the programs of a sandbox."""
    made = [
        _plane(plan, 'keystone', 'keystone_server'),
        # The stand-in for Nova and Neutron.
        server.Server(
            'cloud',
            [sys.executable, '-m', 'sandbox.cloud', str(plan.folder)],
            _environment(plan),
            plan.log('cloud'),
        ),
    ]
    if plan.options.transport is plans.Transport.MEMORY:
        return [*made, _plane(plan, 'trove-api', 'memory')]
    return [
        *made,
        _epmd(plan),
        _broker(plan),
        _plane(plan, 'guests', 'guests'),
        _trove_api(plan),
    ]


def _trove_api(plan: plans.Plan) -> server.Server:
    """Return trove-api with its workers, on RabbitMQ."""
    if plan.options.server is plans.ApiServer.WSGI:
        return _plane(plan, 'trove-api', 'trove_wsgi')

    async def answers() -> bool:
        return b'HTTP/1.1 ' in await _ask(
            plan.ports.trove, b'GET / HTTP/1.0\r\n\r\n'
        )

    program = _plane(plan, 'trove-api', 'trove_api')
    config = ['--config-file', str(plan.file('trove.conf'))]
    return dataclasses.replace(
        program, argv=[*program.argv[:-1], *config], answers=answers
    )


def _epmd(plan: plans.Plan) -> server.Server:
    """Return the port mapper of Erlang.

    Otherwise RabbitMQ starts one, which outlives the sandbox.
    """

    async def answers() -> bool:
        # NAMES_REQ with its length (erlang.org, "Distribution Protocol").
        return bool(await _ask(plan.ports.epmd, b'\x00\x01n'))

    return server.Server(
        'epmd',
        ['epmd', '-address', plans.LOOPBACK, '-port', str(plan.ports.epmd)],
        _environment(plan),
        plan.log('epmd'),
        answers,
    )


_RABBITMQ_CONF = """\
default_user = sandbox
default_pass = {password}
listeners.tcp.1 = 127.0.0.1:{amqp}
distribution.listener.interface = 127.0.0.1
distribution.listener.port_range.min = {erlang}
distribution.listener.port_range.max = {erlang}
log.console = true
log.console.level = info
log.file = false
# Without alarms: a test may run on a machine with a full disk.
disk_free_limit.absolute = 1MB
vm_memory_high_watermark.relative = 0.8
"""


def _broker(plan: plans.Plan) -> server.Server:
    """Return a RabbitMQ node that shares nothing with other nodes here."""
    home = plan.file('broker')
    plans.write_private(
        home / 'rabbitmq.conf',
        _RABBITMQ_CONF.format(
            amqp=plan.ports.amqp,
            erlang=plan.ports.erlang,
            password=plan.passwords.broker,
        ),
    )
    plans.write_private(home / 'enabled_plugins', '[].\n')
    # This replaces /etc/rabbitmq/rabbitmq-env.conf.
    plans.write_private(home / 'env.conf', '')

    async def answers() -> bool:
        # The node starts its listener last.
        greeting = b'AMQP\x00\x00\x09\x01'
        return bool(await _ask(plan.ports.amqp, greeting))

    env = _environment(plan) | {
        'HOME': str(home),
        'ERL_EPMD_PORT': str(plan.ports.epmd),
        'ERL_EPMD_ADDRESS': plans.LOOPBACK,
        'RABBITMQ_NODENAME': f'sandbox-{plan.ports.amqp}@localhost',
        'RABBITMQ_CONF_ENV_FILE': str(home / 'env.conf'),
        'RABBITMQ_CONFIG_FILE': str(home / 'rabbitmq.conf'),
        'RABBITMQ_ADVANCED_CONFIG_FILE': str(home / 'advanced.config'),
        'RABBITMQ_ENABLED_PLUGINS_FILE': str(home / 'enabled_plugins'),
        'RABBITMQ_MNESIA_BASE': str(home / 'mnesia'),
        'RABBITMQ_LOG_BASE': str(home / 'log'),
        'RABBITMQ_LOGS': '-',
        'RABBITMQ_PID_FILE': str(home / 'pid'),
        'RABBITMQ_DIST_PORT': str(plan.ports.erlang),
        # With this the script becomes the Erlang VM. Otherwise it guards the
        # VM, and leaves it behind when it is killed. The script then omits
        # -noinput, so this adds it.
        'RABBITMQ_ALLOW_INPUT': '1',
        'RABBITMQ_SERVER_START_ARGS': '-noinput',
        # Two schedulers that do not spin: the node shares the processors
        # with a benchmark.
        'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': '+S 2:2 +sbwt none',
        # Neither the node nor a helper of its start starts a port mapper: it
        # would outlive the sandbox.
        'ERL_FLAGS': '-start_epmd false',
    }
    return server.Server(
        'broker',
        [str(rabbitmq.SERVER)],
        env,
        plan.log('broker'),
        answers,
        patience=8,
    )


async def _ask(port: int, question: bytes) -> bytes:
    """Return the first bytes that a server sends; nothing if it is down."""
    try:
        reader, writer = await asyncio.open_connection(plans.LOOPBACK, port)
    except OSError:
        return b''
    try:
        writer.write(question)
        return await asyncio.wait_for(reader.read(64), 5)
    except (OSError, TimeoutError):
        return b''
    finally:
        writer.close()
