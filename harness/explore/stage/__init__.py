"""A stage: every service of AWS on this machine, a function, and a proxy before all of them that strikes at calls.

with stage_of(settings, "orders", prepare=Path("prepare.py")) as stage:
    undisturbed = stage.play(event, Schedule())
    struck = stage.play(event, Schedule(strikes=(Strike(1, 1, 2, Blow.KILL_AFTER),)))
"""

from harness.explore.stage.stage import Stage, stage_of

__all__ = ["Stage", "stage_of"]
