"""Sweeps: many points from one file, computed on every core or a cluster, kept as they finish."""
