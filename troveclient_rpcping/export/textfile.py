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

"""The file for the textfile collector of Prometheus's node_exporter."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile

from prometheus_client import parser
from prometheus_client.samples import Sample

# The collector may run as another user, and this process under a strict umask.
_MODE = 0o644


def write(path: str | os.PathLike[str], text: bytes) -> None:
    """Put a new file in the place of the old one, at once.

    :param path: the file.
    :param text: what is to be in it.
    :raises OSError: it cannot be written; says in one line why.
    """
    try:
        _replace(pathlib.Path(os.path.realpath(path)), text)
    except OSError as error:
        why = error.strerror or error
        raise OSError(f'Cannot write {os.fspath(path)}: {why}') from error


def _replace(path: pathlib.Path, text: bytes) -> None:
    # Renaming a file to /dev/stdout would do more than write to it.
    if path.exists() and not path.is_file():
        raise OSError('not a regular file')
    # The collector reads only *.prom: this is not to look like one.
    descriptor, temporary = tempfile.mkstemp(
        prefix=f'.{path.name}.', dir=path.parent
    )
    try:
        with open(descriptor, 'wb') as stream:
            os.fchmod(descriptor, _MODE)
            stream.write(text)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def read(path: str | os.PathLike[str], names: tuple[str, ...]) -> list[Sample]:
    """Return the samples of a file that :func:`write` wrote.

    :param path: the file.
    :param names: how the samples begin that are wanted.
    :returns: none if the file is missing, or is not what it should be.
    """
    try:
        if not pathlib.Path(path).is_file():
            return []
        text = pathlib.Path(path).read_text()
        # Only these: to parse what it says of 10,000 guests takes long.
        wanted = [line for line in text.split('\n') if line.startswith(names)]
        families = parser.text_string_to_metric_families('\n'.join(wanted))
        return [sample for family in families for sample in family.samples]
    except (OSError, ValueError):
        return []
