"""Faults from outside: what a plan may ask for, how it is written down, and when each part of it is due."""

from harness.faults.plan import Chaos, Fault, Plan, check_plan
from harness.faults.text import parse_chaos, parse_fault, read_plan

__all__ = ["Chaos", "Fault", "Plan", "check_plan", "parse_chaos", "parse_fault", "read_plan"]
