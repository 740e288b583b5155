"""Attention of ParT from a directory of maps: tables, pictures, a page; pictures of a training."""
