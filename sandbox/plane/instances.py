# SPDX-License-Identifier: Apache-2.0

"""The instances in Trove's database: rows, keys and heartbeats."""

# mypy: disable-error-code="import-not-found, import-untyped, misc"

import collections
from collections.abc import Iterable
import datetime
from typing import Any

from oslo_utils import timeutils
from trove.cluster import models as cluster_models
from trove.common import cfg
from trove.common import crypto_utils
from trove.datastore import models as datastore_models
from trove.db.sqlalchemy import session
from trove.instance import models
from trove.instance import service_status
from trove.instance import tasks

from sandbox import fleet
from sandbox import plan as plans

_DATASTORES = {'mysql': '8.0', 'postgresql': '16'}
_STALE = datetime.timedelta(hours=1)
_CLUSTER = fleet.stable_id('cluster', 'cluster')


def create(guests: Iterable[fleet.Guest]) -> None:
    """Fill the empty database."""
    guests = list(guests)
    with session.get_engine().begin() as connection:
        for model, rows in (
            (datastore_models.DBDatastore, _datastores()),
            (datastore_models.DBDatastoreVersion, _versions()),
            (cluster_models.DBCluster, [_cluster()]),
            (models.DBInstance, [_instance(guest) for guest in guests]),
            (
                models.InstanceServiceStatus,
                [_status(guest) for guest in guests],
            ),
        ):
            connection.execute(model.__table__.insert(), rows)


def _datastores() -> list[dict[str, Any]]:
    return [
        {
            'id': fleet.stable_id('datastore', name),
            'name': name,
            'default_version_id': fleet.stable_id('version', name),
        }
        for name in _DATASTORES
    ]


def _versions() -> list[dict[str, Any]]:
    return [
        {
            'id': fleet.stable_id('version', name),
            'datastore_id': fleet.stable_id('datastore', name),
            'name': version,
            'version': version,
            'manager': name,
            'packages': '',
            'active': True,
            'registry_ext': '',
            'repl_strategy': '',
        }
        for name, version in _DATASTORES.items()
    ]


def _cluster() -> dict[str, Any]:
    return {
        'id': _CLUSTER,
        'created': timeutils.utcnow(),
        'updated': timeutils.utcnow(),
        'name': 'cluster',
        'task_id': 1,
        'tenant_id': fleet.project_id('tenant-a'),
        'datastore_version_id': fleet.stable_id('version', 'postgresql'),
        'deleted': False,
    }


def _instance(guest: fleet.Guest) -> dict[str, Any]:
    now = timeutils.utcnow()
    # DBInstance.__init__ does the same (trove/instance/models.py).
    key = crypto_utils.encrypt_data(
        crypto_utils.generate_random_key(), cfg.CONF.inst_rpc_key_encr_key
    )
    return {
        'id': guest.id,
        'created': now,
        'updated': now,
        'name': guest.name,
        'compute_instance_id': guest.server_id,
        'task_id': tasks.InstanceTasks.NONE.code,
        'task_description': tasks.InstanceTasks.NONE.db_text,
        'flavor_id': '1',
        'volume_size': 10,
        'tenant_id': fleet.project_id(guest.project),
        'server_status': 'ACTIVE',
        'deleted': guest.deleted,
        'deleted_at': now if guest.deleted else None,
        'datastore_version_id': fleet.stable_id('version', guest.datastore),
        'cluster_id': _CLUSTER if guest.clustered else None,
        'type': 'member' if guest.clustered else None,
        'region_id': plans.REGION,
        'encrypted_key': crypto_utils.encode_data(key),
        'access': '{}',
    }


def _status(guest: fleet.Guest) -> dict[str, Any]:
    healthy = service_status.ServiceStatuses.HEALTHY
    return {
        'id': fleet.stable_id('status', guest.id),
        'instance_id': guest.id,
        'status_id': healthy.code,
        'status_description': healthy.description,
        'updated_at': _last_heartbeat(guest.heartbeat),
    }


def _last_heartbeat(heartbeat: fleet.Heartbeat | float) -> datetime.datetime:
    now: datetime.datetime = timeutils.utcnow()
    match heartbeat:
        case fleet.Heartbeat.FRESH:
            return now
        case fleet.Heartbeat.STALE:
            return now - _STALE
        case age:
            return now - datetime.timedelta(seconds=age)


def _task(guest: fleet.Guest) -> tasks.InstanceTask:
    """Return the task for a status (trove/instance/models.py, status)."""
    names = {
        fleet.Status.ACTIVE: 'NONE',
        fleet.Status.BUILD: 'BUILDING',
        fleet.Status.REBOOT: 'REBOOTING',
        fleet.Status.RESIZE: 'RESIZING',
        fleet.Status.UPGRADE: 'UPGRADING',
        fleet.Status.PROMOTE: 'PROMOTING',
        fleet.Status.EJECT: 'EJECTING',
        fleet.Status.RESTART_REQUIRED: 'RESTART_REQUIRED',
        fleet.Status.SHUTDOWN: 'DELETING',
    }
    task: tasks.InstanceTask = getattr(
        tasks.InstanceTasks, names[guest.status]
    )
    return task


def keys() -> dict[str, str]:
    """Return the key of each instance, for the messages to its agent."""
    with models.DBInstance.query() as query:
        return {
            row.id: row.key.decode() if isinstance(row.key, bytes) else row.key
            for row in query.all()
        }


def beat(guests: Iterable[fleet.Guest]) -> None:
    """Set the time of the guests' last heartbeats."""
    table = models.InstanceServiceStatus.__table__
    ids = collections.defaultdict(list)
    for guest in guests:
        ids[guest.heartbeat].append(fleet.stable_id('status', guest.id))
    with session.get_engine().begin() as connection:
        for heartbeat, those in ids.items():
            connection.execute(
                table.update()
                .where(table.c.id.in_(those))
                .values(updated_at=_last_heartbeat(heartbeat))
            )


def update(guests: Iterable[fleet.Guest]) -> None:
    """Set the tasks and the heartbeats that Trove has for guests."""
    table = models.DBInstance.__table__
    with session.get_engine().begin() as connection:
        for guest in guests:
            task = _task(guest)
            connection.execute(
                table.update()
                .where(table.c.id == guest.id)
                .values(task_id=task.code, task_description=task.db_text)
            )
    beat(guests)
