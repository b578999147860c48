"""Algorithms: one loop each that computes, exchanges and steps."""
