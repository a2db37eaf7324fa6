# SPDX-License-Identifier: Apache-2.0

"""Tests with the ``openstack`` command and the sandbox."""
