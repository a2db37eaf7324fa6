# SPDX-License-Identifier: Apache-2.0

"""Durations as people read and write them."""

from __future__ import annotations

import decimal
import re

# The pattern of each unit, and its seconds. A text has them in this order.
_UNITS = {'d': '86400', 'h': '3600', 'm(?:in)?': '60', 's': '1', 'ms': '0.001'}
_NUMBER = r'([0-9]+(?:\.[0-9]*)?|\.[0-9]+)'
_PLAIN = re.compile(_NUMBER)
_WITH_UNITS = re.compile(
    ''.join(rf'(?:{_NUMBER} ?{unit} ?)?' for unit in _UNITS)
)

# A longer text is a mistake.
_LONGEST = 40


def parse(text: str) -> float:
    """Return a duration in seconds.

    A number alone is a number of seconds. With units (``d``, ``h``, ``m`` or
    ``min``, ``s``, ``ms``) several numbers add up.

    >>> parse('90'), parse('1.5'), parse('500ms'), parse('1h30m')
    (90.0, 1.5, 0.5, 5400.0)

    It reads all that :func:`human` and :func:`compact` write.

    :param text: the duration.
    :raises ValueError: it is not a duration.
    """
    if len(text) <= _LONGEST:
        if _PLAIN.fullmatch(text):
            return float(text)
        match = _WITH_UNITS.fullmatch(text)
        if match and any(match.groups()) and not text.endswith(' '):
            # As a float, 1.1 ms would be 0.0011000000000000001 s.
            return float(
                sum(
                    decimal.Decimal(number or 0) * decimal.Decimal(size)
                    for number, size in zip(
                        match.groups(), _UNITS.values(), strict=True
                    )
                )
            )
    raise ValueError(f'not a duration: {text!r:.60}')


def human(seconds: float) -> str:
    """Return a duration in a unit that suits it, as in ``31 ms``.

    :param seconds: how long; 0 or more.
    """
    if seconds < 0.00995:
        return f'{seconds * 1000:.1f} ms'
    if seconds < 0.9995:
        return f'{seconds * 1000:.0f} ms'
    if seconds < 59.95:
        return f'{seconds:.1f} s'
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f'{minutes} min {rest} s' if rest else f'{minutes} min'
    hours, minutes = divmod(minutes, 60)
    return f'{hours} h {minutes} min' if minutes else f'{hours} h'


def compact(seconds: float) -> str:
    """Return a duration in its two largest units, as in ``3h12m``.

    :param seconds: how long; 0 or more.
    """
    left = round(seconds)
    parts = []
    for unit, size in (('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)):
        number, left = divmod(left, size)
        parts.append(f'{number}{unit}' if number else '')
    first = next((at for at, part in enumerate(parts) if part), 0)
    return ''.join(parts[first : first + 2]) or '0s'
