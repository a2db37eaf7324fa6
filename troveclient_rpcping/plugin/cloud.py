# SPDX-License-Identifier: Apache-2.0

"""The choice of a cloud, from options, the environment and clouds.yaml."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from collections.abc import Sequence
import os
import re
from typing import Any

from keystoneauth1 import loading
from openstack import config as sdk_config
from openstack import connection
from openstack import exceptions as sdk_exceptions
from openstack.config import loader

from troveclient_rpcping import client
from troveclient_rpcping import version
from troveclient_rpcping.cli import login_failure

# The settings of a cloud that an option and a variable give.
_OPTIONS = {
    'cloud': 'Cloud in clouds.yaml',
    'region_name': 'Region',
    'interface': 'Interface: public, internal or admin',
    'cacert': 'File of the CA certificates',
    'cert': 'File of the client certificate',
    'key': 'File of the key of the client certificate',
}
_SETTINGS = (*_OPTIONS, 'insecure', 'auth_type')


def _files(kind: str) -> list[str]:
    """Return the files of a kind that openstacksdk looks for, in its order."""
    named = os.environ.get(f'OS_CLIENT_{kind}_FILE')
    files: list[str] = getattr(loader, f'{kind}_FILES')
    return [named, *files] if named else files


def _forget_empty_variables() -> None:
    """Remove empty variables: a script without a value leaves them behind.

    openstacksdk and keystoneauth read an empty variable in different ways.
    """
    for name, value in list(os.environ.items()):
        if name.startswith('OS_') and not value:
            del os.environ[name]


def without_empty(argv: Sequence[str]) -> list[str]:
    """Return a command line without the options of a cloud that are empty."""
    kept: list[str] = []
    for text in argv:
        if not text and kept and re.fullmatch(r'--os-[\w-]+', kept[-1]):
            kept.pop()
        elif not re.fullmatch(r'--os-[\w-]+=', text):
            kept.append(text)
    return kept


class Cloud:
    """A cloud to log in to, chosen as ``openstack`` chooses it.

    This class adds the options itself. Those of
    ``OpenStackConfig.register_argparse_arguments`` override ``interface`` and
    ``insecure`` in clouds.yaml, many of them have no effect on a session, and
    ``--timeout`` has another meaning here.

    :param argv: the command line. It chooses the cloud, and the kind of login,
        which has options of its own.
    :raises openstack.exceptions.ConfigException: there is no such cloud, or
        its file has another form.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        _forget_empty_variables()
        self._argv = list(argv)
        peek = argparse.ArgumentParser(
            add_help=False, allow_abbrev=False, exit_on_error=False
        )
        peek.add_argument('--os-cloud', nargs='?')
        name = peek.parse_known_args(self._argv)[0].os_cloud
        name = name or os.environ.get('OS_CLOUD')
        try:
            self._config = sdk_config.OpenStackConfig(
                app_name='check_trove_guest_rpc', app_version=version.VERSION
            )
            # If there is no cloud at all, openstacksdk ignores OS_CLOUD.
            if name and name not in self._config.get_cloud_names():
                raise sdk_exceptions.ConfigException(self._not_found(name))
            #: The cloud; complete after :meth:`choose`.
            self.region = self._config.get_one(name, validate=False)
        except (AttributeError, TypeError, ValueError) as error:
            # openstacksdk does not check the form of the file.
            file = next(filter(os.path.exists, _files('CONFIG')), 'the file')
            raise sdk_exceptions.ConfigException(
                f'{file} is not as clouds.yaml should be: look for a key '
                'without a value, and for a wrong indentation'
            ) from error

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add the options that name the cloud, and those of its login.

        :raises keystoneauth1.exceptions.NoMatchingPlugin: there is no such
            kind of login.
        """
        group = parser.add_argument_group('which cloud')
        for name, what in _OPTIONS.items():
            variable = f'OS_{name.upper()}'
            group.add_argument(
                f'--os-{name.replace("_", "-")}',
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
            parser, self._argv, default=self.region.config['auth_type']
        )

    def choose(self, options: argparse.Namespace) -> None:
        """Choose the cloud that the options name.

        :raises openstack.exceptions.SDKException: there is no such cloud.
        :raises keystoneauth1.exceptions.ClientException: the options do not
            suffice for a login.
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
        # The other options are for the login. As settings of the cloud they
        # would not override the login in clouds.yaml.
        for validate in (False, True):
            self.region = self._config.get_one(
                **settings, auth=given, validate=validate
            )

    def client(self) -> client.Client:
        """Log in, and return a client of Trove.

        :raises openstack.exceptions.ConfigException: credentials are missing.
        :raises keystoneauth1.exceptions.ClientException: no login.
        """
        lacking = login_failure.missing(*self._login())
        if lacking is not None:
            raise sdk_exceptions.ConfigException(
                self._with_files(lacking.text)
            )
        return client.of_cloud(self.region, self.region.get_session())

    def project_id(self, project: str) -> str:
        """Return the ID of a project, by its name or its ID.

        :raises openstack.exceptions.SDKException: no project, or more than
            one, has this name.
        """
        # Its type includes v2.0, which no longer exists.
        identity: Any = connection.Connection(config=self.region).identity
        return str(identity.find_project(project, ignore_missing=False).id)

    def explained(self, error: BaseException) -> str | None:
        """Return why a login failed, and what to do; None if unknown."""
        failure = login_failure.explained(error, *self._login())
        if failure is None:
            return None
        text = failure.text
        return self._with_files(text) if failure.mistake else text

    def _login(self) -> tuple[str, dict[str, Any]]:
        """Return the kind of the login, and its settings."""
        config = self.region.config
        return str(config.get('auth_type')), dict(config.get('auth') or {})

    def _not_found(self, name: str) -> str:
        """Say that a cloud was not found, and in which files."""
        said = list(self._unread())
        if self._config.config_filename:
            names = ', '.join(
                str(each)
                for each in self._config.get_cloud_names()
                if each != self._config.envvar_key
            )
            said.append(
                f'{self._config.config_filename} has {names or "none"}'
            )
        if not said:
            folders = dict.fromkeys(map(os.path.dirname, _files('CONFIG')))
            said.append(f'there is no clouds.yaml in {", ".join(folders)}')
        # Each folder is named once.
        files = '; '.join(dict.fromkeys(said))
        return f'Cloud {name} was not found: {files}'

    def _with_files(self, said: str) -> str:
        """Add the files that may have the missing settings."""
        return '; '.join(dict.fromkeys([said.rstrip('.'), *self._unread()]))

    def _unread(self) -> Iterator[str]:
        """Return which files openstacksdk passed over, and why."""
        named = os.environ.get('OS_CLIENT_CONFIG_FILE')
        for kind in ('CONFIG', 'SECURE'):
            files = _files(kind)
            # openstacksdk reads only the first file that it can read. Its old
            # versions do not name the secure one.
            read = sdk_config.OpenStackConfig(
                config_files=files, secure_files=[], load_envvars=False
            ).config_filename
            for file in files[: files.index(read) if read in files else None]:
                try:
                    with open(file, 'rb'):
                        yield f'{file} is not YAML'
                except FileNotFoundError:
                    if file == named:
                        yield f'there is no file {file}'
                except OSError as error:
                    if os.path.exists(file):
                        yield f'cannot read {file} ({error.strerror})'
                    else:
                        yield f'cannot search {os.path.dirname(file)}'
