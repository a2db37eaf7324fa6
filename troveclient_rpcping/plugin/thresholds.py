# SPDX-License-Identifier: Apache-2.0

"""The states of a monitoring plugin, and the thresholds that lead to them.

The library nagiosplugin has thresholds too. This package does not use it,
because a plugin on top of it may end with a wrong status:

- a wrong option, a signal or a closed output each lead to another status;
- it ranks UNKNOWN above CRITICAL;
- after a timeout it drops the results so far;
- its output may contain control characters.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import contextlib
import dataclasses
import decimal
import enum
import re

from troveclient_rpcping import durations
from troveclient_rpcping import limits


class State(enum.IntEnum):
    """The state of the service; the exit status of the plugin."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_INFINITY = decimal.Decimal('inf')

# A difference between two percentages, or two durations, that nobody sees.
_FINE = decimal.Decimal('1e-6')


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """A threshold: the values that raise an alert.

    :param text: the range as the user gave it.
    :param start: the least value of the range.
    :param end: its greatest value.
    :param inside: whether values inside the range raise the alert. Otherwise
        values outside do.
    :param percent: whether the values are percentages of the guests of the
        check.
    """

    text: str
    start: decimal.Decimal
    end: decimal.Decimal
    inside: bool = False
    percent: bool = False

    def alerts(self, value: float | decimal.Decimal) -> bool:
        """Whether a value raises the alert."""
        return (self.start <= value <= self.end) is self.inside

    def of(self, guests: int) -> Range:
        """Return the range in numbers of guests: 100 % are all guests."""
        if not self.percent:
            return self
        # Decimals are exact here: 0.1 % of 3,000 guests are 3 guests.
        return dataclasses.replace(
            self,
            start=self.start * guests / 100,
            end=self.end * guests / 100,
            percent=False,
        )

    def __str__(self) -> str:
        """Return the range for the performance data: without a unit."""
        if self is NEVER:
            return ''
        least, most = self.start.normalize(), self.end.normalize()
        start = '~' if least.is_infinite() else f'{least:f}'
        end = '' if most.is_infinite() else f'{most:f}'
        shown = end if start == '0' and end else f'{start}:{end}'
        return f'@{shown}' if self.inside else shown


#: The threshold that raises no alert, because the user set none.
NEVER = Range('', -_INFINITY, _INFINITY)

_RANGE = re.compile(r'(?P<inside>@?)(?:(?P<start>[^:]*):)?(?P<end>[^:]*)')
_NUMBER = re.compile(r'-?[0-9]{1,20}(\.[0-9]{1,20})?')
_PERCENTAGE = re.compile(r'([0-9]{1,3}(?:\.[0-9]{1,20})?)%')
_WHOLE = re.compile(r'[0-9]{1,20}')


def parse(text: str) -> Range:
    """Parse a range of numbers of guests, or of percentages.

    The form is ``[@][start:]end``. If one number has a ``%`` behind it, each
    must have one.

    :raises argparse.ArgumentTypeError: with what to do instead.
    """
    number = _percentage if '%' in text else _number
    return _range(text, number, '5, 5:, ~:5, 5:10, @5:10, 20% or 5%:20%')


def parse_rtt(text: str) -> Range:
    """Parse a range of durations, in the same form; its ends are seconds."""
    return _range(text, _seconds, '2, 500ms, 1s:, ~:2s or @1s:5s')


def parse_tolerance(text: str) -> Range:
    """Parse the least number or percentage of guests that raises an alert."""
    percent, least = '%' in text, decimal.Decimal(0)
    with contextlib.suppress(ValueError):
        if percent:
            least = _percentage(text)
        elif _WHOLE.fullmatch(text):
            least = decimal.Decimal(text)
    if not least:
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a number of guests: give 1 or more, or a '
            'percentage as in 5%'
        )
    return Range(text, least, _INFINITY, inside=True, percent=percent)


def _range(
    text: str, number: Callable[[str], decimal.Decimal], examples: str
) -> Range:
    match = _RANGE.fullmatch(text)
    try:
        if match is None or not (match['start'] or match['end']):
            raise ValueError(text)
        start, end = match['start'], match['end']
        if start == '~':
            least = -_INFINITY
        else:
            least = number(start) if start else decimal.Decimal(0)
        most = number(end) if end else _INFINITY
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a range: give one as in {examples}'
        ) from error
    if least > most:
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a range: it ends before it starts'
        )
    inside, percent = bool(match['inside']), '%' in text
    return Range(text, least, most, inside=inside, percent=percent)


def _number(text: str) -> decimal.Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return decimal.Decimal(text)


def _seconds(text: str) -> decimal.Decimal:
    seconds = durations.parse(text)
    if seconds > limits.LARGEST:
        raise ValueError(text)
    return decimal.Decimal(str(seconds))


def _percentage(text: str) -> decimal.Decimal:
    match = _PERCENTAGE.fullmatch(text)
    if match is None or (value := decimal.Decimal(match[1])) > 100:
        raise ValueError(text)
    return value


class Thresholds(argparse.Namespace):
    """The thresholds of one check, as the options of their names set them."""

    warning: Range
    critical: Range
    unknown: Range
    rtt_warning: Range
    rtt_critical: Range

    @property
    def mistakes(self) -> list[str]:
        """Say which warnings can never show.

        The plugin makes the check all the same, and its line has this text.
        """
        return [
            f'{less} {warning.text} never shows, since {more} '
            f'{critical.text} comes first'
            for less, warning, more, critical, step in (
                ('-w', self.warning, '-c', self.critical, decimal.Decimal(1)),
                (
                    *('--rtt-warning', self.rtt_warning),
                    *('--rtt-critical', self.rtt_critical, _FINE),
                ),
            )
            if _hides(critical, warning, step)
        ]


def _hides(critical: Range, warning: Range, step: decimal.Decimal) -> bool:
    """Whether each value that is a warning is critical, too.

    :param step: the smallest difference between two values, unless they are
        percentages.
    """
    # The number of guests decides how a number and a percentage compare.
    if critical.percent is not warning.percent:
        return False
    if warning.percent:
        step = _FINE
    # The values that are a warning, and not critical, begin at 0, at an end of
    # a range, or at the next value.
    ends = [
        end // step * step
        for each in (warning, critical)
        for end in (each.start, each.end)
        if end.is_finite()
    ]
    most = 100 if warning.percent else _INFINITY
    warned = [
        value
        for end in (decimal.Decimal(0), *ends)
        for value in (end, end + step)
        if 0 <= value <= most and warning.alerts(value)
    ]
    return bool(warned) and all(map(critical.alerts, warned))
