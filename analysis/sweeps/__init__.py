"""Results folders of sweeps: the table, the Pareto front, pictures."""
