"""A cache of several nodes, which are lost and replaced under their clients: real memcacheds, and a real endpoint."""

import socketserver
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from pymemcache.client.base import Client

from harness.network import configuration
from tests.support.caches import Cluster
from tests.support.ranks import on_all_ranks
from training.errors import ChannelError
from training.exchange.channel.memcached import MemcachedChannel
from training.exchange.exchange import Exchange
from training.exchange.mailbox import Mailbox
from training.exchange.recovery.recovery import Recovery

RANKS, ROUNDS = 3, 400
LOST = {
    "comes back empty": lambda cluster: (cluster.caches[1].kill(), cluster.caches[1].start()),
    "is replaced": lambda cluster: cluster.replace(1),
    "is gone for good": lambda cluster: cluster.remove(1),
    "is followed by the next": lambda cluster: (cluster.replace(0), cluster.replace(2)),
}


@pytest.fixture
def cluster():
    """Three nodes."""
    cluster = Cluster(3)
    yield cluster
    cluster.close()


@pytest.fixture
def channel(cluster):
    """A client of theirs."""
    with closing(connected(cluster)) as channel:
        yield channel


def connected(cluster):
    """A client of a cluster."""
    return MemcachedChannel("127.0.0.1", cluster.port, 1.0)


def many():
    """Values under a hundred keys."""
    run = uuid.uuid4().hex
    return {f"{run}/{number}/0/1": str(number).encode() for number in range(100)}


def count_on(cache):
    """How many values a node holds."""
    with closing(Client(("127.0.0.1", cache.port))) as client:
        return client.stats()[b"curr_items"]


def stored(channel, values):
    """Stores values as the recovery layer does: what failed is stored again."""
    for _ in range(20):
        try:
            channel.put_many(values)
        except ChannelError:
            continue
        return
    raise AssertionError("the values cannot be stored")


def test_keys_are_spread_over_all_nodes(cluster, channel):
    """Each node holds some of a hundred values, and each is read back."""
    values = many()

    channel.put_many(values)

    assert values == channel.get_many(list(values))
    counts = [count_on(cache) for cache in cluster.caches]
    assert sum(counts) == 100
    assert min(counts) > 15


def test_a_replaced_node_is_found_after_the_first_failure(cluster, channel):
    """One request fails and names the lost node; the endpoint was asked again by then."""
    values, lost = many(), cluster.caches[1].port
    channel.put_many(values)
    cluster.replace(1)

    with pytest.raises(ChannelError, match=f"127.0.0.1:{lost}"):
        channel.put_many(values)
    channel.put_many(values)

    assert values == channel.get_many(list(values))
    assert count_on(cluster.caches[1]) > 15


def test_keys_of_nodes_that_stay_stay_where_they_are(cluster, channel):
    """Only what the lost node held has to be stored again."""
    values = many()
    channel.put_many(values)
    held = [count_on(cluster.caches[index]) for index in (0, 2)]
    cluster.remove(1)

    channel.refresh()

    assert sum(held) == len(channel.get_many(list(values)))


def test_an_older_list_is_not_followed(cluster, channel):
    """The version decides which list is newer: two of an endpoint's nodes may answer differently for a moment."""
    values = many()
    cluster.replace(1)
    channel.refresh()
    channel.put_many(values)
    cluster.list_as(1, cluster.caches[0])

    channel.refresh()

    assert values == channel.get_many(list(values))


def test_an_endpoint_that_answers_nonsense_changes_nothing(channel, cluster):
    """The nodes that are known are used on."""
    values = many()
    channel.put_many(values)
    cluster.list_as("no number")

    channel.refresh()

    assert values == channel.get_many(list(values))


def test_ranks_that_learn_of_a_node_at_different_times_meet(cluster):
    """One has the old list and one the new one, until both have asked."""
    values = many()
    with closing(connected(cluster)) as early, closing(connected(cluster)) as late:
        cluster.add()
        early.refresh()
        early.put_many(values)
        assert len(late.get_many(list(values))) < 100

        late.refresh()

        assert values == late.get_many(list(values))


def test_what_waits_to_be_deleted_goes_with_its_node(cluster, channel):
    """A delete for a node that is gone is dropped; the others happen."""
    values = many()
    channel.put_many(values)
    channel.delete_many(list(values))
    cluster.replace(1)

    channel.refresh()

    assert {} == channel.get_many(list(values))


def train(channel, rank, rounds, run_id, at_round=lambda _number: None):
    """What a rank gets in all rounds."""
    with closing(channel):
        mailbox = Mailbox(channel, run_id=run_id, rank=rank, world_size=RANKS)
        recovery = Recovery(mailbox, token=f"{rank}.1")
        exchange = Exchange(mailbox, "reduce", join_timeout_s=30, round_timeout_s=30, recovery=recovery)
        exchange.start()
        values = np.float32([rank, 1, 0.1])
        for number in range(1, rounds + 1):
            exchange.begin_round(number)
            values = exchange.all_reduce(np.sin(values + rank), 1).values
            at_round(number)
        exchange.finish(rounds, None)
        return values.tolist()


def rounds_on(cluster, meanwhile):
    """What all ranks get in all rounds, while something happens to the cluster.

    Rank 0 stays between two rounds until it has happened.
    """
    under_way, happened, run_id = threading.Event(), threading.Event(), uuid.uuid4().hex

    def stay(number):
        if number == ROUNDS // 4:
            under_way.set()
            happened.wait(30)

    def rank_main(rank):
        return train(connected(cluster), rank, ROUNDS, run_id, *([stay] if rank == 0 else []))

    # A process dies with the thread that started it, so nodes start in this one.
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(on_all_ranks, RANKS, rank_main)
        under_way.wait(30)
        try:
            meanwhile(cluster)
        finally:
            happened.set()
        return answers.result()


@pytest.mark.parametrize("what", LOST)
def test_all_ranks_have_the_same_bits_when_a_node(what, cluster):
    """Ranks ask again when a node fails, and store again what it held."""
    undisturbed = rounds_on(cluster, lambda _cluster: None)

    assert undisturbed == rounds_on(cluster, LOST[what])


def test_ranks_meet_though_nodes_were_added_while_they_joined(cluster):
    """No node fails: those that came first look again because they wait long for the one that came last."""
    runs = uuid.uuid4().hex, uuid.uuid4().hex
    undisturbed = on_all_ranks(RANKS, lambda rank: train(connected(cluster), rank, 5, runs[0]))
    channels = [connected(cluster) for _ in range(RANKS - 1)]
    for _ in range(6):  # so many that some keys move
        cluster.add()
    channels.append(connected(cluster))

    assert undisturbed == on_all_ranks(RANKS, lambda rank: train(channels[rank], rank, 5, runs[1]))


class CountedEndpoint(socketserver.ThreadingTCPServer):
    """An endpoint that counts its connections, and ends each after so many answers."""

    daemon_threads = True

    def __init__(self, cluster, most_answers):
        self.listed, self.most_answers, self.connections = cluster.listed, most_answers, 0
        super().__init__(("127.0.0.1", 0), CountedConnection)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class CountedConnection(socketserver.StreamRequestHandler):
    """One of its connections."""

    def handle(self):
        """Answers."""
        self.server.connections += 1
        for _ in range(self.server.most_answers):
            if self.rfile.readline():
                self.wfile.write(configuration(self.server.listed))


@pytest.mark.parametrize(("most_answers", "connections"), [(99, 2), (1, 6)], ids=["one connection", "ended each time"])
def test_an_endpoint_is_asked_over_one_connection_as_long_as_that_lasts(cluster, most_answers, connections):
    """A rank asks it every second: a connection, and a name to look up, for each question are too many."""
    with CountedEndpoint(cluster, most_answers) as endpoint:
        with closing(MemcachedChannel("127.0.0.1", endpoint.server_address[1], 1.0)) as channel:
            for _ in range(4):
                channel.refresh()
            cluster.replace(1)
            channel.refresh()
            values = many()
            channel.put_many(values)

            assert values == channel.get_many(list(values))
        assert connections == endpoint.connections


def test_an_endpoint_that_does_not_answer_holds_no_heartbeat_up(cluster):
    """A rank asks it between two heartbeats; if it waited as long as for a value, its peers would take it for dead."""
    with closing(MemcachedChannel("127.0.0.1", cluster.port, 30.0)) as channel, cluster.silent():
        asking = threading.Thread(target=channel.refresh, daemon=True)
        asking.start()
        asking.join(10.0)

        assert not asking.is_alive()
