# SPDX-License-Identifier: Apache-2.0

"""The virtual environment of the control plane: made once, kept current."""

from collections.abc import Iterator
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import time

from sandbox import error
from sandbox import tether

_HERE = pathlib.Path(__file__).resolve().parent
_REQUIREMENTS = _HERE / 'requirements.txt'
_CONSTRAINTS = _HERE / 'constraints.txt'
_RELEASES = _HERE / 'releases'
_SCHEMA = _HERE / 'plane' / 'schema.py'

# This file marks an environment of the sandbox. Only such may be removed.
_MARK = 'trove-sandbox'


def tell(text: str) -> None:
    """Print a line of progress to stderr."""
    sys.stderr.write(f'sandbox: {text}\n')


def venv_path() -> pathlib.Path:
    """Return the path: $TROVE_SANDBOX_VENV, or .sandbox/venv in this tree.

    Each older release has its own environment, ``.sandbox/venv-RELEASE``.
    """
    chosen = os.environ.get('TROVE_SANDBOX_VENV')
    if chosen:
        return pathlib.Path(chosen).absolute()
    release = _release()
    name = f'venv-{release}' if release else 'venv'
    return _HERE.parent / '.sandbox' / name


def _release() -> str | None:
    """Return the chosen release of OpenStack; None is the newest."""
    release = os.environ.get('TROVE_SANDBOX_RELEASE')
    if not release:
        return None
    known = sorted(path.stem for path in _RELEASES.glob('*.txt'))
    if release not in known:
        raise error.SandboxError(
            f'TROVE_SANDBOX_RELEASE is {release}; set it to '
            f'{" or ".join(known)}, or unset it'
        )
    return release


def _packages() -> list[pathlib.Path]:
    """Return the files that name the packages: requirements, constraints."""
    release = _release()
    if release is None:
        return [_REQUIREMENTS, _CONSTRAINTS]
    return [_RELEASES / f'{release}.txt']


def ensure() -> pathlib.Path:
    """Make the environment, unless it exists and is current.

    :returns: the path of the environment.
    :raises sandbox.SandboxError: if the environment cannot be made.
    """
    venv = venv_path()
    if _is_current(venv):
        return venv
    with _alone(venv):
        # Another process may have made it meanwhile.
        if not _is_current(venv):
            _install(venv)
    return venv


def _is_current(venv: pathlib.Path) -> bool:
    try:
        return (venv / 'stamp').read_text() == _fingerprint(venv)
    except OSError:
        return False


def _fingerprint(venv: pathlib.Path) -> str:
    """Return a digest of all that the environment is made from.

    It includes the Python of the environment, not the Python of this process,
    which may be another one.
    """
    python = os.path.realpath(venv / 'bin' / 'python')
    made_from = hashlib.sha256(python.encode())
    for path in (*_packages(), _SCHEMA):
        made_from.update(path.read_bytes())
    return made_from.hexdigest()


@contextlib.contextmanager
def _alone(venv: pathlib.Path) -> Iterator[None]:
    """Let one process install at a time."""
    try:
        venv.parent.mkdir(parents=True, exist_ok=True)
        lock = (venv.parent / f'{venv.name}.lock').open('w')
    except OSError as exc:
        raise error.SandboxError(
            f'cannot write in {venv.parent} ({exc}); set '
            'TROVE_SANDBOX_VENV to another path'
        ) from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell('waiting for another process that installs')
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(venv: pathlib.Path) -> None:
    if importlib.util.find_spec('ensurepip') is None:
        raise error.SandboxError(
            'the venv module of Python is not complete: install it '
            '(apt-get install python3-venv)'
        )
    _clear(venv)
    tell(
        f'installing Keystone and Trove from PyPI into {venv} (once, about '
        'a minute)'
    )
    started = time.monotonic()
    log = venv.parent / f'{venv.name}.log'
    log.write_text('')
    python = str(venv / 'bin' / 'python')
    _run([sys.executable, '-m', 'venv', str(venv)], log)
    pip = [python, '-m', 'pip', '--disable-pip-version-check', 'install']
    requirements, *constraints = map(str, _packages())
    limits = [word for path in constraints for word in ('-c', path)]
    _run([*pip, '-r', requirements, *limits], log)
    tell(
        f'installed after {time.monotonic() - started:.0f} s; making empty '
        'databases'
    )
    databases = venv / 'databases'
    databases.mkdir()
    for service in ('keystone', 'trove'):
        target = str(databases / f'{service}.sqlite')
        _run([python, '-P', str(_SCHEMA), service, target], log)
    # The stamp comes last: without it, the next start makes all again.
    (venv / 'stamp').write_text(_fingerprint(venv))
    tell(f'ready after {time.monotonic() - started:.0f} s')


def _clear(venv: pathlib.Path) -> None:
    """Replace an older environment by an empty folder."""
    old = venv.with_name(f'{venv.name}.old')
    if venv.exists():
        if any(venv.iterdir()) and not (venv / _MARK).exists():
            raise error.SandboxError(
                f'{venv} is not an environment of the sandbox; remove it, or '
                'set TROVE_SANDBOX_VENV to another path'
            )
        # In one step: half an environment would have no mark.
        venv.rename(old)
    shutil.rmtree(old, ignore_errors=True)
    venv.mkdir()
    (venv / _MARK).touch()


def _run(argv: list[str], log: pathlib.Path) -> None:
    """Run one step, without the user's settings for Python and pip."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(('PYTHON', 'OS_', 'VIRTUAL_ENV'))
    }
    with log.open('ab') as output:
        status = subprocess.call(  # noqa: S603
            tether.tethered(argv),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    if status:
        lines = log.read_text(errors='replace').splitlines()
        tail = ''.join(f'\n    {line}' for line in lines[-12:])
        raise error.SandboxError(
            f'the installation failed; read {log}, and try again. The log '
            f'ends with:{tail}'
        )
