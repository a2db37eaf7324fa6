#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""A sweep in numbers."""

from __future__ import annotations

import collections
from collections.abc import Iterable
import dataclasses
import math

from troveclient_rpcping.verdict import PingResult
from troveclient_rpcping.verdict import Reason
from troveclient_rpcping.verdict import Verdict

#: The percentiles of the RTTs that are told, with what they are called.
PERCENTILES = (('p50', 50), ('p95', 95), ('max', 100))


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """How many guests have which verdict, for which reason, how fast.

    :param verdicts: guests by verdict.
    :param reasons: guests that are not reachable, by reason.
    :param rtts: the round-trip times of the reachable guests, in seconds,
        in ascending order.
    """

    verdicts: collections.Counter[Verdict]
    reasons: collections.Counter[Reason]
    rtts: tuple[float, ...]

    @classmethod
    def of(cls, results: Iterable[PingResult]) -> Summary:
        """Sum up results."""
        verdicts: collections.Counter[Verdict] = collections.Counter()
        reasons: collections.Counter[Reason] = collections.Counter()
        rtts = []
        for result in results:
            verdicts[result.verdict] += 1
            if result.reason and result.verdict is not Verdict.REACHABLE:
                reasons[result.reason] += 1
            if result.verdict is Verdict.REACHABLE and result.rtt is not None:
                rtts.append(result.rtt)
        return cls(verdicts, reasons, tuple(sorted(rtts)))

    @property
    def guests(self) -> int:
        """How many guests there are."""
        return self.verdicts.total()

    def percentile(self, percent: float) -> float:
        """Return a percentile of the RTTs, by the nearest-rank method.

        :param percent: more than 0, 100 at the most.
        :returns: seconds: the smallest RTT that at least *percent* of the
            reachable guests do not exceed.
        :raises ValueError: if no guest is reachable.
        """
        if not self.rtts:
            raise ValueError('no guest is reachable')
        return self.rtts[math.ceil(len(self.rtts) * percent / 100) - 1]
