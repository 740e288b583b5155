"""From a recipe to a compressed checkpoint, and how right it is on cells, how fast on a chip."""
