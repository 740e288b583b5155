"""Experiments on ParT: train it and its baseline, take its attention, cost its top-k."""
