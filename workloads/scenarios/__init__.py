"""Scenarios that come with hyflexsim, one TOML file each (scenario/scenario.py)."""
