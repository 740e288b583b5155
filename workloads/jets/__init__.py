"""Jets: made, read, measured, split into sets."""
