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

The library nagiosplugin has them too. It is not used: of the rest of it, its
frame lets argparse, signals and a closed output end with a status of their
own, ranks UNKNOWN above CRITICAL, forgets at a timeout what is known, and
keeps no control character out of its output.
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
    """A threshold: for which values to raise an alert.

    :param text: as the user gave it.
    :param start: the least value of the range.
    :param end: its greatest value.
    :param inside: whether values inside it raise the alert; otherwise those
        outside do.
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
            f'"{text}" is no range: give one as in 5, 5:, ~:5, 5:10 or @5:10'
        )
    start = -math.inf if match['start'] == '~' else float(match['start'] or 0)
    end = float(match['end'] or math.inf)
    if start > end:
        raise argparse.ArgumentTypeError(
            f'"{text}" is no range: it ends before it starts'
        )
    return Range(text, start, end, bool(match['inside']))


@dataclasses.dataclass(frozen=True, slots=True)
class Thresholds:
    """What makes of guests a state.

    :param warning: for how many bad guests to warn; None for none.
    :param critical: how many bad guests are critical.
    :param unknown: how many unknown guests make the state unknown.
    """

    warning: Range | None
    critical: Range
    unknown: int

    @property
    def mistake(self) -> str:
        """What is wrong with them together; empty for nothing.

        The check is made all the same, and the line says so.
        """
        warning = self.warning
        if warning is None:
            return ''
        # Between its ends a range is all the same: these numbers will do.
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
