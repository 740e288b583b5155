"""Figures of a paper made again: ours and theirs in one picture."""
