"""Simulation and forecast: what a run costs on AWS, and how it scales with workers and memory."""
