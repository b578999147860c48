"""AWS FIS: experiments of Lambda's actions, which the Lambda service carries out.

    actions.py      the actions and their parameters
    templates.py    checks experiment templates
    targets.py      the functions that a target selects
    timeline.py     when the actions of an experiment begin and end, and in which states that leaves it
    gateway.py      tells the Lambda service
    experiment.py   an experiment with such a timeline
    backend.py      starts and stops experiments
    additions.py    adds all of this to moto's FIS, which only stores templates and experiments

https://docs.aws.amazon.com/fis/latest/APIReference/Welcome.html
"""

from harness.emulation.fis.additions import add_to_moto


def install(endpoint: str) -> None:
    """Add this to moto's FIS."""
    del endpoint  # FIS calls only the Lambda service
    add_to_moto()
