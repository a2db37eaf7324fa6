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

"""Durations as people read them."""


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
    for larger, size, smaller, part in (
        ('d', 86_400, 'h', 3_600),
        ('h', 3_600, 'm', 60),
        ('m', 60, 's', 1),
    ):
        if left >= size:
            rest = left % size // part
            return f'{left // size}{larger}' + (
                f'{rest}{smaller}' if rest else ''
            )
    return f'{left}s'
