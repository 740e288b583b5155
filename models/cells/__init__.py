"""Numbers on memory cells: quantisation, noise, bit lines, converters; a whole model on a chip."""
