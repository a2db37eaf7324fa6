# SPDX-License-Identifier: Apache-2.0

"""The configuration files of the servers, and the user's clouds.yaml."""

import base64
import os
import shutil
from typing import Any

from sandbox import plan as plans

_KEYSTONE = """\
[DEFAULT]
log_file =
use_stderr = true
[database]
connection = sqlite:///{folder}/keystone.sqlite
[token]
expiration = {options.token_lifetime}
[identity]
# The minimum of bcrypt: the passwords are random, and live for minutes.
password_hash_rounds = 4
[fernet_tokens]
key_repository = {folder}/fernet-keys
[fernet_receipts]
key_repository = {folder}/fernet-keys
[credential]
key_repository = {folder}/credential-keys
"""

_SERVICE = """\
auth_url = {auth_url}
region_name = {region}
username = trove
password = {passwords.trove}
project_name = service
user_domain_name = Default
project_domain_name = Default
"""

_TROVE = """\
[DEFAULT]
bind_host = 127.0.0.1
bind_port = {ports.trove}
api_paste_config = {folder}/api-paste.ini
trove_api_workers = {options.workers}
transport_url = {transport_url}
control_exchange = trove
agent_call_low_timeout = {options.agent_timeout}
http_get_rate = {options.rate_limit}
inst_rpc_key_encr_key = {passwords.guest_keys}
region = {region}
[database]
connection = sqlite:///{folder}/trove.sqlite
[service_credentials]
{service}[keystone_authtoken]
auth_type = password
www_authenticate_uri = {auth_url}
{service}[oslo_messaging_rabbit]
# Seconds between two attempts to reach a broker that is down. With the
# default of 30, tests would wait.
rabbit_interval_max = 2
"""

# The guests read this after trove.conf.
_GUESTS = """\
[DEFAULT]
transport_url = {guests_transport_url}
"""

_CLOUD = """\
  {name}:
    region_name: {region}
    identity_api_version: 3
    auth_type: password
    auth:
      auth_url: {auth_url}
      username: {username}
      password: "{password}"
      project_name: {project}
      user_domain_name: Default
      project_domain_name: Default
"""


def write(plan: plans.Plan) -> None:
    """Write every file that a server reads before it answers."""
    values: dict[str, Any] = {
        'folder': plan.folder,
        'options': plan.options,
        'ports': plan.ports,
        'passwords': plan.passwords,
        'auth_url': plan.auth_url,
        'region': plans.REGION,
        'transport_url': plan.transport_url,
        'guests_transport_url': plan.guests_transport_url,
    }
    values['service'] = _SERVICE.format(**values)
    plan.save()
    plans.write_private(plan.file('keystone.conf'), _KEYSTONE.format(**values))
    plans.write_private(plan.file('trove.conf'), _TROVE.format(**values))
    plans.write_private(plan.file('guests.conf'), _GUESTS.format(**values))
    plans.write_private(plan.file('clouds.yaml'), _clouds_yaml(plan))
    # The pipeline that the trove package ships.
    shutil.copy(
        plan.venv / 'etc' / 'trove' / 'api-paste.ini',
        plan.file('api-paste.ini'),
    )
    # The empty, migrated databases that the installation made.
    for name in ('keystone.sqlite', 'trove.sqlite'):
        shutil.copyfile(plan.venv / 'databases' / name, plan.file(name))
        plan.file(name).chmod(0o600)
    # The two keys that "keystone-manage fernet_setup" makes: 0 is the next
    # one, the highest is in use (keystone/common/fernet_utils.py).
    for repository in ('fernet-keys', 'credential-keys'):
        for number in ('0', '1'):
            key = base64.urlsafe_b64encode(os.urandom(32)).decode()
            plans.write_private(plan.file(repository, number), key)


def _clouds_yaml(plan: plans.Plan) -> str:
    """Return a clouds.yaml for an administrator and for a member."""
    clouds = ''.join(
        _CLOUD.format(
            name=name,
            region=plans.REGION,
            auth_url=plan.auth_url,
            username=username,
            password=password,
            project=project,
        )
        for name, username, password, project in (
            ('sandbox', 'admin', plan.passwords.admin, 'admin'),
            ('sandbox-member', 'member', plan.passwords.member, 'tenant-a'),
        )
    )
    return f'clouds:\n{clouds}'
