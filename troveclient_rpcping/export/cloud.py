#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""The cloud that the options, the environment and clouds.yaml name."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import os
from typing import Any

from keystoneauth1 import loading
from openstack import connection
from openstack.config import cloud_region
from openstack.config import OpenStackConfig

from troveclient_rpcping import client
from troveclient_rpcping import version

# The options that are settings of the cloud, not of the login.
_SETTINGS = (
    'cloud',
    'region_name',
    'interface',
    'cacert',
    'cert',
    'key',
    'insecure',
    'auth_type',
)


class Cloud:
    """A cloud to log in to, as ``openstack`` would.

    Not by ``OpenStackConfig.register_argparse_arguments``: its defaults
    override ``interface`` and ``insecure`` in clouds.yaml, half of its options
    have no effect on a session, and its ``--timeout`` is ours.
    """

    def __init__(self) -> None:
        self._config = OpenStackConfig(
            app_name='check_trove_guest_rpc', app_version=version.VERSION
        )
        self._region: cloud_region.CloudRegion | None = None

    def add_options(
        self, parser: argparse.ArgumentParser, argv: Sequence[str]
    ) -> None:
        """Add the options that name the cloud, and those of its login.

        :param parser: where to add them.
        :param argv: the command line; the kind of login that it chooses
            tells what further options there are.
        :raises openstack.exceptions.ConfigException: no such cloud.
        :raises keystoneauth1.exceptions.NoMatchingPlugin: no such kind of
            login.
        """
        group = parser.add_argument_group('which cloud')
        group.add_argument(
            '--os-cloud',
            metavar='<name>',
            help='Cloud in clouds.yaml (environment: OS_CLOUD)',
        )
        for option, what in (
            ('--os-region-name', 'Region'),
            ('--os-interface', 'Interface: public, internal or admin'),
            ('--os-cacert', 'File of the CA certificates'),
            ('--os-cert', 'File of the client certificate'),
            ('--os-key', 'File of the key of the client certificate'),
        ):
            variable = option.removeprefix('--').replace('-', '_').upper()
            group.add_argument(
                option,
                metavar='<file>' if 'File' in what else '<name>',
                default=os.environ.get(variable),
                help=f'{what} (environment: {variable})',
            )
        group.add_argument(
            '--insecure',
            action='store_true',
            # Not False: that would override clouds.yaml.
            default=None,
            help='Do not verify the certificate of the server',
        )
        loading.register_auth_argparse_arguments(
            parser, list(argv), default=self._kind_of_login(argv)
        )

    def _kind_of_login(self, argv: Sequence[str]) -> str:
        peek = argparse.ArgumentParser(
            add_help=False, allow_abbrev=False, exit_on_error=False
        )
        peek.add_argument('--os-cloud', nargs='?')
        name = peek.parse_known_args(list(argv))[0].os_cloud
        region = self._config.get_one(name, validate=False)
        return str(region.config['auth_type'])

    def choose(self, options: argparse.Namespace) -> None:
        """Take the cloud that the options name.

        :raises openstack.exceptions.SDKException: there is none.
        :raises keystoneauth1.exceptions.ClientException: they do not suffice
            for a login.
        """
        given = {
            name.removeprefix('os_'): value
            for name, value in vars(options).items()
            if value is not None
            and (name.startswith('os_') or name == 'insecure')
        }
        settings = {
            name: given.pop(name) for name in _SETTINGS if name in given
        }
        # What is left is for the login. As settings these would not override
        # those in clouds.yaml.
        self._region = self._config.get_one(**settings, auth=given)

    @property
    def region(self) -> cloud_region.CloudRegion:
        """The cloud that was chosen."""
        if self._region is None:
            raise ValueError('no cloud was chosen yet')
        return self._region

    def client(self) -> client.Client:
        """Log in, and return a client of Trove.

        :raises keystoneauth1.exceptions.ClientException: no login.
        """
        return client.of_cloud(self.region, self.region.get_session())

    def project_id(self, project: str) -> str:
        """Return the ID of a project.

        :param project: its name or its ID.
        :raises openstack.exceptions.SDKException: there is none, or several
            have the name.
        """
        # Typed as if it could be one of v2.0, which no longer exists.
        identity: Any = connection.Connection(config=self.region).identity
        return str(identity.find_project(project, ignore_missing=False).id)
