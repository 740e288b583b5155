"""Runs, sweeps and studies as one HTML file each, to hand to others."""
