"""Fault plans as text and as files: what is accepted, and how the rest is rejected."""

from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.faults import Chaos, Fault, Plan, check_nodes, check_plan, parse_chaos, parse_fault, read_plan
from harness.faults.plan import CATALOGUE
from harness.faults.table import fault_table


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("kill rank=2 round=17", Fault(action="kill", target="worker", rank=2, round=17)),
        ("kill rank=all round=5", Fault(action="kill", target="worker", rank="all", round=5)),
        (
            "kill rank=1 round=3 step=1 attempt=2 when=after-put how=oom",
            Fault(action="kill", target="worker", rank=1, round=3, step=1, attempt=2, when="after-put", how="oom"),
        ),
        ("kill coordinator", Fault(action="kill", target="coordinator")),
        ("restart memcached round=12 down_s=0.5", Fault(action="restart", target="memcached", round=12, down_s=0.5)),
        ("delay ms=20", Fault(action="delay", target="memcached", ms=20)),
        ("delay s3 ms=20 key=*/model.npz n=2", Fault(action="delay", target="s3", ms=20, key="*/model.npz", n=2)),
        ("503 s3 n=3", Fault(action="503", target="s3", n=3)),
        ("503 n=3", Fault(action="503", target="s3", n=3)),
        ("cold-start rank=1 lost", Fault(action="cold-start", target="worker", rank=1, lost=True)),
        ("freeze rank=0 factor=10", Fault(action="freeze", target="worker", rank=0, factor=10)),
        ("lose zone=use1-az2 round=5 s=2", Fault(action="lose", target="zone", zone="use1-az2", round=5, s=2)),
        ("cut rank=2 s=5", Fault(action="cut", target="memcached", rank=2, s=5)),
        ("cut s3 rank=2 s=5", Fault(action="cut", target="s3", rank=2, s=5)),
        ("delay ms=20 jitter_ms=5", Fault(action="delay", target="memcached", ms=20, jitter_ms=5)),
        (
            "slice s3 rank=1 bytes=64 delay_us=500",
            Fault(action="slice", target="s3", rank=1, bytes=64, delay_us=500),
        ),
        ("slow-close delay_ms=300 s=2", Fault(action="slow-close", target="memcached", delay_ms=300, s=2)),
        ("limit round=3 bytes=9000", Fault(action="limit", target="memcached", round=3, bytes=9000)),
        ("delay zone=use1-az2 ms=5", Fault(action="delay", target="memcached", zone="use1-az2", ms=5)),
    ],
)
def test_what_is_written_is_meant(text, fault):
    """A fault on the command line is read with its target, address and parameters."""
    assert fault == parse_fault(text)
    assert fault == parse_fault(str(fault))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "action is ''"),
        ("kil rank=1", "action is 'kil'.*did you mean kill"),
        ("kill s3", "target of kill is 's3'.*worker, coordinator, gateway"),
        ("kill rank=1 rounds=2", "key of `kill worker` is 'rounds'.*did you mean round"),
        ("kill coordinator rank=1", "key of `kill coordinator` is 'rank'.*allowed: after"),
        ("kill rank=one", "rank is 'one'.*a whole number from 0, or `all`"),
        ("kill rank=-1", "rank is -1.*a whole number from 0"),
        ("kill rank=1.5", "rank is 1.5.*a whole number from 0"),
        ("kill rank=1 attempt=0", "attempt is 0.*a whole number from 1"),
        ("kill rank=1 when=later", "when is 'later'.*before-put, after-put, between-chunks"),
        ("kill rank=1 rank=2", "rank is given twice"),
        ("kill rank=1 softly", "the word 'softly' is not understood"),
        ("delay", "`delay memcached` lacks ms"),
        ("delay ms=0", "ms is 0.*above 0"),
        ("delay ms=nan", "ms is nan"),
        ("freeze rank=1", "lacks s or factor"),
        ("freeze rank=1 s=1 factor=2", "s and factor exclude each other"),
        ("corrupt rank=all", "rank is 'all'.*only `kill` takes `all`"),
        ("delay ms=5 jitter_ms=6", "jitter_ms is 6.*above 0, up to ms = 5"),
        ("slice", "`slice memcached` lacks bytes"),
        ("slice bytes=0", "bytes is 0.*a whole number from 1"),
        ("slice bytes=10 delay_us=2000000", "delay_us is 2000000.*up to 1000000"),
        ("limit bytes=1.5", "bytes is 1.5.*a whole number from 1"),
        ("slow-close delay_ms=0", "delay_ms is 0.*above 0"),
        ("cut s3 rank=all s=1", "rank is 'all'.*only `kill` takes `all`"),
        ("503 rank=1", "key of `503 s3` is 'rank'"),
        ("refuse n=0", "n is 0.*a whole number from 1"),
    ],
)
def test_what_is_not_understood_is_named(text, message):
    """The error for every mistake names the field, the value and what is allowed."""
    with pytest.raises(HarnessError, match=f"(?s){message}"):
        parse_fault(text)


def test_a_file_says_the_same(tmp_path):
    """A TOML plan describes the same faults, and the command line adds to it."""
    path = tmp_path / "plan.toml"
    path.write_text('[[fault]]\naction = "kill"\nrank = 2\nround = 17\n[chaos]\nseed = 7\nrate = 0.01\n')

    plan = read_plan(path, ("evict round=3",))

    assert Plan((parse_fault("kill rank=2 round=17"), parse_fault("evict round=3")), Chaos(7, 0.01)) == plan
    assert Chaos(8, 1) == read_plan(path, (), "seed=8 rate=1").chaos


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[fault]\n", "cannot be read.*plan.toml"),
        ("[[faults]]\naction = 'kill'\n", "unknown table 'faults'"),
        ("[fault]\naction = 'kill'\n", "write \\[\\[fault\\]\\]"),
        ("[[fault]]\naction = 'kill'\nrank = '2'\n", "rank is '2'"),
        ("[[fault]]\nrank = 2\n", "action is 'None'"),
        ("[chaos]\nseed = 1\n", "chaos: .*rate"),
    ],
)
def test_a_wrong_file_is_told(tmp_path, content, message):
    """The error names the file and the field."""
    path = tmp_path / "plan.toml"
    path.write_text(content)

    with pytest.raises(HarnessError, match=f"(?s){message}"):
        read_plan(path)


@pytest.mark.parametrize("text", ["", "seed=1", "seed=1 rate=2", "seed=x rate=0.1", "seed=1 rate=0.1 more=1", "seed"])
def test_wrong_chaos_is_told(text):
    """Chaos needs a seed, and a rate from 0 to 1."""
    with pytest.raises(HarnessError, match="chaos"):
        parse_chaos(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kill rank=4 round=1", "rank is 4.*0 to n_workers - 1 = 3"),
        ("kill rank=3 round=11", "round is 11.*0 to 10, the rounds of this job"),
        ("kill coordinator after=5", "after is 5.*1 to n_workers = 4"),
    ],
)
def test_an_address_that_the_job_does_not_have_is_refused(text, message):
    """An impossible address is rejected before anything starts."""
    with pytest.raises(HarnessError, match=f"(?s){message}"):
        check_plan(Plan((parse_fault(text),)), n_workers=4, rounds=10)


@pytest.mark.parametrize(
    ("texts", "count", "message"),
    [
        (["restart memcached node=4"], 3, "node is 4.*`restart node=4`.*1 to 3; `--cache-nodes 4` has more"),
        (["lose memcached node=1"], 1, "cannot end without a node.*--cache-nodes 2"),
        (["lose memcached node=2", "lose memcached node=1"], 2, "cannot end without a node.*`lose memcached node=1`"),
    ],
)
def test_a_node_that_the_cache_does_not_have_or_cannot_spare_is_refused(texts, count, message):
    """The error names the node, and what to do."""
    with pytest.raises(HarnessError, match=f"(?s){message}"):
        check_nodes(Plan(tuple(map(parse_fault, texts))), count)


def test_nodes_that_the_cache_has_pass():
    """The last number, the same node twice, and a fault of all nodes."""
    texts = ["replace memcached node=3 round=2", "lose memcached node=2", "lose memcached node=2", "replace memcached"]

    check_nodes(Plan(tuple(map(parse_fault, texts))), 3)


def test_an_address_that_only_the_data_can_tell_passes():
    """If the number of rounds is not known beforehand, the address is accepted."""
    check_plan(Plan((parse_fault("kill rank=3 round=1000"),)), n_workers=4, rounds=None)


def test_the_catalogue_speaks_of_keys_that_faults_have():
    """Every key in the catalogue is a field of a fault."""
    fields = set(Fault.__struct_fields__)

    assert [] == [kind for kind, entry in CATALOGUE.items() if not fields.issuperset(entry.keys)]


def test_the_page_of_faults_lists_every_fault():
    """The table in the page is generated from the catalogue."""
    page = Path(__file__).parents[2] / "docs" / "faults.md"

    assert fault_table() in page.read_text()
