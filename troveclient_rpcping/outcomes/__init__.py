# SPDX-License-Identifier: Apache-2.0

"""The results of a sweep, guest by guest and in sums."""
