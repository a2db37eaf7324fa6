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

"""The columns and rows of the ping commands."""

from __future__ import annotations

from typing import Any
from typing import TYPE_CHECKING

from cliff import columns

from troveclient_rpcping import durations
from troveclient_rpcping import plaintext
from troveclient_rpcping.fleet.series import Series
from troveclient_rpcping.osc import report
from troveclient_rpcping.targets import Target
from troveclient_rpcping.verdict import PingResult

COLUMNS = ('ID', 'Name', 'Verdict', 'RTT', 'Detail')
LONG_COLUMNS = (
    *COLUMNS,
    'Reason',
    'Project ID',
    'Datastore',
    'Status',
    'Last Heartbeat',
    'Sent',
    'Received',
    'RTT Min',
    'RTT Avg',
    'RTT Max',
    'Request ID',
)


if TYPE_CHECKING:
    _Column = columns.FormattableColumn[float | None]
else:
    # That of cliff 4.6 takes no type.
    _Column = columns.FormattableColumn


class Seconds(_Column):
    """A duration: ``31 ms`` for people, a number for machines."""

    def human_readable(self) -> str:
        """Return the duration in a unit that suits it; empty for none."""
        return '' if self._value is None else durations.human(self._value)

    def machine_readable(self) -> Any:
        """Return the seconds; an empty text for none.

        Only the value formatter asks: it would print a None.
        """
        return '' if self._value is None else self._value

    def __lt__(self, other: object) -> bool:
        # cliff cannot sort a None inside a column: none comes last.
        if not isinstance(other, Seconds):
            return NotImplemented
        return self._order() < other._order()

    def _order(self) -> tuple[bool, float]:
        return self._value is None, self._value or 0.0


def row(
    target: Target,
    result: PingResult,
    series: Series,
    *,
    formatter: str,
    long: bool,
) -> tuple[Any, ...]:
    """Return the row of one guest.

    :param target: what was asked for.
    :param result: what came of it.
    :param series: the pings that it came of.
    :param formatter: the name of cliff's formatter that will print the row.
    :param long: with the columns of ``--long``.
    """

    def duration(seconds: float | None) -> Any:
        number = None if seconds is None else round(seconds, 6)
        return Seconds(number) if formatter in ('table', 'value') else number

    short = (
        plaintext.one_line(target.instance_id or ''),
        plaintext.one_line(target.name or ''),
        str(result.verdict),
        duration(result.rtt),
        report.detail(result, series),
    )
    if not long:
        return short
    instance = target.instance
    listed = (
        (
            instance.project_id,
            instance.datastore,
            instance.status,
            instance.last_heartbeat,
        )
        if instance
        else (None,) * 4
    )
    texts = (plaintext.one_line(text or '') for text in listed)
    return (
        *short,
        str(result.reason or ''),
        *texts,
        series.sent,
        series.received,
        duration(series.shortest),
        duration(series.average),
        duration(series.longest),
        plaintext.one_line(result.request_id or ''),
    )
