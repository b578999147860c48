"""The three parsers of LIBSVM text against one another: the same rows, or the same refusal, for every text."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.datasets.libsvm import parse_fast
from training.data.libsvm import parse_dense, parse_one_by_one, parse_regular, parse_sparse, without_query_ids
from training.errors import InputError

N_FEATURES = 9

LABELS = ["0", "1", "-1", "+1", "1.0", "2.5", "1e5", "4000000000", "1e38"]
BAD_LABELS = ["1e39", "nan", "inf", "0x10", "1_000", "1-2", "yes", "1:2", ":1", "-", "1,2", "\x00"]
INDICES = ["1", "2", "3", "4", "09", "9"]
BAD_INDICES = ["", "0", "-1", "+1", "1.0", "10", "a", "4294967297", "2147483648", "9" * 30, "1_0", "qid"]
VALUES = ["0", "1", "-0", ".5", "5.", "-1.25e-3", "1E5", "1e-60", "3.4028235e38", "0.1234567890123456789"]
BAD_VALUES = ["", "nan", "-inf", "1e39", "3.4028236e38", "1_0", "0x1", "1.5.5", "1-2", "--1", "e5", "5e", "1:2", "1,5"]
BLANKS = [" ", " ", " ", "  ", "\t", "\v", "\f", "\r", " # remark ", "#", "\x1c", "\xa0"]
ENDS = ["\n", "\n", "\n", "\r\n", " \n", "\t\n", "\r", "\n\n", "\n# remark\n", "\v\n", "\r\r\n", "\x0c\n"]


@st.composite
def lines(draw, good):
    """One line; with `good` alone it is regular, else it may hold anything."""

    def one_of(right, wrong):
        return draw(st.sampled_from(right if good or draw(st.integers(0, 15)) else wrong))

    words = [one_of(LABELS, BAD_LABELS)]
    if draw(st.integers(0, 9)) == 0:
        words.append("qid:" + one_of(["1", "77"], ["", "x", "-1"]))
    indices = [one_of(INDICES, BAD_INDICES) for _ in range(draw(st.integers(0, 4)))]
    if good or draw(st.integers(0, 7)):
        indices = sorted(set(indices))
    words += [index + one_of([":"], ["", "::", " :", ": "]) + one_of(VALUES, BAD_VALUES) for index in indices]
    text = words[0]
    for word in words[1:]:
        text += one_of([" "], BLANKS) + word
    return text


@st.composite
def texts(draw):
    """Lines that are regular or hold anything, each with an end of some kind."""
    parts = []
    for _ in range(draw(st.integers(1, 6))):
        good = draw(st.integers(0, 2)) > 0
        parts.append(draw(lines(good)) + ("\n" if good else draw(st.sampled_from(ENDS))))
    text = "".join(parts)
    return (text.rstrip("\n") if draw(st.booleans()) else text).encode("latin-1")


junk = st.text(alphabet="0019:::. +-e\n\n\t\r#_nq", max_size=30).map(str.encode)


def outcome(parse):
    """What a parser makes of a text: rows, or the words of its refusal."""
    try:
        parsed = parse()
    except InputError as error:
        return type(error).__name__, str(error)
    columns = (parsed.labels, parsed.pairs.astype(np.int64), parsed.index.astype(np.int64), parsed.value)
    return tuple(column.tobytes() for column in columns)


@settings(deadline=None, max_examples=50)  # the machine may be busy
@given(text=texts() | junk, zero_based=st.booleans())
@example(text=b"1 :5 2:1\n0 1:1 2:3\n", zero_based=False)
@example(text=b"1-2 5:\n", zero_based=False)
@example(text=b"1 1:1.00000005960464477539062500000000001\n", zero_based=False)  # rounded twice, or once
@example(text=b"1 0:1\n", zero_based=False)
@example(text=b"1 0:1\n0 8:1\n", zero_based=True)
@example(text=b"1 +1:1\n", zero_based=True)
@example(text=b"1 " + b"1" * 5000 + b":1\n", zero_based=False)
def test_all_parsers_agree(text, zero_based):
    """Whatever the text, the quick parsers give the rows of the careful one, or leave it to that one."""
    check_that_parsers_agree(text, zero_based)


@pytest.mark.slow
@settings(deadline=None, max_examples=1000)
@given(text=texts() | junk, zero_based=st.booleans())
def test_all_parsers_agree_on_many_texts(text, zero_based):
    """The same for more texts than there is time for on every change."""
    check_that_parsers_agree(text, zero_based)


def check_that_parsers_agree(text, zero_based):
    """Compare the rows, or the refusals, of all parsers of a text."""
    text = without_query_ids(text)
    allowed = {"n_features": N_FEATURES, "zero_based": zero_based}
    careful = outcome(lambda: parse_one_by_one(text, source="s", first_line=1, **allowed))

    for quick in (parse_regular, parse_fast):
        parsed = quick(text, **allowed)
        assert parsed is None or careful == outcome(lambda parsed=parsed: parsed), quick


@settings(deadline=None)  # the machine may be busy
@given(text=texts() | junk, zero_based=st.booleans())
@example(text=b"1 1:2\r0 2:3\r", zero_based=False)
@example(text=b"\xef\xbb\xbf1 1:2\n", zero_based=False)
def test_dense_and_sparse_rows_are_the_same(text, zero_based):
    """A text gives the same rows, dense or sparse, or the same refusal."""
    results = []
    for parse in (parse_dense, parse_sparse):
        try:
            x, y = parse(text, source="s", n_features=N_FEATURES, zero_based=zero_based)
        except InputError as error:
            results.append(str(error))
        else:
            dense = x if isinstance(x, np.ndarray) else x.toarray()
            results.append((dense.tolist(), y.tolist()))

    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"1 1:2\n1 :5 2:1\n", "line 2: an index is missing in `:5`; features have the form index:value"),
        (b"1 1:2\n1:5 2:1\n", "line 2: the label is missing: the line begins with `1:5`; put one first, such as 0"),
        (b"1 1:2\n1 1: 2:1\n", "line 2: the value of feature 1 is missing in `1:`; write 0 or leave both out"),
        (b"1 1:2\n1 0:2\n", "line 2: feature index 0; indices start at 1, unless .*--zero-based yes"),
        (b"1 1:2\n1 77:2\n", "line 2: feature index 77 is beyond 9, .*raise --n-features or leave it out"),
        (b"1 1:2\n1 2:2 1:1\n", "line 2: feature index 1 comes after 2; indices must rise within a line"),
        (b"1 1:2\n1 1:1_000\n", "line 2: value of feature 1 `1_000` is not a number"),
    ],
)
def test_a_refusal_says_what_would_be_right(text, message):
    """Line, word, and remedy."""
    for parse in (parse_dense, parse_sparse):
        with pytest.raises(InputError, match=f"^s {message}"):
            parse(text, source="s", n_features=N_FEATURES)


def test_query_ids_of_ranking_data_are_skipped():
    """`qid` after the label is no feature; anywhere else it is an error."""
    x, y = parse_dense(b"2 qid:10 1:5 3:7\n0  qid:11 2:1 # doc\n1 qid:12\n", source="s", n_features=3)

    assert [[5, 0, 7], [0, 1, 0], [0, 0, 0]] == x.tolist()
    assert [2, 0, 1] == y.tolist()
    with pytest.raises(InputError, match="line 1: index `qid` is not a whole number"):
        parse_dense(b"1 1:5 qid:7\n", source="s", n_features=3)
