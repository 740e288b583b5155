"""A file that is whole or absent: written in a folder that nobody can guess, renamed when done.

The same as ``models/whole_file.py``, since pictures know no models.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hyflexsim.sim.errors import InputError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write, which takes the place of ``path`` when the block ends well.

    It has the same name, so that its suffix says what to write. Raises InputError where nothing
    can be written.
    """
    scratch = None
    try:
        scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=".hyflexsim-"))
        yield scratch / path.name
        os.replace(scratch / path.name, path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
