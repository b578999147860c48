"""A run's events as its summary lists them: the chain of functions that a long run is made of has one line per link.

handed_on of each rank, resumed of each rank   -->   handed_on: round, link, ranks
"""

from typing import Any

Entry = dict[str, Any]


def merged_links(events: list[Entry]) -> list[Entry]:
    """Merge the lines of all ranks about a link of the chain into one; keep everything else as it is.

    The first attempt of a link resumes from the checkpoint that the link before stored, which is no news. An attempt
    that follows a failed one resumes, too, and is kept.

    Args:
        events: What the workers logged, in order.
    """
    links: dict[int, Entry] = {}
    for event in events:
        if event["event"] == "handed_on":
            first = {"event": "handed_on", "round": event["round"], "link": event["link"], "ranks": 0}
            links.setdefault(event["link"], first)["ranks"] += 1
    ends, resumed, listed = {link["round"] for link in links.values()}, set(), set()
    merged: list[Entry] = []
    for event in events:
        if event["event"] == "handed_on":
            if event["link"] not in listed:
                merged.append(links[event["link"]])
            listed.add(event["link"])
        elif event["event"] == "resumed" and event["round"] in ends and (event["rank"], event["round"]) not in resumed:
            resumed.add((event["rank"], event["round"]))
        else:
            merged.append(event)
    return merged


def summed_up(events: list[Entry], most: int) -> list[Entry]:
    """Return events with one line for all links if they are more than a screen should show.

    Args:
        events: The events, one per link.
        most: How many links are listed one by one.
    """
    links = [event for event in events if event["event"] == "handed_on"]
    if len(links) <= most:
        return events
    note = f"{len(links) + 1} links, from round {links[0]['round']} to round {links[-1]['round']}"
    line = {"event": "handed_on", "times": len(links), "note": note}
    return [line, *(event for event in events if event["event"] != "handed_on")]
