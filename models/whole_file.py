"""A file that is whole or absent: written beside its place, and renamed when it is done."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCRATCH = ".hyflexsim-"
"""How the folder begins in which a file is written; how it goes on nobody can guess."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write, which takes the place of ``path`` when the block ends well.

    Nobody else knows it, so no link planted there is followed; a link at ``path`` itself is
    replaced and what it points to stays as it is. Raises OSError where nothing can be written,
    also for safetensors, which has an error of its own.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "x.txt"
    >>> with whole(place) as scratch:
    ...     _ = scratch.write_text("all of it")
    ...     place.exists()
    False
    >>> place.read_text(), [path.name for path in place.parent.iterdir()]
    ('all of it', ['x.txt'])
    """
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=SCRATCH))
    try:
        yield folder / path.name
        os.replace(folder / path.name, path)
    except Exception as error:
        number = re.search(r"os error (\d+)", str(error))
        if type(error).__name__ == "SafetensorError" and number:
            code = int(number[1])
            raise OSError(code, os.strerror(code), str(path)) from None
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
