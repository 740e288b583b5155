"""From a torch model to a graph: models by name, their ops and wires read and folded, ranks."""
