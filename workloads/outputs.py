"""What commands write is whole or absent, and one process at a time writes it.

A process *owns* the output that it writes: it holds a lock beside it, and a second process is
refused. It writes into a folder beside the output, of a name that nobody can guess, and what is in
there takes its own name when it is whole::

    runs/.hyflexsim-x.lock         held by the process that writes runs/x
    runs/.hyflexsim-x.k3j_8f2q/    what it has of it so far

So a folder beside an output whose lock nobody holds was left by a process that was killed; the next
one that writes in ``runs`` clears it.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hyflexsim.models.whole_file import SCRATCH
from hyflexsim.sim.errors import InputError

try:
    import fcntl
except ImportError:  # Windows has no such locks: there nobody is refused, and nothing is cleared
    fcntl = None  # type: ignore[assignment]

_LOCK = "lock"


class Output:
    """A file or folder that this process alone writes; made by :func:`owned`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def new(self) -> Iterator[Path]:
        """A path to make a file or folder at, which replaces the output when the block ends well.

        It has the output's name, so that pictures drawn in the block are titled alike.
        """
        with _scratch(self.path.parent, f"{SCRATCH}{self.path.name}.") as scratch:
            made = scratch / self.path.name
            yield made
            if (
                self.path.is_dir() and made.is_dir()
            ):  # no system replaces a folder that is not empty
                self.path.rename(scratch / "old")
            os.replace(made, self.path)

    @contextmanager
    def more(self, last: str = "") -> Iterator[Path]:
        """A folder whose files move into that of the output when the block ends well.

        ``last``: the file that says that all others are there.
        """
        new = not self.path.exists()
        self.path.mkdir(exist_ok=True)
        try:
            with _scratch(self.path, SCRATCH) as scratch:
                yield scratch
                for file in sorted(scratch.iterdir(), key=lambda file: (file.name == last, file)):
                    os.replace(file, self.path / file.name)
        except BaseException:
            if new:
                with suppress(OSError):  # others have written there meanwhile
                    self.path.rmdir()
            raise


@contextmanager
def owned(path: str | Path) -> Iterator[Output]:
    """Own an output while the block lasts; folders above it are made, and go where they stay empty.

    Raises InputError where another process owns it, and where it cannot be written, also by what
    the block does: a full disk is one line that names the output.
    """
    path = Path(path)
    if not path.name or path.name == "..":
        raise InputError(f"--out must have a name; got {str(path)!r}")
    made: list[Path] = []
    try:
        with _says_where(path):
            made += [folder for folder in path.parents if not folder.exists()]
            _make(path.parent)
            with _locked(path) as alone:
                if alone:
                    _clear(path)
                yield Output(path)
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def new_folder(
    path: str | Path, marks: Collection[str], kind: str = "a run directory"
) -> Iterator[Path]:
    """A folder to write into, which takes the name ``path`` when the block ends well.

    ``marks``: see :func:`check_folder`. Raises InputError as that and :func:`owned` do.
    """
    with owned(check_folder(path, marks, kind)) as output, output.new() as folder:
        folder.mkdir()
        yield folder


@contextmanager
def new_file(path: str | Path, ours: Callable[[Path], bool] | None = None) -> Iterator[Path]:
    """A file to write, which takes the name ``path`` when the block ends well.

    ``ours``: whether a file that is there may be replaced, which else any may.
    Raises InputError where it may not, and as :func:`check_file` and :func:`owned` do.
    """
    path = check_file(path)
    with owned(path) as output, output.new() as file:
        if ours is not None and path.exists() and not (path.is_file() and ours(path)):
            raise InputError(f"{path}: holds something else; name a new file")
        yield file


def check_file(path: str | Path) -> Path:
    """``path``, if it names a file in a folder that is there. Raises InputError otherwise."""
    path = Path(path)
    with _says_where(path):
        if not path.name or path.name == ".." or path.is_dir():
            raise InputError(f"--out must name a file; got {str(path)!r}")
        if not path.parent.is_dir():
            raise InputError(f"{path}: no such folder as {path.parent}")
    return path


def check_folder(path: str | Path, marks: Collection[str], kind: str = "a run directory") -> Path:
    """``path``, if such a folder may be written there: it is new, empty or one of its kind.

    ``marks``: files by which folders of that kind are known. Raises InputError otherwise, so that
    nobody's files are ever replaced.
    """
    path = Path(path)
    if not path.name or path.name == "..":
        raise InputError(f"--out must name a folder; got {str(path)!r}")
    with _says_where(path):
        if path.is_dir():
            names = {file.name for file in path.iterdir() if not file.name.startswith(SCRATCH)}
            if names and not names.issuperset(marks):
                raise InputError(f"--out must be a new folder or {kind}; {path} is neither")
        elif path.exists() or path.is_symlink():
            raise InputError(f"--out must be a new folder or {kind}; {path} is a file")
    return path


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, "", error.filename) from None


# --- locks ---------------------------------------------------------------------------------------


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold an output's lock file, which the system gives back however the process ends.

    Whether it is certain that nobody else does: some file systems have no locks.
    """
    lock = path.with_name(f"{SCRATCH}{path.name}.{_LOCK}")
    while True:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        with os.fdopen(os.open(lock, flags, 0o644), "r+", encoding="utf-8") as file:
            alone = _hold(file.fileno(), path, lock)
            if alone and not _is_still(lock, file.fileno()):
                continue  # whoever held it has just given it back, and deleted it
            try:
                file.truncate(0)
                file.write(json.dumps({"process": os.getpid(), "machine": platform.node()}))
                file.flush()
                yield alone
            finally:
                with suppress(OSError):
                    lock.unlink()
            return


def _hold(handle: int, path: Path, lock: Path) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise InputError(
            f"{path}: another process is writing it ({_holder(lock)}); give --out another name, or "
            "wait"
        ) from None
    except OSError:  # no locks here
        return False
    return fcntl is not None


def _is_still(lock: Path, handle: int) -> bool:
    try:
        return os.path.samestat(lock.stat(), os.fstat(handle))
    except OSError:
        return False


def _holder(lock: Path) -> str:
    try:
        found = json.loads(lock.read_text("utf-8"))
        return f"process {found['process']} on {found['machine']}"
    except (OSError, ValueError, KeyError):  # it is just being written
        return "one that has just begun"


# --- scratch -------------------------------------------------------------------------------------


@contextmanager
def _scratch(folder: Path, prefix: str) -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix=prefix))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _clear(path: Path) -> None:
    """Delete what killed processes have left beside an output of ours, and in it."""
    for name in {_owner(left) for left in _left(path.parent)} - {"", path.name}:
        with suppress(InputError, OSError), _locked(path.with_name(name)) as alone:
            if alone:
                _delete(path.parent, name)
    _delete(path.parent, path.name)
    if path.is_dir() and not path.is_symlink():
        _delete(path, "")


def _delete(folder: Path, name: str) -> None:
    for left in _left(folder):
        if _owner(left) == name and not left.name.endswith(f".{_LOCK}"):
            shutil.rmtree(left, ignore_errors=True)


def _left(folder: Path) -> list[Path]:
    """Locks and scratch folders of this user."""
    try:
        with os.scandir(folder) as entries:
            return [
                Path(entry)
                for entry in entries
                if entry.name.startswith(SCRATCH) and _is_mine(entry.stat(follow_symlinks=False))
            ]
    except OSError:  # of a folder that may not be read, or has just gone
        return []


def _owner(left: Path) -> str:
    """The output that a lock or a scratch folder is of; "" for the folder that it is in.

    >>> _owner(Path(".hyflexsim-x.csv.k3j_8f2q")), _owner(Path(".hyflexsim-k3j_8f2q"))
    ('x.csv', '')
    """
    return left.name.removeprefix(SCRATCH).rpartition(".")[0]


def _is_mine(found: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or found.st_uid == os.getuid()


# --- errors --------------------------------------------------------------------------------------


@contextmanager
def _says_where(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # whoever reads what the command prints has gone
        raise
    except OSError as error:
        if str(error).endswith(" written"):  # by numpy, which knows no more
            reason = "not all was taken; is the disk full?"
        elif error.errno is None or not _is_of(path, error.filename):
            raise
        else:
            reason = os.strerror(error.errno)
        raise InputError(f"{path}: cannot be written: {reason}") from None


def _is_of(path: Path, named: object) -> bool:
    """Whether an error's file is the output, on the way to it, or made for it."""
    if named is None:  # no room in a file that is open
        return True
    if not isinstance(named, str | bytes):
        return False
    found = Path(os.fsdecode(named))
    made = f"{path.parent / SCRATCH}"
    return path.is_relative_to(found) or found.is_relative_to(path) or str(found).startswith(made)
