# SPDX-License-Identifier: Apache-2.0

"""Make an empty, migrated database for Keystone or for Trove.

``schema.py keystone|trove FILE``. Run once, by the installation: the
migrations take longer than the rest of a start.
"""

# mypy: disable-error-code="import-not-found, import-untyped"

import sys


def _keystone(connection: str) -> None:
    from keystone.common import sql
    from keystone.common.sql import upgrades
    import keystone.conf

    keystone.conf.configure()
    sql.initialize()
    keystone.conf.CONF([], project='keystone', default_config_files=[])
    keystone.conf.CONF.set_override('connection', connection, 'database')
    upgrades.offline_sync_database_to_version()


def _trove(connection: str) -> None:
    from trove.common import cfg
    from trove.db.sqlalchemy import api

    cfg.CONF([], project='trove', default_config_files=[])
    cfg.CONF.set_override('connection', connection, 'database')
    # Not "trove-manage db_sync": it asks Nova when it is done
    # (trove/cmd/manage.py, run_upgrade_tasks), and there is none yet.
    api.db_sync(cfg.CONF)


if __name__ == '__main__':
    make = {'keystone': _keystone, 'trove': _trove}[sys.argv[1]]
    make(f'sqlite:///{sys.argv[2]}')
