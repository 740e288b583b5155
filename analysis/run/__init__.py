"""A run directory as frames, its numbers, and pictures: timeline, energy, latency, placement."""
