# SPDX-License-Identifier: Apache-2.0

"""The decisions of a sweep: the next ping, and the proof of a death."""
