"""The events of a summary: a long run's chain has a line per link."""

from harness.runs.run_events import merged_links, summed_up


def chain(n_links, n_ranks=3, every=100):
    """What the ranks of a chain log."""
    events = []
    for link in range(2, n_links + 1):
        place = {"round": (link - 1) * every}
        events += [{"event": "handed_on", "rank": rank, "link": link, **place} for rank in range(n_ranks)]
        events += [{"event": "resumed", "rank": rank, "attempt": link, **place} for rank in range(n_ranks)]
    return events


def test_a_link_has_one_line():
    """All ranks hand over, and all resume from the checkpoint: that is one thing that happened."""
    merged = merged_links(chain(100))

    assert len(merged) == 99
    assert merged[0] == {"event": "handed_on", "round": 100, "link": 2, "ranks": 3}


def test_a_rank_that_is_quicker_than_the_log_has_no_line():
    """The lines of different ranks come in any order."""
    handed, resumed = chain(2, 1)

    assert merged_links([resumed, handed]) == merged_links([handed, resumed])


def test_a_retry_within_a_link_is_kept():
    """A rank that died and resumed once more is news; so is everything else."""
    died, again = {"event": "died", "rank": 1}, {"event": "resumed", "rank": 1, "attempt": 3, "round": 100}

    assert merged_links([*chain(2), died, again])[1:] == [died, again]


def test_without_a_chain_nothing_changes():
    """A run that resumes from a checkpoint after all ranks died says so."""
    events = [{"event": "resumed", "rank": 0, "round": 7}, {"event": "recovered", "rank": 1}]

    assert merged_links(events) == events


def test_a_screen_shows_a_long_chain_in_one_line():
    """The summary in JSON has all links."""
    events = [*merged_links(chain(100)), {"event": "died", "rank": 1}]

    line, died = summed_up(events, 8)

    assert line["times"] == 99
    assert line["note"] == "100 links, from round 100 to round 9900"
    assert died["event"] == "died"
    assert summed_up(events, 99) == events
