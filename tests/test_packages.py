"""What an installation has in it."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_folder_of_modules_is_installed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(("hyflexsim", *path.parent.relative_to(ROOT).parts))
        for room in ("sim", "models", "workloads", "analysis")
        for path in (ROOT / room).rglob("*.py")
    }
    assert sorted(listed) == sorted(found)
