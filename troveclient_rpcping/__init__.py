# SPDX-License-Identifier: Apache-2.0

"""Ask OpenStack Trove whether it can reach the agent in a guest.

Python users start at :mod:`troveclient_rpcping.client`.
"""
