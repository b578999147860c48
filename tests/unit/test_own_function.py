"""The name with which a function invokes itself."""

import pytest

from training.run.invoking import own_function


@pytest.mark.parametrize(
    ("version", "name"), [("$LATEST", "linear_ec_2"), ("7", "linear_ec_2:7"), (None, "linear_ec_2")]
)
def test_a_published_version_invokes_itself_and_not_what_the_alias_points_to_by_then(
    monkeypatch: pytest.MonkeyPatch, version: str | None, name: str
) -> None:
    """Whoever runs as version 7 continues as version 7."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "linear_ec_2")
    if version is None:
        monkeypatch.delenv("AWS_LAMBDA_FUNCTION_VERSION", raising=False)
    else:
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_VERSION", version)
    assert name == own_function()
