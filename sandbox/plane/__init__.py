# SPDX-License-Identifier: Apache-2.0

"""The servers that run in the virtual environment of the control plane.

``sandbox.cloud`` needs no package, so it runs outside.
"""
