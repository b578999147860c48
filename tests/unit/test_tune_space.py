"""The search space as it is written, and the trials that are drawn from it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.tune.draws import combinations, draw_trials
from harness.tune.space import Choices, Range, format_dimension, parse_dimension, points, read_space

FLOATS = st.floats(1e-9, 1e6, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "dimension"),
    [
        ("lr=0.001..1:log", Range(0.001, 1.0, log=True)),
        ("momentum=0..0.9:step=0.1", Range(0.0, 0.9, step=0.1)),
        ("batch-size=100..1000", Range(100, 1000)),
        ("batch_size=100,1000", Choices([100, 1000])),
        ("lambda=0,1e-3", Choices([0.0, 0.001])),
        ("standardise=true,false", Choices([True, False])),
        ("optimiser=sgd, adam", Choices(["sgd", "adam"])),
    ],
)
def test_a_dimension_is_read_as_its_keys_type(text, dimension):
    """An integer stays one, and dashes are as good as underscores."""
    (found,) = read_space([text], None).values()

    assert dimension == found
    assert list(map(type, ([found.low] if isinstance(found, Range) else found.values))) == list(
        map(type, ([dimension.low] if isinstance(dimension, Range) else dimension.values))
    )


@given(low=FLOATS, high=FLOATS, log=st.booleans())
def test_what_is_printed_is_read_again(low, high, log):
    """A range of any numbers comes back from its text as it was."""
    if low >= high:
        return
    dimension = Range(low, high, log=log)

    assert dimension == parse_dimension("lr", format_dimension(dimension), "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lr", "has no `=`"),
        ("learning_rate=0.1,1", "no key 'learning_rate'"),
        ("lrr=0.1,1", "did you mean lr?"),
        ("lr=1..0.1", "the range 1..0.1 is empty"),
        ("lr=1..1", "is empty"),
        ("lr=0..1:log", "0 has no logarithm"),
        ("lr=-1..1:log", "-1 has no logarithm"),
        ("lr=nan..1", "not finite"),
        ("lr=0.1..inf", "not finite"),
        ("lr=a..b", "'a' is not a number"),
        ("lr=0.1..1:cubic", "no option 'cubic'"),
        ("lr=0.1..1:step=", "no option 'step='"),
        ("lr=0.1..1:step=0", "step=0 does not fit"),
        ("lr=0.1..1:step=2", "step=2 does not fit"),
        ("lr=0.1", "a single value is not searched"),
        ("lr=", "is not a number"),
        ("lr=0.1,0.10", "a value is there twice"),
        ("batch_size=1.5..3", "'1.5' is not an integer"),
        ("batch_size=10,1e2", "'1e2' is not an integer"),
        ("standardise=yes,no", "'yes' is not true or false"),
        ("optimiser=a..b", "no number, so it has no range"),
        ("n_workers=2,4", "partitioned anew"),
        ("seed=1,2", "cannot be searched"),
        ("valid_ratio=0.1,0.2", "different rows"),
        ("host=a,b", "cannot be searched"),
    ],
)
def test_what_is_no_space_is_refused(text, words):
    """With the text, and what is right."""
    with pytest.raises(HarnessError) as refused:
        read_space([text], None)
    assert words in str(refused.value)
    assert text in str(refused.value)
    assert len(str(refused.value).splitlines()) <= 3


def test_a_key_is_there_once():
    """Two ranges of one key are a mistake, also one in the file."""
    with pytest.raises(HarnessError, match="has lr twice"):
        read_space(["lr=0.1..1", "lr=1..2"], None)


@pytest.mark.parametrize("form", ["toml", "json"])
def test_a_file_has_texts_lists_and_tables(tmp_path, form):
    """In TOML and in JSON."""
    file = tmp_path / f"space.{form}"
    space = {"lr": "0.001..1:log", "batch_size": [100, 1000], "momentum": {"low": 0, "high": 0.9, "step": 0.1}}
    lines = ['lr = "0.001..1:log"', "batch_size = [100, 1000]", "momentum = {low = 0, high = 0.9, step = 0.1}"]
    file.write_text(json.dumps(space) if form == "json" else "\n".join(lines))

    assert {
        "lr": Range(0.001, 1.0, log=True),
        "batch_size": Choices([100, 1000]),
        "momentum": Range(0.0, 0.9, step=0.1),
    } == read_space([], file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("lr = ", "is no TOML"),
        ("", "has no keys"),
        ("lr = 0.1", "no range and no list"),
        ("lr = {low = 0.1}", "a range has low, high"),
        ("lr = {low = 0.1, high = 1, log = 1}", "log is 1"),
        ("lr = [0.1, true]", "True is not a number"),
        ("batch_size = [10, 2.5]", "2.5 is not an integer"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, content, words):
    """With its name."""
    file = tmp_path / "space.toml"
    file.write_text(content)
    with pytest.raises(HarnessError) as refused:
        read_space([], file)
    assert words in str(refused.value)
    assert str(file) in str(refused.value)


@given(seed=st.integers(0, 2**32 - 1), few=st.integers(1, 5), more=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_a_trial_is_the_same_however_many_there_are(seed, few, more):
    """A study that gets more trials later has those of one that had them from the start, in the order of any flags."""
    space = {"lr": Range(0.001, 1.0, log=True), "batch_size": Choices([10, 20, 40])}
    drawn = draw_trials(space, {}, seed, few + more)

    assert drawn[:few] == draw_trials(dict(reversed(space.items())), {}, seed, few)
    assert all(0.001 <= params["lr"] <= 1 and params["batch_size"] in (10, 20, 40) for params in drawn)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_no_two_trials_are_alike(seed):
    """A space of six combinations gives each of them once."""
    space = {"batch_size": Range(1, 3), "standardise": Choices([True, False])}
    drawn = draw_trials(space, {}, seed, 6)

    assert 6 == combinations(space, {}) == len({tuple(params.items()) for params in drawn})


def test_more_trials_than_combinations_are_refused():
    """With their number."""
    with pytest.raises(HarnessError, match="has 2 combinations, and 3 trials"):
        draw_trials({"batch_size": Choices([1, 2])}, {}, 0, 3)


def test_a_key_without_a_use_is_left_out_of_a_trial():
    """Adam has no momentum; all trials with sgd have one."""
    space = {"optimiser": Choices(["sgd", "adam"]), "momentum": Range(0.1, 0.9)}
    drawn = draw_trials(space, {}, 3, 2) + draw_trials(space | {"lr": Range(0.1, 1.0)}, {}, 3, 20)

    assert {"sgd", "adam"} == {params["optimiser"] for params in drawn}
    assert all(("momentum" in params) == (params["optimiser"] == "sgd") for params in drawn)


@pytest.mark.parametrize(
    ("key", "dimension", "fixed", "words"),
    [
        ("hidden_units", Range(1, 9), {"model": "lr"}, "it needs model=mlp"),
        ("rho", Range(0.1, 1.0), {}, "it needs optim=admm"),
        ("momentum", Range(0.1, 0.5), {"optimiser": "adam"}, "optimiser=adam"),
        ("max_staleness", Range(0, 9), {}, "it needs sync_mode=async"),
    ],
)
def test_a_key_that_no_trial_uses_is_refused(key, dimension, fixed, words):
    """With the key that it depends on."""
    with pytest.raises(HarnessError, match="no trial uses it") as refused:
        draw_trials({key: dimension}, fixed, 0, 2)
    assert words in str(refused.value)


def test_points_are_counted_with_both_ends():
    """The last step counts although 0.1 is no binary fraction."""
    assert 10 == points(Range(0.0, 0.9, step=0.1))
    assert 901 == points(Range(100, 1000))


@given(key=st.sampled_from(["lr", "batch_size", "model", "standardise", "nobody"]), text=st.text(max_size=30))
def test_any_text_is_read_or_refused(key, text):
    """Nothing else is raised, whatever somebody types."""
    try:
        space = read_space([f"{key}={text}"], None)
    except HarnessError:
        return
    assert space == read_space([f"{key}={format_dimension(space[key])}"], None)


@given(text=st.from_regex(r"[0-9.e,:stp=log-]{1,20}", fullmatch=True))
def test_any_text_of_numbers_is_read_or_refused(text):
    """The same, nearer to what is right."""
    test_any_text_is_read_or_refused.hypothesis.inner_test("lr", text)
