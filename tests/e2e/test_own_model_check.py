"""`harness model check`, as a user calls it: in the packages of the model's function, with an exit code for scripts."""

import json

import pytest

from tests.support.own_models import softmax_file


def test_a_sound_model_passes_on_a_users_table(run_harness, tmp_path):
    """All checks pass on the rows of a CSV file; the JSON has the sizes of its columns and classes."""
    table = tmp_path / "table.csv"
    table.write_text("a,b,kind\n" + "".join(f"{i % 7},{i % 5 / 3},{'yes' if i % 3 else 'no'}\n" for i in range(60)))

    done = run_harness("model", "check", f"{softmax_file(tmp_path)}:Softmax", "--data", str(table), "--json")

    report = json.loads(done.stdout)
    assert 0 == done.returncode, done.stderr
    assert {"ok"} == {finding["state"] for finding in report["findings"]}
    assert report["sizes"]["round_bytes"]["grad_avg"] == 4 * (report["sizes"]["trained"] + 1)


@pytest.mark.slow
def test_a_wrong_gradient_fails_with_its_index(run_harness, tmp_path):
    """The exit code is 1, and the line names where the gradient is not the loss's."""
    file = softmax_file(tmp_path)
    file.write_text(
        file.read_text()
        + """

class Wrong(Softmax):
    def loss_and_gradient(self, parameters, x, y):
        loss, gradient = super().loss_and_gradient(parameters, x, y)[:2]
        gradient = np.array(gradient)
        gradient[3] += 100
        return loss, gradient
"""
    )

    done = run_harness("model", "check", f"{file}:Wrong")

    assert 1 == done.returncode
    assert "FAILED gradient  the gradient is not the loss's at index 3" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Absent"], "has no Absent"),
        (["Softmax", "--data", "sklearn:iris", "--n-features", "3"], "--n-features and --data exclude each other"),
        (["Softmax", "--data", "s3://bucket"], "s3://bucket is not on this machine"),
        (["Softmax", "--data", "no.csv"], "no.csv"),
    ],
)
def test_what_cannot_be_checked_is_one_clear_error(run_harness, tmp_path, arguments, said):
    """Three lines at most, and exit code 1."""
    done = run_harness("model", "check", f"{softmax_file(tmp_path)}:{arguments[0]}", *arguments[1:])

    assert 1 == done.returncode
    assert said in done.stderr
    assert done.stderr.strip().count("\n") <= 3
