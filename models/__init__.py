"""The algorithms: what is computed on a chip, in torch, without any knowledge of its time."""
