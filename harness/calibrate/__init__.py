"""Calibration: a deployment's own figures, measured by probes on it, as a preset; and what was predicted with them."""
