"""The event loop as machine code, with its tables."""
