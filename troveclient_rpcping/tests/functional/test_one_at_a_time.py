# SPDX-License-Identifier: Apache-2.0

"""The sweep, the monitor and the plugin on a cloud as most clouds are.

uWSGI and mod_wsgi run trove-api as workers that serve one request at a time.
"""

from troveclient_rpcping.tests.functional import base
from troveclient_rpcping.tests.functional import test_check
from troveclient_rpcping.tests.functional import test_monitor
from troveclient_rpcping.tests.functional import test_sweep


@base.needs_rabbitmq
class SweepTest(test_sweep.SweepTest):
    """The whole cloud in one sweep."""

    cloud = base.Cloud.WSGI_SMALL


@base.needs_rabbitmq
class MonitorTest(test_monitor.ChangeTest):
    """Changes of guests and of the control plane."""

    cloud = base.Cloud.WSGI_SMALL


@base.needs_rabbitmq
class PluginTest(test_check.CheckTest):
    """The options of the plugin, and a fault of the control plane."""

    cloud = base.Cloud.WSGI_SMALL
