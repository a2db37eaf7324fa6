# SPDX-License-Identifier: Apache-2.0

"""Sends many requests at once: libcurl, the rate limit, the login."""
