"""Published runs on AWS: whether their figures agree with one another, and how far our forecast is from them."""

import numpy as np
import pytest

from benchmarks.published_runs import FIGURE_8B, SERVER_S_USD, TABLE_3, from_rate, from_run


@pytest.mark.parametrize(("run", "published_is"), list(zip(TABLE_3, (0.988, 1.0, 1.0), strict=True)))
def test_a_published_cost_is_that_of_the_functions_and_the_parameter_server(run, published_is):
    """Memory x time x price, with the m5.large beside it; the cost of lambdaDNN's own plan is 1.2 % too low."""
    computed = run.lambda_usd + run.seconds * SERVER_S_USD

    assert published_is == pytest.approx(run.usd / computed, abs=0.001)


def test_the_same_plan_is_published_with_two_times():
    """8 functions of 2,560 MB with batches of 128 take 573 s in table 3, a tenth more than figure 8b says."""
    interpolated = np.interp(2560, [run.memory_mb for run in FIGURE_8B], [run.seconds for run in FIGURE_8B])

    assert 1.10 == pytest.approx(TABLE_3[0].seconds / interpolated, abs=0.01)


@pytest.mark.parametrize("run", [*TABLE_3, FIGURE_8B[0], FIGURE_8B[-1]], ids=lambda run: f"{run.plan}-{run.memory_mb}")
def test_the_forecast_from_the_rate_of_one_function_is_near_the_published_time(run):
    """No published time is more than a fifth away, and the paper's own formula is farther from each run of table 3."""
    seconds = from_rate(run).seconds

    assert seconds == pytest.approx(run.seconds, rel=0.2)
    if run in TABLE_3:
        assert abs(run.own_forecast_s - run.seconds) > abs(seconds - run.seconds)


@pytest.mark.parametrize("run", TABLE_3[1:], ids=lambda run: run.plan)
def test_the_forecast_from_another_run_is_near_the_published_time(run):
    """From lambdaDNN's own plan to another number of functions or batch: a tenth."""
    assert run.seconds == pytest.approx(from_run(run, TABLE_3[0]).seconds, rel=0.1)
