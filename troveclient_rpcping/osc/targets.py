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

"""From names and IDs on the command line to instances."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses

from osc_lib import exceptions

from troveclient_rpcping import plaintext
from troveclient_rpcping.exceptions import ListingFailed
from troveclient_rpcping.fleet import inventory
from troveclient_rpcping.fleet.inventory import Instance
from troveclient_rpcping.verdict import Reason


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """One guest that was asked for.

    :param instance_id: the ID; None for a name that no instance bears.
    :param name: the name, as far as it is known.
    :param instance: its row in the listing, if there was a listing.
    """

    instance_id: str | None
    name: str | None = None
    instance: Instance | None = None


def resolve(
    arguments: Sequence[str],
    listing: Callable[[], list[Instance]],
    *,
    always_list: bool = False,
) -> list[Target]:
    """Find the instance of each argument, each instance once.

    All names together cost one listing, IDs none.

    :param arguments: names and IDs.
    :param listing: lists every instance.
    :param always_list: list even for IDs alone, for more about them.
    :returns: in the order of the arguments.
    :raises osc_lib.exceptions.CommandError: for names that several instances
        bear (it lists their IDs), or if there is no listing.
    """
    names = [text for text in arguments if not inventory.is_id(text)]
    instances = _list(listing) if names or always_list else []
    by_id = {instance.id: instance for instance in instances}
    by_name = inventory.by_name(instances, names)
    _refuse_ambiguous(by_name)
    targets: dict[str, Target] = {}
    for text in arguments:
        if inventory.is_id(text):
            # Trove knows its IDs in lower case.
            instance = by_id.get(text.lower())
            target = _target(instance) if instance else Target(text.lower())
        elif by_name[text]:
            target = _target(by_name[text][0])
        else:
            target = Target(None, text)
        targets.setdefault(target.instance_id or f'name {text}', target)
    return list(targets.values())


def _list(listing: Callable[[], list[Instance]]) -> list[Instance]:
    try:
        return listing()
    except ListingFailed as error:
        hint = (
            'Only an administrator may ping; check the credentials in use.'
            if error.reason is Reason.DENIED
            else 'Instances that are given by their IDs need no listing.'
        )
        raise exceptions.CommandError(
            f'{str(error).rstrip(".")}. {hint}'
        ) from error


def _target(instance: Instance) -> Target:
    return Target(instance.id, instance.name, instance)


def _refuse_ambiguous(by_name: dict[str, list[Instance]]) -> None:
    complaints = []
    for name, instances in by_name.items():
        if len(instances) > 1:
            ids = ', '.join(
                plaintext.one_line(instance.id) for instance in instances
            )
            complaints.append(
                f'{len(instances)} instances are named '
                f'"{plaintext.one_line(name)}": {ids}.'
            )
    if complaints:
        raise exceptions.CommandError(
            f'{" ".join(complaints)} Ask for one of them by its ID.'
        )
