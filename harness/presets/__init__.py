"""Figures of AWS, measured by others or by `harness calibrate`: distributions with their sources, and prices."""
