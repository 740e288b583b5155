"""Functions of settings, computed in processes or on a cluster, and what they gave."""
