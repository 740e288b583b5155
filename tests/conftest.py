"""Hypothesis: no deadline, since machines differ; the same examples every time.

``make explore`` draws others, and more of them: what it finds becomes a test of its own.
Each process computes with one thread, as there is one a core; those that it starts do, too.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile("same", derandomize=True, **_COMMON)
# the first failure will do: make mutants
settings.register_profile(
    "unshrunk", derandomize=True, phases=(Phase.explicit, Phase.generate), **_COMMON
)
settings.register_profile("fuzz", derandomize=False, print_blob=True, max_examples=2500, **_COMMON)
settings.register_profile("explore", derandomize=False, print_blob=True, **_COMMON)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


LONG = ("test_tutorial.py", "test_how_to.py", "test_perturbation.py")
"""Files that take minutes each: begun first, so that no core is alone with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, all others in their order."""
    items.sort(key=lambda item: item.path.name not in LONG)
