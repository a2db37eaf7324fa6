# SPDX-License-Identifier: Apache-2.0

"""Tests."""

import signal

# A shell without job control starts background processes with SIGINT and
# SIGQUIT ignored, and nohup does so with SIGHUP. Children inherit that. The
# tests send all three signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
