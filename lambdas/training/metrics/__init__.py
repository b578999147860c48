"""Metrics: sums over rows that ranks can add, and the figures that follow from the sums."""
