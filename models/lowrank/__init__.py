"""Matrices as products of two: how many ranks each keeps, how they train, which ones matter."""
