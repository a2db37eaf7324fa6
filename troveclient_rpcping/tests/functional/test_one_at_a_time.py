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
