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
import stat
import tempfile

from troveclient_rpcping import plaintext

# The collector may run as another user, and this process under a strict umask.
_MODE = 0o644


class TextfileError(OSError):
    """The file cannot be written; the text says in one line why."""


def check(path: str | os.PathLike[str]) -> None:
    """Find out whether :func:`write` can write a file.

    :param path: the file.
    :raises TextfileError: it cannot.
    """
    _write(pathlib.Path(path), None)


def write(path: str | os.PathLike[str], text: bytes) -> None:
    """Write a file. A reader sees the old file or the new one, never a part.

    ``prometheus_client.write_to_textfile`` leaves the mode to the umask. It
    also replaces devices, and the name of its temporary file is predictable.

    :param path: the file. node_exporter reads it only if its name ends in
        ``.prom``.
    :param text: the content of the file.
    :raises TextfileError: the file cannot be written.
    """
    _write(pathlib.Path(path), text)


def _write(target: pathlib.Path, text: bytes | None) -> None:
    """Write a file by way of a temporary one; without a text, only try to."""
    try:
        _refuse_to_replace(target)
        # The collector reads each *.prom, so this name ends otherwise.
        descriptor, temporary = tempfile.mkstemp(
            prefix=f'.{target.name}.', dir=target.parent
        )
        try:
            with open(descriptor, 'wb') as stream:
                os.fchmod(descriptor, _MODE)
                stream.write(text or b'')
            if text is not None:
                os.replace(temporary, target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    except OSError as error:
        shown = plaintext.one_line(str(target))
        why = plaintext.one_line(error.strerror or str(error))
        raise TextfileError(f'Cannot write {shown}: {why}') from error


def _refuse_to_replace(target: pathlib.Path) -> None:
    """Refuse all but a regular file: root would replace even /dev/stdout."""
    with contextlib.suppress(FileNotFoundError):
        mode = target.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise TextfileError(
                'it is a link: give the path of the file itself'
            )
        if not stat.S_ISREG(mode):
            raise TextfileError('not a regular file')
