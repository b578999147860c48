"""Crash and duplicate exploration: every way in which Lambda may end, repeat or overlap an invocation, tried."""
