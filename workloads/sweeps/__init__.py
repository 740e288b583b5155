"""Sweeps that come with hyflexsim, one TOML file each (sweeping/sweep_file.py)."""
