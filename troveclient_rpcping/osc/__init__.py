# SPDX-License-Identifier: Apache-2.0

"""The commands of the ``openstack`` client.

In this package, *app* is the ``openstack`` shell, *arguments* are the parsed
command line, and *clock* returns the time in seconds.
"""
