"""Hypothesis profiles: no deadline, since machines differ; failures shrink for a bounded time."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "hyflexsim", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("hyflexsim")
