"""Which functions a function calls."""

import pytest

from harness.runs.callees import callees_of
from harness.settings import load_settings


def project(tmp_path, code, **environment):
    """A project with the function `first`, whose code and variables are given, and three others."""
    for name in ("first", "second", "third", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "main.py").write_text("def handler(event, context): pass\n")
    (tmp_path / "first" / "main.py").write_text(code)
    (tmp_path / "second" / "main.py").write_text('NEXT = "third"\nLAST = "first"\n')
    variables = ", ".join(f'{key} = "{value}"' for key, value in environment.items())
    (tmp_path / "harness.toml").write_text(
        f'functions.first = {{ source = "first", handler = "main.handler", environment = {{ {variables} }} }}\n'
        + "".join(
            f'functions.{name} = {{ source = "{name}", handler = "main.handler" }}\n'
            for name in ("second", "third", "other")
        )
    )
    return load_settings(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "second",
        "second:live",
        "arn:aws:lambda:us-east-1:123456789012:function:second:7",
        "123456789012:function:second",
    ],
)
def test_a_name_or_an_arn_is_found_in_code_and_variables(tmp_path, text):
    """So are the functions that the called one calls; nobody calls itself."""
    (tmp_path / "code").mkdir()
    (tmp_path / "variable").mkdir()
    in_code = project(tmp_path / "code", f"invoke(FunctionName={text!r})\n")
    in_variable = project(tmp_path / "variable", "", CALLEE=text)

    assert ["second", "third"] == callees_of(in_code, "first") == callees_of(in_variable, "first")


def test_words_that_only_contain_a_name_do_not_count(tmp_path):
    """Neither do comments, other functions' names within a sentence, or a module that is not Python."""
    settings = project(tmp_path, '"""Calls second, in a way."""\nx = "second-best"  # second\n')
    (tmp_path / "first" / "broken.py").write_text('def second(: "second"')

    assert [] == callees_of(settings, "first")
