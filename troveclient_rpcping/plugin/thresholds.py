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

"""When to raise an alert: the states and thresholds of a monitoring plugin.

The library nagiosplugin has them too, but its frame does not fit: argparse,
signals and a closed output end it with statuses of their own. It ranks UNKNOWN
above CRITICAL, loses the results at a timeout, and prints control characters.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import math
import re


class State(enum.IntEnum):
    """The state of the service; the exit status of the plugin."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """A threshold: the values that raise an alert.

    :param text: as the user gave it.
    :param start: the least value of the range.
    :param end: its greatest value.
    :param inside: whether values inside the range raise the alert, rather
        than those outside.
    """

    text: str
    start: float
    end: float
    inside: bool

    def alerts(self, value: float) -> bool:
        """Whether a value raises the alert."""
        return (self.start <= value <= self.end) is self.inside


_RANGE = re.compile(
    r'(?P<inside>@?)(?:(?P<start>~|-?[0-9]+(?:\.[0-9]+)?)?(?P<colon>:))?'
    r'(?P<end>-?[0-9]+(?:\.[0-9]+)?)?'
)


def parse(text: str) -> Range:
    """Parse a range: ``[@][start:][end]``.

    :raises argparse.ArgumentTypeError: with what to do instead.
    """
    match = _RANGE.fullmatch(text)
    if match is None or not (match['start'] or match['end']):
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a range: give one as in 5, 5:, ~:5, 5:10, @5:10'
        )
    start = -math.inf if match['start'] == '~' else float(match['start'] or 0)
    end = float(match['end'] or math.inf)
    if start > end:
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a range: it ends before it starts'
        )
    return Range(text, start, end, bool(match['inside']))


@dataclasses.dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of the states.

    :param warning: the numbers of bad guests for WARNING; None for none.
    :param critical: the numbers of bad guests for CRITICAL.
    :param unknown: the least number of unknown guests for UNKNOWN.
    """

    warning: Range | None
    critical: Range
    unknown: int

    @property
    def mistake(self) -> str:
        """A warning that can never show, as a sentence; empty for none.

        The check is made all the same, and its line has the sentence.
        """
        warning = self.warning
        if warning is None:
            return ''
        # Between its ends a range does not change: these numbers suffice.
        ends = {
            int(end)
            for each in (warning, self.critical)
            for end in (each.start, each.end)
            if math.isfinite(end)
        }
        numbers = {end + step for end in (0, *ends) for step in (-1, 0, 1)}
        warned = {
            each for each in numbers if each >= 0 and warning.alerts(each)
        }
        if not warned or not all(map(self.critical.alerts, warned)):
            return ''
        return (
            f'-w {warning.text} never shows, since -c {self.critical.text} '
            'comes first'
        )
