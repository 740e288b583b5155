"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import importlib.util
import pkgutil
from pathlib import Path

import pytest

PACKAGES = ("sim", "models", "workloads", "analysis")


def modules():
    """Names of the modules that have an example."""
    for package in PACKAGES:
        root = importlib.import_module(f"hyflexsim.{package}")
        walk = pkgutil.walk_packages(root.__path__, f"{root.__name__}.")
        for name in (root.__name__, *(info.name for info in walk)):
            source = importlib.util.find_spec(name).origin
            if source.endswith(".py") and ">>> " in Path(source).read_text(encoding="utf-8"):
                yield name


@pytest.mark.parametrize("name", sorted(modules()))
def test_docstrings(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.startswith("hyflexsim"):
            raise
        pytest.skip(f"needs {error.name}")
    failed, _ = doctest.testmod(module)
    assert failed == 0
