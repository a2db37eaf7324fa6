# SPDX-License-Identifier: Apache-2.0

"""What all command lines share: arguments, targets, login failures."""
