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

"""Which guests a command is about."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from openstackclient.identity import common

from troveclient_rpcping.cli import targets
from troveclient_rpcping.cli.targets import Target
from troveclient_rpcping.inventory import Instance


def lasting(app: Any, arguments: argparse.Namespace) -> argparse.Namespace:
    """Read at once what cannot be read again each time guests are looked up.

    :param app: the ``openstack`` shell.
    :param arguments: the parsed command line.
    :returns: it, with the names that a pipe or standard input had.
    :raises TargetError: if they cannot be read.
    """
    file = arguments.from_file
    if file is None or targets.can_be_read_again(file):
        return arguments
    named = [*arguments.instances, *targets.read(file, app.stdin)]
    return argparse.Namespace(
        **{**vars(arguments), 'instances': named, 'from_file': None}
    )


def targets_of(
    app: Any,
    arguments: argparse.Namespace,
    listing: Callable[[], list[Instance]],
    *,
    always_list: bool,
    known: targets.Names | None = None,
) -> list[Target]:
    """Find the guests that a command line asks for.

    :param app: the ``openstack`` shell.
    :param arguments: the parsed command line.
    :param listing: see :func:`targets.chosen`, as for the rest.
    :param always_list: list even for IDs alone, for more about them.
    :param known: what names stood for in earlier lookups, if there were any.
    """

    def project_id(project: str) -> str:
        found = common.find_project(app.client_manager.identity, project)
        return str(found.id)

    return targets.chosen(
        arguments,
        listing,
        stdin=app.stdin,
        project_id=project_id,
        always_list=always_list,
        known=known,
    )
