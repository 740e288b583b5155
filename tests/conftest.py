"""Hypothesis: no deadline, since machines differ; the same examples every time in CI."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "hyflexsim",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("hyflexsim")
