"""Plays a plan: SimPy processes, or the same as machine code."""
