"""Fixtures for cells and crossbars."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def bit_serial_reference():
    """The plain loops of ``bit_serial_reference.py``."""
    path = Path(__file__).parent / "bit_serial_reference.py"
    spec = importlib.util.spec_from_file_location("bit_serial_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.reference
