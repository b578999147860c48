"""Faults injected from outside: what a fault plan can request, how it is written, and when each fault is due."""

from harness.faults.plan import Chaos, Fault, Plan, check_nodes, check_plan, check_zones
from harness.faults.text import parse_chaos, parse_fault, read_plan

__all__ = [
    "Chaos",
    "Fault",
    "Plan",
    "check_nodes",
    "check_plan",
    "check_zones",
    "parse_chaos",
    "parse_fault",
    "read_plan",
]
