"""What sparse attention is worth on a chip: its bound, ways to use it, accuracy with them."""
