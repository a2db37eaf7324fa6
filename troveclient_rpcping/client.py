# SPDX-License-Identifier: Apache-2.0

"""troveclient's Client, whose ``mgmt_instances`` can ping."""

from __future__ import annotations

from typing import Any
from typing import TYPE_CHECKING

from keystoneauth1 import exceptions as ksa_exceptions
from keystoneauth1 import session as ksa_session
from troveclient import extension
from troveclient.apiclient import exceptions as trove_exceptions
from troveclient.v1 import client as trove_client

from troveclient_rpcping import management

if TYPE_CHECKING:
    from openstack.config import cloud_region

_SERVICE = 'database'


class Client(trove_client.Client):  # type: ignore[misc]
    """A ``troveclient.v1.client.Client`` with ``mgmt_instances.rpc_ping``.

    All other parts of it are unchanged::

        from troveclient_rpcping import client

        trove = client.Client(session=session, region_name='RegionOne')
        trove.mgmt_instances.rpc_ping(instance_id)

    :param session: how to log in and connect.
    :param extensions: troveclient's extensions, for the other managers.
    :param kwargs: as for ``troveclient.v1.client.Client``: ``region_name``,
        ``endpoint_type``, ``service_type``, ``endpoint_override``, ``auth``,
        ...
    """

    mgmt_instances: management.Management

    def __init__(
        self,
        *,
        session: ksa_session.Session,
        extensions: list[extension.Extension] | None = None,
        **kwargs: Any,
    ):
        ping = extension.Extension('mgmt_instances', management)
        super().__init__(
            session=session,
            extensions=[*(extensions or []), ping],
            **kwargs,
        )


def connect(cloud: str | None = None, **settings: Any) -> Client:
    """Return a client of a cloud, chosen as ``openstack.connect`` does.

    openstacksdk reads clouds.yaml and the ``OS_*`` variables for it. The
    login happens here: troveclient looks for its endpoint at once.

    :param cloud: the name of the cloud in clouds.yaml. None: the cloud that
        ``OS_CLOUD`` names, or the ``OS_*`` variables describe.
    :param settings: settings of the cloud to replace: ``region_name``,
        ``interface``, ``auth``, ...
    :raises openstack.exceptions.ConfigException: there is no such cloud, or
        its settings are not enough for a login.
    :raises keystoneauth1.exceptions.ClientException: no login.
    """
    # Not at the top: importing the library must not import openstacksdk.
    from openstack import config as sdk_config

    region = sdk_config.get_cloud_region(cloud=cloud, **settings)
    return of_cloud(region, region.get_session())


def of_cloud(
    cloud: cloud_region.CloudRegion, session: ksa_session.Session
) -> Client:
    """Return a client with the settings that a cloud has for Trove.

    These are the settings of any service in clouds.yaml, as in
    ``database_endpoint_override``. The plugin of troveclient for
    ``openstack`` ignores them.

    :param cloud: a cloud of openstacksdk's configuration.
    :param session: a session that is logged in to it.
    :raises keystoneauth1.exceptions.CatalogException: there is no endpoint.
    """
    try:
        return Client(
            session=session,
            region_name=cloud.get_region_name(_SERVICE),
            endpoint_type=cloud.get_interface(_SERVICE),
            service_type=cloud.get_service_type(_SERVICE),
            service_name=cloud.get_service_name(_SERVICE),
            endpoint_override=cloud.get_endpoint(_SERVICE),
        )
    except trove_exceptions.EndpointNotFound as error:
        # troveclient's exception has no text.
        raise ksa_exceptions.CatalogException(
            'This login has no endpoint of the database service: set '
            'database_endpoint_override in clouds.yaml'
        ) from error
