"""Benchmarks: figures beside their floors (lower bounds), measured in one run."""
