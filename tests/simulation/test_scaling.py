"""The exchange in virtual time: what trips cost, and that simulation, closed form and docs/scaling.md agree."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.report import scaling
from harness.report.closed_form import seconds
from harness.report.network import ELASTICACHE, S3, Network
from harness.report.simulate import simulate
from harness.report.simulated_store import SimulatedChannel, SimulatedStore
from harness.report.virtual_time import VirtualTime
from training.errors import ValueTooLarge

DOCS = Path(__file__).parents[2] / "docs"
UNITS = {"ms": 1e-3, "s": 1.0}
SIMPLE = Network(
    latency_s=1.0,
    rank_bytes_per_s=10.0,
    store_bytes_per_s=40.0,
    trip_s=0.0,
    frame_s=0.0,
    byte_s=0.0,
    store_trip_s=0.0,
    store_key_s=0.0,
)


def spent(network, *mains):
    """Seconds of tasks that each get a channel to one store."""
    time = VirtualTime()
    store = SimulatedStore(time, network)
    time.run([lambda main=main: main(SimulatedChannel(store)) for main in mains])
    return time.now


def test_a_trip_takes_its_latency_and_the_slower_link():
    """100 bytes there at 10 a second, and back again."""
    assert 11.0 == pytest.approx(spent(SIMPLE, lambda channel: channel.put_many({"key": b"x" * 100})))
    assert 22.0 == pytest.approx(
        spent(SIMPLE, lambda channel: [channel.put_many({"key": b"x" * 100}), channel.get_many(["key"])])
    )


def test_ranks_share_the_stores_link():
    """Eight ranks at 10 bytes a second each are more than the store's 40."""
    puts = [lambda channel, name=name: channel.put_many({str(name): b"x" * 100}) for name in range(8)]

    assert 0.5 + 100 / 10 + 0.5 == pytest.approx(spent(SIMPLE, *puts[:4]))
    assert 0.5 + 800 / 40 + 0.5 == pytest.approx(spent(SIMPLE, *puts))


def test_keys_wait_for_the_stores_processors():
    """1,000 keys at 10 ms each on two cores, from two ranks."""
    network = replace(SIMPLE, latency_s=0.0, store_key_s=0.01, store_cores=2)

    assert 5.0 == pytest.approx(spent(network, *[lambda channel: channel.get_many(["key"] * 500)] * 2))


def test_what_is_read_is_what_was_stored():
    """Values, conditions and limits are those of every channel."""
    time = VirtualTime()
    channel, answers = SimulatedChannel(SimulatedStore(time, ELASTICACHE)), []

    def main():
        channel.put_many({"a": b"1", "b": b"2"})
        answers.extend([channel.add("a", b"9"), channel.add("c", b"3")])
        answers.extend([channel.replace_if("b", b"9", b"0"), channel.replace_if("b", b"2", b"5")])
        answers.append(channel.get_many(["a", "b", "c", "d"]))
        channel.delete_many(["a"])
        answers.append(channel.get_many(["a", "b"]))

    time.run([main])

    assert [False, True, False, True, {"a": b"1", "b": b"5", "c": b"3"}, {"b": b"5"}] == answers
    with pytest.raises(ValueTooLarge, match="value of a has"):
        channel.put_many({"a": b"x" * (1 << 20)})


@pytest.mark.parametrize("recovery", [False, True])
def test_a_simulation_repeats_exactly(recovery):
    """The same seconds and the same traffic every time."""
    first, second = (simulate("two_level", 9, 20_000, ELASTICACHE, recovery=recovery) for _ in range(2))

    assert first == second


@pytest.mark.parametrize("collective", scaling.COLLECTIVES)
@pytest.mark.parametrize("part_bytes", [116, 31_400, 1_000_000])
@pytest.mark.parametrize("network", [ELASTICACHE, S3], ids=["elasticache", "s3"])
def test_what_waits_have_learnt_makes_no_round_slower(network, part_bytes, collective):
    """Twenty rounds on, a rank is silent only while nothing can be there: trips and transfers are no waits."""
    early, late = (simulate(collective, 8, part_bytes, network, earlier_rounds=rounds).seconds for rounds in (1, 20))

    assert late < 1.15 * early


@pytest.mark.parametrize("collective", scaling.COLLECTIVES)
def test_recovery_costs_nothing_while_nothing_fails(collective):
    """With the layer around it, a quick all-reduce takes the same time."""
    plain, patient = (simulate(collective, 8, 4000, ELASTICACHE, recovery=recovery) for recovery in (False, True))

    assert plain.seconds == pytest.approx(patient.seconds, rel=0.02)


@pytest.mark.parametrize("nodes", [1, 4])
@pytest.mark.parametrize(
    ("world_size", "part_bytes"),
    [
        pytest.param(size, part, marks=[pytest.mark.slow] if (size, part) == (32, 4_000_000) else [])
        for size in (2, 8, 32)
        for part in (116, 189_000, 4_000_000)
    ],
)
@pytest.mark.parametrize("collective", scaling.COLLECTIVES)
def test_the_closed_form_is_near_the_simulation(collective, part_bytes, world_size, nodes):
    """Mostly within a tenth: it leaves out queues, links that carry both ways at once, and polls that miss narrowly."""
    network = replace(ELASTICACHE, nodes=nodes)

    ratio = (
        seconds(collective, world_size, part_bytes, network)
        / simulate(collective, world_size, part_bytes, network).seconds
    )

    assert 0.55 < ratio < 1.2


def test_large_parts_are_simulated_by_small_ones():
    """100 MB travel as such, in pieces of the store's limit, though far less lies in memory.

    Of two ranks that begin at once, the one that is served first finds nothing behind its put, and asks again.
    """
    simulated = simulate("all_gather", 2, 100_000_000, ELASTICACHE)

    assert 2e8 == pytest.approx(simulated.traffic.bytes_in, rel=0.01)
    assert 3 == simulated.traffic.trips
    assert 3 * 96 <= simulated.traffic.looks


@pytest.mark.slow
def test_two_levels_are_worth_it_where_the_document_says():
    """At 128 ranks and 31 KB they take less than three quarters of the best flat pattern; at 8 ranks they do not."""
    many, few = (
        {name: simulate(name, world_size, 31_400, ELASTICACHE).seconds for name in scaling.COLLECTIVES}
        for world_size in (128, 8)
    )

    assert many.pop("two_level") < 0.75 * min(many.values())
    assert few.pop("two_level") > min(few.values())


@pytest.mark.parametrize(
    ("heading", "network", "part"),
    [
        ("ElastiCache, one node", ELASTICACHE, "31 KB"),
        *(
            pytest.param("ElastiCache, one node", ELASTICACHE, part, marks=pytest.mark.slow)
            for part in scaling.PART_BYTES
            if part != "31 KB"
        ),
        *(("S3", S3, part) for part in scaling.S3_PARTS),
    ],
)
def test_the_document_shows_what_the_simulation_says(heading, network, part):
    """The first columns of docs/scaling.md, within a fifth; `python -m harness.report.scaling` prints them anew."""
    section = (DOCS / "scaling.md").read_text().split(f"### {heading}\n")[1].split("\n#")[0]
    shown = re.findall(rf"^\| {part} \| `(\w+)` \| ([^|]+) \| ([^|]+) \|", section, re.MULTILINE)

    assert len(scaling.COLLECTIVES) == len(shown)
    for name, *cells in shown:
        for world_size, cell in zip((2, 8), cells, strict=True):
            figure, unit = cell.strip(" *~").split()
            now = scaling.cell(name, world_size, scaling.PART_BYTES[part], network).seconds
            assert float(figure) * UNITS[unit] == pytest.approx(now, rel=0.2), (name, world_size)


def test_gathering_large_parts_doubles_with_the_fifth_rank():
    """The knee of `all_gather` for parts of 4 MB."""
    assert 5 == scaling.knee("all_gather", 4_000_000, ELASTICACHE)


@pytest.mark.parametrize("part", scaling.PART_BYTES)
def test_the_document_names_knees_and_takeovers(part):
    """Each row of the table in docs/scaling.md is the closed form's."""
    row = scaling.knee_row(part, ELASTICACHE)

    assert re.search(r"\| `all_gather` from 2, ", row)
    assert f"\n{row}\n" in (DOCS / "scaling.md").read_text()


def test_a_chart_names_its_lines_and_units(tmp_path):
    """Every collective, both axes and the numbers of workers are written."""
    cells = {
        ("116 B", name, size): scaling.AllReduceTime(1e-3 * size, simulated=size < 64)
        for name in scaling.COLLECTIVES
        for size in scaling.WORLD_SIZES
    }
    scaling.draw_chart(cells, "116 B", tmp_path / "chart.svg")

    drawing = (tmp_path / "chart.svg").read_text()
    assert all(f">{word}<" in drawing for word in (*scaling.COLLECTIVES, "workers", "1,000"))
    assert "time, ms" in drawing
