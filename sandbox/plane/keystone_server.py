# SPDX-License-Identifier: Apache-2.0

"""The real Keystone: its WSGI application, bootstrapped, on one port."""

# mypy: disable-error-code="import-not-found, import-untyped, misc"

import os
import socket
import sys
import threading
import traceback
from typing import Any

from keystone import server
from keystone.cmd import bootstrap
from keystone.common import provider_api
from keystone.server import wsgi
from werkzeug import serving

from sandbox import channel
from sandbox import fleet
from sandbox import plan as plans
from sandbox import tether

_PROVIDERS = provider_api.ProviderAPIs


class _KeepAlive(serving.WSGIRequestHandler):
    protocol_version = 'HTTP/1.1'
    # The server writes headers and body separately: Nagle's algorithm would
    # delay the body by 40 ms.
    disable_nagle_algorithm = True


class _Threaded(serving.ThreadedWSGIServer):
    request_queue_size = 1024
    daemon_threads = True


def _catalog(plan: plans.Plan) -> dict[str, tuple[str, str]]:
    """Return the name and the URL of each service, by its type."""
    cloud = plan.cloud_url
    return {
        'compute': ('nova', f'{cloud}/compute/v2.1'),
        'network': ('neutron', f'{cloud}/network'),
        # The "show" of Trove asks for the volume of an instance.
        'volumev3': ('cinder', f'{cloud}/volume/v3/%(project_id)s'),
        'database': ('trove', f'{plan.trove_root}/v1.0/%(project_id)s'),
    }


def _bootstrap(plan: plans.Plan) -> bootstrap.Bootstrapper:
    """Bootstrap Keystone as "keystone-manage bootstrap" does.

    See keystone/cmd/cli.py.
    """
    basis = bootstrap.Bootstrapper()
    basis.admin_username = basis.project_name = 'admin'
    basis.admin_role_name = 'admin'
    basis.admin_password = plan.passwords.admin
    basis.region_id = plans.REGION
    basis.service_name = 'keystone'
    basis.public_url = basis.internal_url = basis.admin_url = plan.auth_url
    basis.bootstrap()
    return basis


def _create_services(plan: plans.Plan) -> None:
    catalog = _PROVIDERS.catalog_api
    for type_, (name, url) in _catalog(plan).items():
        service = fleet.stable_id('service', type_)
        catalog.create_service(
            service,
            {'id': service, 'type': type_, 'name': name, 'enabled': True},
        )
        for interface in ('public', 'internal', 'admin'):
            endpoint = fleet.stable_id('endpoint', f'{type_}/{interface}')
            catalog.create_endpoint(
                endpoint,
                {
                    'id': endpoint,
                    'interface': interface,
                    'region_id': plans.REGION,
                    'service_id': service,
                    'url': url,
                    'enabled': True,
                },
            )


def _create_users(plan: plans.Plan, basis: bootstrap.Bootstrapper) -> None:
    domain = basis.default_domain_id
    for project in ('service', *fleet.PROJECTS):
        id_ = fleet.project_id(project)
        _PROVIDERS.resource_api.create_project(
            id_,
            {
                'id': id_,
                'name': project,
                'domain_id': domain,
                'enabled': True,
                'description': '',
            },
        )
    for name, password, project, roles in (
        ('trove', plan.passwords.trove, 'service', [basis.admin_role_id]),
        (
            'member',
            plan.passwords.member,
            'tenant-a',
            [basis.member_role_id, basis.reader_role_id],
        ),
    ):
        user: dict[str, Any] = _PROVIDERS.identity_api.create_user(
            {
                'name': name,
                'password': password,
                'domain_id': domain,
                'enabled': True,
            }
        )
        for role in roles:
            _PROVIDERS.assignment_api.add_role_to_user_and_project(
                user['id'], fleet.project_id(project), role
            )


def _seed(plan: plans.Plan) -> None:
    """Fill the database in a child process.

    The bootstrapper and the application both load and lock the backends of
    Keystone (keystone/server/backends.py), so one process cannot run both. A
    fork saves the second import.
    """
    parent = os.getpid()
    child = os.fork()
    if child:
        if os.waitpid(child, 0)[1]:
            sys.exit('the database could not be filled; the cause is above')
        return
    status = 1
    try:
        tether.die_with_parent(parent)
        server.configure(config_files=[str(plan.file('keystone.conf'))])
        _create_users(plan, _bootstrap(plan))
        _create_services(plan)
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(status)


def main(folder: str, orders: socket.socket) -> None:
    """Serve until the supervisor ends or kills this process."""
    plan = plans.Plan.load(folder)
    # Keystone reads the command line (keystone/server/__init__.py).
    sys.argv = ['keystone']
    os.environ['OS_KEYSTONE_CONFIG_FILES'] = str(plan.file('keystone.conf'))
    seeded = plan.file('keystone.seeded')
    if not seeded.exists():
        _seed(plan)
        seeded.touch()
    application = wsgi.initialize_public_application()
    http = _Threaded(
        plans.LOOPBACK, plan.ports.keystone, application, handler=_KeepAlive
    )
    threading.Thread(target=http.serve_forever, daemon=True).start()
    orders.sendall(channel.encode({}))
    orders.recv(1)


if __name__ == '__main__':
    main(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
