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
import errno
import os
import pathlib
import stat
import tempfile

from prometheus_client import parser
from prometheus_client.samples import Sample

from troveclient_rpcping import plaintext

# The collector may run as another user, and this process under a strict umask.
_MODE = 0o644

# How many links are followed, at the most: as many as Linux follows.
_LINKS = 40


def check(path: str | os.PathLike[str]) -> None:
    """Look whether :func:`write` can write a file, before there is a text.

    :param path: the file.
    :raises OSError: it cannot; says in one line why.
    """
    with _said(path):
        target = _target(path)
        if not target.parent.is_dir():
            raise OSError(f'there is no folder {target.parent}')
        descriptor, temporary = _temporary(target)
        os.close(descriptor)
        os.unlink(temporary)


def write(path: str | os.PathLike[str], text: bytes) -> None:
    """Put a new file in the place of the old one, at once.

    :param path: the file.
    :param text: what is to be in it.
    :raises OSError: it cannot be written; says in one line why.
    """
    with _said(path):
        _replace(_target(path), text)


@contextlib.contextmanager
def _said(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        shown = plaintext.one_line(os.fspath(path))
        why = plaintext.one_line(error.strerror or str(error))
        raise OSError(f'Cannot write {shown}: {why}') from error


def _target(path: str | os.PathLike[str]) -> pathlib.Path:
    """Return the file that a path leads to, if it may be replaced."""
    target = _resolved(path)
    with contextlib.suppress(FileNotFoundError):
        found = target.lstat()
        # Renaming a file to /dev/stdout would do more than write to it.
        if not stat.S_ISREG(found.st_mode):
            raise OSError('not a regular file')
        sticky = target.parent.stat().st_mode & stat.S_ISVTX
        if sticky and found.st_uid != os.geteuid():
            raise OSError(
                'it belongs to another user, in a folder for everybody'
            )
    return target


def _resolved(path: str | os.PathLike[str]) -> pathlib.Path:
    """Follow the links in a path, but for those that others made.

    Anybody can make a link in a folder like /tmp, with the name of this file
    or of its folder, and let it lead to a file of this user.

    :raises OSError: for such a link.
    """
    reached = pathlib.Path('/')
    left = list(reversed(pathlib.Path.cwd().joinpath(path).parts[1:]))
    links = 0
    while left:
        step = reached / left.pop()
        if step.name == '..':
            reached = reached.parent
            continue
        try:
            found = step.lstat()
        except FileNotFoundError:
            return step.joinpath(*reversed(left))
        if not stat.S_ISLNK(found.st_mode):
            reached = step
            continue
        if found.st_uid not in (0, os.geteuid()):
            raise OSError(f'{step} is a link that another user made')
        links += 1
        if links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = step.readlink()
        if target.is_absolute():
            reached = pathlib.Path('/')
        left += [part for part in reversed(target.parts) if part != '/']
    return reached


def _replace(path: pathlib.Path, text: bytes) -> None:
    descriptor, temporary = _temporary(path)
    try:
        with open(descriptor, 'wb') as stream:
            os.fchmod(descriptor, _MODE)
            stream.write(text)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _temporary(path: pathlib.Path) -> tuple[int, str]:
    # The collector reads only *.prom: this is not to look like one.
    return tempfile.mkstemp(prefix=f'.{path.name}.', dir=path.parent)


def read(path: str | os.PathLike[str], names: tuple[str, ...]) -> list[Sample]:
    """Return the samples of a file that :func:`write` wrote.

    :param path: the file.
    :param names: how the samples begin that are wanted.
    :returns: none if the file is missing, or is not what it should be.
    """
    try:
        file = _target(path)
        if not file.is_file():
            return []
        text = file.read_text()
        # Only these: to parse what it says of 10,000 guests takes long.
        wanted = [line for line in text.split('\n') if line.startswith(names)]
        families = parser.text_string_to_metric_families('\n'.join(wanted))
        return [sample for family in families for sample in family.samples]
    except (OSError, ValueError):
        return []
