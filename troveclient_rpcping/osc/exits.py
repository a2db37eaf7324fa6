# SPDX-License-Identifier: Apache-2.0

"""The exit statuses: a contract with runbooks."""

from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.outcomes import outcome as outcomes

#: Every guest is reachable: go on.
ALL_REACHABLE = 0
#: No guest is known to be bad, but at least one is ``unknown``, or the
#: command itself failed: look at the control plane, and touch no guest.
UNKNOWN = 1
#: Wrong usage.
USAGE = 2
#: At least one guest is ``unreachable`` or ``error``: repair those guests.
BAD_GUESTS = 3
#: Interrupted by Ctrl-C.
INTERRUPTED = 130
#: Ended by SIGTERM.
TERMINATED = 143


def of(summary: outcomes.Summary) -> int:
    """Return the exit status for the outcomes of a sweep.

    A sweep without guests is a success: the list of failed guests is empty if
    all guests are reachable.
    """
    if summary.bad:
        return BAD_GUESTS
    if summary.by_verdict[verdicts.Verdict.REACHABLE] == summary.guests:
        return ALL_REACHABLE
    return UNKNOWN
