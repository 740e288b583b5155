"""Compressed checkpoints that come with hyflexsim, one folder each (scenario/checkpoints.py)."""
