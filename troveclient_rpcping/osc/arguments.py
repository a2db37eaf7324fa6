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

"""The types of arguments that the ping commands share."""

import argparse
import math


def seconds(text: str) -> float:
    """Parse a duration: a number of seconds above 0.

    :raises argparse.ArgumentTypeError: with what to do instead.
    """
    return _positive(text, 'is no duration: give a number of seconds above 0')


def rate(text: str) -> float:
    """Parse how many pings a second may be sent: a number above 0.

    :raises argparse.ArgumentTypeError: with what to do instead.
    """
    return _positive(
        text, 'is no rate: give a number of pings a second above 0'
    )


def _positive(text: str, mistake: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.001 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError(f'"{text}" {mistake}')
    return value


def concurrency(text: str) -> int:
    """Parse how many pings may be in flight: 1 to 1024.

    :raises argparse.ArgumentTypeError: with what to do instead.
    """
    # Each one is a connection, and a greenthread of trove-api.
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(
            f'"{text}" is no number of pings: give one from 1 to 1024'
        )
    return int(text)
