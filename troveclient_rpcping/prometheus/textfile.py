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

from collections.abc import Iterator
import contextlib
import os
import pathlib
import stat
import tempfile

from troveclient_rpcping import plaintext

# The collector may run as another user, and this process under a strict umask.
_MODE = 0o644


def check(path: str | os.PathLike[str]) -> None:
    """Find out whether :func:`write` can write a file.

    :param path: the file.
    :raises OSError: it cannot; says in one line why.
    """
    with _new_file(path) as descriptor:
        os.close(descriptor)


def write(path: str | os.PathLike[str], text: bytes) -> None:
    """Put a new file in the place of the old one, at once.

    ``prometheus_client.write_to_textfile`` leaves the mode to the umask,
    replaces a device as readily as a file, and writes into a temporary file
    whose name others can foresee.

    :param path: the file.
    :param text: the content of the new file.
    :raises OSError: the file cannot be written; says in one line why.
    """
    with (
        _new_file(path, keep=True) as descriptor,
        open(descriptor, 'wb') as stream,
    ):
        os.fchmod(descriptor, _MODE)
        stream.write(text)


@contextlib.contextmanager
def _new_file(
    path: str | os.PathLike[str], *, keep: bool = False
) -> Iterator[int]:
    """Open a temporary file beside another.

    :param path: the other file.
    :param keep: whether the temporary file takes its place in the end.
    """
    target = pathlib.Path(path)
    try:
        _refuse_to_replace(target)
        # The collector reads *.prom alone: this name must not look like one.
        descriptor, temporary = tempfile.mkstemp(
            prefix=f'.{target.name}.', dir=target.parent
        )
        try:
            yield descriptor
            if keep:
                os.replace(temporary, target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    except OSError as error:
        shown = plaintext.one_line(os.fspath(path))
        why = plaintext.one_line(error.strerror or str(error))
        raise OSError(f'Cannot write {shown}: {why}') from error


def _refuse_to_replace(target: pathlib.Path) -> None:
    """Refuse anything but a file: root would make a file of /dev/stdout."""
    with contextlib.suppress(FileNotFoundError):
        mode = target.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise OSError('it is a link: give the path of the file itself')
        if not stat.S_ISREG(mode):
            raise OSError('not a regular file')
