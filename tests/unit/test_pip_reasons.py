"""pip's reason for a failure, in one line."""

import pytest

from harness.runtimes.pip import reason_in

NONE = "ERROR: Could not find a version that satisfies the requirement nothing==1 (from versions: none)"
MANY = (
    "ERROR: Could not find a version that satisfies the requirement numpy==9 (from versions: 1.0, 1.1, 1.2, 2.0, 2.1)"
)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], ""),
        (["Collecting x", "  Traceback", "RuntimeError: no home", ""], "RuntimeError: no home"),
        (
            [NONE, "ERROR: No matching distribution found for nothing==1"],
            "Could not find a version that satisfies the requirement nothing==1 (from versions: none)",
        ),
        (
            [MANY],
            "Could not find a version that satisfies the requirement numpy==9 (from versions: ..., 1.1, 1.2, 2.0, 2.1)",
        ),
        (
            [
                "ERROR: Cannot install a==1 and b==2 because these package versions have conflicting dependencies.",
                "The conflict is caused by:",
                "    a 1 depends on c==1",
                "    The user requested c==2",
                "ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/",
            ],
            "a 1 depends on c==1 / The user requested c==2",
        ),
    ],
)
def test_the_first_reason_counts(lines, reason):
    """What pip says a second time in other words, and hundreds of versions, are left out."""
    assert reason == reason_in([f"{line}\n" for line in lines])
