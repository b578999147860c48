"""Figures that vary: what is drawn has the quantiles that were given, and tables by the number of functions."""

from itertools import pairwise

import numpy as np
import pytest

from harness.presets.distribution import ByCount, Constant, Distribution, distribution


class TestDistribution:
    """What is drawn has the quantiles that were given."""

    given = distribution({"p50": 40.0, "p99": 118.0, "p99.9": 200.0})

    def test_its_quantiles_are_those_given(self):
        """Between them it ascends."""
        assert self.given.typical == pytest.approx(40)
        assert self.given.quantile(0.99) == pytest.approx(118)
        assert self.given.quantile(0.999) == pytest.approx(200)
        found = [self.given.quantile(p) for p in np.linspace(0.0001, 0.9999, 999)]
        assert all(a <= b for a, b in pairwise(found))

    def test_samples_have_its_quantiles_and_its_mean(self):
        """A large sample is close to them, whatever its seed."""
        sample = self.given.sample(np.random.default_rng(7), 200_000)

        assert np.quantile(sample, 0.5) == pytest.approx(40, rel=0.02)
        assert np.quantile(sample, 0.99) == pytest.approx(118, rel=0.03)
        assert sample.mean() == pytest.approx(self.given.mean, rel=0.01)

    def test_a_seed_repeats_its_draws(self):
        """Two runs with one seed see the same network."""
        first, second = (self.given.sample(np.random.default_rng(5), (4, 3)) for _ in range(2))

        assert first.shape == (4, 3)
        assert (first == second).all()

    def test_min_and_max_cut_it_off(self):
        """Published extremes are never passed."""
        bounded = distribution({"mean": 0.66, "min": 0.5, "max": 0.91})
        sample = bounded.sample(np.random.default_rng(1), 100_000)

        assert 0.5 <= sample.min() <= sample.max() <= 0.91
        assert np.median(sample) == pytest.approx(0.66, rel=0.01)

    def test_a_factor_scales_it(self):
        """Starts twice as slow, or none."""
        assert self.given.scaled(2).quantile(0.99) == pytest.approx(236)
        assert self.given.scaled(0) == Constant(0)
        assert distribution({"mean": 2, "min": 1, "max": 4}).scaled(2) == distribution({"mean": 4, "min": 2, "max": 8})

    def test_a_constant_is_always_the_same(self):
        """A figure without a known variation is drawn as itself."""
        constant = Constant(3.0)

        assert constant.sample(np.random.default_rng(0), 2).tolist() == [3, 3]
        assert constant.quantile(0.9) == constant.typical == constant.mean == 3
        assert constant.scaled(2) == Constant(6)

    def test_equal_quantiles_are_no_error(self):
        """A figure that hardly varies may have one value twice."""
        flat = distribution({"p50": 2.0, "p90": 2.0, "p99": 3.0})

        assert isinstance(flat, Distribution)
        assert flat.quantile(0.1) == pytest.approx(2)


class TestByCount:
    """A figure that depends on how many functions there are."""

    vpc = ByCount((32, 128, 256), (77.0, 47.0, 24.0))

    def test_known_points_are_met(self):
        """And between two points the value is between theirs."""
        assert [self.vpc.at(count) for count in (32, 128, 256)] == pytest.approx([77, 47, 24])
        assert 47 < self.vpc.at(64) < 77

    def test_beyond_the_points_it_goes_on(self):
        """Below the first point a caller may name another value."""
        assert self.vpc.at(512) < 24
        assert self.vpc.at(8) > 77
        assert self.vpc.at(8, below=77.5) == 77.5
        assert self.vpc.at(32, below=1.0) == pytest.approx(77)

    def test_no_function_is_no_number_of_functions(self):
        """A mistake of the caller's is not answered with infinity."""
        with pytest.raises(ValueError, match="count is 0"):
            self.vpc.at(0)
