# SPDX-License-Identifier: Apache-2.0

"""``check_trove_guest_rpc``: the plugin for monitoring systems."""
