"""Directories of studies (accuracy, ranks, Pareto points): tables, statistics, pictures."""
