"""Data for runs: real and synthetic sets, and the partitions that workers read."""
