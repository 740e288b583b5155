"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ("sim", "models", "workloads", "analysis")


def modules():
    for package in PACKAGES:
        root = importlib.import_module(f"hyflexsim.{package}")
        yield root.__name__
        for info in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            yield info.name


@pytest.mark.parametrize("name", sorted(modules()))
def test_docstrings(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
