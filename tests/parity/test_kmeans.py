"""K-means: scikit-learn's inertia from the same start, on any number of ranks, dense or sparse."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
import scipy.sparse
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs

from tests.support.ranks import exchange_of, on_all_ranks
from training.algorithm.expectation_maximisation import train
from training.data.shard import Shard
from training.errors import InputError
from training.exchange.channel.memory import MemoryChannel
from training.exchange.exchange import Exchange
from training.exchange.mailbox import Mailbox
from training.exchange.packing import pack_state, unpack_state
from training.job import Job
from training.model import kmeans
from training.model.kmeans import BLOCK_BYTES, LAST_RESORT, Points, arrival_times, nearest, predict, statistics
from training.run.telemetry import Telemetry

DIGITS = load_digits().data.astype(np.float32)
BLOBS = make_blobs(700, 5, centers=8, cluster_std=2.0, random_state=3)[0].astype(np.float32)
LIMITS = {"join_timeout_s": 20.0, "round_timeout_s": 20.0}
MODES = ["reduce", "all_gather", "reduce_scatter", "auto"]


def cluster(world_size, x, *, mode="reduce", valid_ratio=0.0, cuts=None, **job):
    """Clusters as `world_size` ranks would; returns the outcomes by rank.

    Rows are dealt round-robin, or cut into the pieces of `cuts`.
    """
    job = Job(
        data_bucket="bucket", n_features=x.shape[1], n_workers=world_size, host="h", model="kmeans", optim="em", **job
    )
    channel = MemoryChannel()

    def rank_main(rank):
        own = x[cuts[rank]] if cuts else x[rank::world_size]
        cut = own.shape[0] - int(valid_ratio * own.shape[0])
        classes = np.zeros(own.shape[0], np.int64)
        shard = Shard(own[:cut], classes[:cut], own[cut:], classes[cut:])
        exchange = exchange_of(channel, rank, world_size, mode)
        return train(job, shard, exchange, Telemetry("run", rank, 1, "request"))

    return on_all_ranks(world_size, rank_main)


def mean_inertia(x, centroids):
    """Mean squared distance to the nearest centroid, by brute force in float64."""
    differences = x[:, np.newaxis].astype(np.float64) - np.asarray(centroids, np.float64)
    return float(np.square(differences).sum(axis=2).min(axis=1).mean())


def reference(x, start, iterations):
    """scikit-learn's k-means from this start."""
    return KMeans(len(start), init=start, n_init=1, algorithm="lloyd", tol=0, max_iter=iterations).fit(x)


def by_the_book(x, centroids, iterations):
    """Lloyd's algorithm in a few lines of float64, for starts that leave no cluster empty."""
    for _ in range(iterations):
        classes = np.square(x[:, np.newaxis] - centroids).sum(axis=2).argmin(axis=1)
        centroids = np.array([x[classes == c].mean(axis=0) for c in range(len(centroids))])
    return centroids


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize(("x", "n_clusters"), [(DIGITS, 10), (BLOBS, 8)], ids=["digits", "blobs"])
def test_inertia_is_that_of_scikit_learn(x, n_clusters, world_size, mode):
    """From the first rows, to the end: the same inertia and as many rounds, on any number of ranks."""
    expected = reference(x, x[:n_clusters], 100)

    outcome = cluster(world_size, x, mode=mode, n_clusters=n_clusters, kmeans_init="first_rows", n_epochs=100)[0]

    assert expected.inertia_ / len(x) == pytest.approx(outcome.epochs[-1].loss, rel=1e-4)
    assert expected.n_iter_ == outcome.rounds


@pytest.mark.parametrize("world_size", [1, 3])
def test_cut_short_it_is_where_scikit_learn_is(world_size):
    """After a few rounds, before the centroids settle, they are those of scikit-learn after as many."""
    expected = reference(DIGITS, DIGITS[:10], 4).cluster_centers_

    outcome = cluster(world_size, DIGITS, n_clusters=10, kmeans_init="first_rows", n_epochs=4)[0]

    np.testing.assert_allclose(outcome.parameters.reshape(10, -1), expected, atol=1e-3)
    assert outcome.parameters.dtype == np.float32


def test_the_reported_loss_is_that_of_the_reported_centroids():
    """The last epoch's loss is the mean inertia of the centroids returned, on training and on validation rows."""
    (outcome,) = cluster(1, BLOBS, n_clusters=6, n_epochs=3, valid_ratio=0.2)

    centroids = outcome.parameters.reshape(6, -1)
    last = outcome.epochs[-1]
    assert mean_inertia(BLOBS[:560], centroids) == pytest.approx(last.loss, rel=1e-9)
    assert mean_inertia(BLOBS[560:], centroids) == pytest.approx(last.validation.loss, rel=1e-9)
    assert (None, None) == (last.accuracy, last.validation.accuracy)


def test_validation_counts_rows_not_ranks():
    """With partitions of different size the validation loss is that of all validation rows together."""
    cuts = [slice(0, 600), slice(600, 690), slice(690, 700)]
    outcome = cluster(3, BLOBS, cuts=cuts, n_clusters=6, n_epochs=3, valid_ratio=0.3)[0]

    held_out = np.concatenate([BLOBS[420:600], BLOBS[663:690], BLOBS[697:700]])
    expected = mean_inertia(held_out, outcome.parameters.reshape(6, -1))
    assert expected == pytest.approx(outcome.epochs[-1].validation.loss, rel=1e-9)


def test_without_validation_rows_there_is_no_validation_score():
    """An empty validation split is reported as none."""
    assert cluster(2, BLOBS, n_clusters=3)[0].epochs[-1].validation is None


@pytest.mark.parametrize("init", ["first_rows", "kmeans++"])
def test_sparse_rows_give_what_dense_ones_do(init):
    """CSR rows lead to the same start, the same rounds and the same centroids."""
    job = {"n_clusters": 10, "kmeans_init": init, "n_epochs": 5, "valid_ratio": 0.1}
    dense = cluster(2, DIGITS, **job)[0]

    sparse = cluster(2, scipy.sparse.csr_array(DIGITS), **job)[0]

    np.testing.assert_allclose(sparse.parameters, dense.parameters, atol=1e-5)
    assert dense.epochs[-1].loss == pytest.approx(sparse.epochs[-1].loss, rel=1e-9)
    assert dense.epochs[-1].validation.loss == pytest.approx(sparse.epochs[-1].validation.loss, rel=1e-9)


def test_wide_sparse_rows_are_never_dense(monkeypatch):
    """Rows as wide as RCV1's are clustered while only single rows are ever made dense."""
    x = scipy.sparse.random_array((400, 47_236), density=0.0016, format="csr", dtype=np.float32, rng=1)
    densified = []
    original = type(x).toarray

    def counted(matrix, *arguments, **options):
        densified.append(matrix.shape[0])
        return original(matrix, *arguments, **options)

    monkeypatch.setattr(type(x), "toarray", counted)
    first, last = cluster(2, x, n_clusters=4, n_epochs=2)[0].epochs

    assert 1 == max(densified)
    assert last.loss <= first.loss < np.square(x.data).sum() / 400


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("init", ["first_rows", "kmeans++"])
def test_every_rank_ends_with_the_same_bits(init, mode):
    """The invariant: centroids, rounds and figures are identical on all ranks."""
    outcomes = cluster(4, DIGITS, mode=mode, n_clusters=10, kmeans_init=init, n_epochs=30, valid_ratio=0.1)

    assert 1 == len({outcome.parameters.tobytes() for outcome in outcomes})
    assert 1 == len({tuple(epoch.loss for epoch in outcome.epochs) for outcome in outcomes})
    assert 1 == len({msgspec.json.encode(outcome.epochs[-1].validation) for outcome in outcomes})


@pytest.mark.parametrize("init", ["first_rows", "kmeans++"])
def test_the_number_of_workers_changes_nothing(init):
    """Rows dealt to 2, 3 or 5 ranks are clustered from the same start as on one rank, and to the same end."""
    job = {"n_clusters": 8, "kmeans_init": init, "n_epochs": 6, "seed": 11}
    (alone,) = cluster(1, BLOBS, **job)

    for world_size in (2, 3, 5):
        together = cluster(world_size, BLOBS, **job)[0]

        np.testing.assert_allclose(together.parameters, alone.parameters, rtol=1e-5)
        assert alone.rounds == together.rounds


def test_the_same_seed_repeats_a_run_bit_for_bit():
    """k-means++ is fixed by the seed, and another seed starts elsewhere."""
    first, again, other = (cluster(2, BLOBS, n_clusters=8, n_epochs=1, seed=seed)[0] for seed in (5, 5, 6))

    assert first.parameters.tobytes() == again.parameters.tobytes()
    assert first.parameters.tobytes() != other.parameters.tobytes()


def test_plus_plus_starts_well():
    """On blobs, most seeds of k-means++ end within 1.5 times scikit-learn's best of ten, and the best one at it."""
    best = KMeans(8, n_init=10, random_state=0).fit(BLOBS).inertia_ / len(BLOBS)

    losses = [cluster(2, BLOBS, n_clusters=8, n_epochs=50, seed=seed)[0].epochs[-1].loss for seed in range(5)]

    assert best == pytest.approx(min(losses), rel=0.01)
    assert np.median(losses) < 1.5 * best


@pytest.mark.parametrize("seed", range(5))
def test_plus_plus_takes_a_row_of_every_group(seed):
    """Groups far apart each get a centroid: rows are drawn by their distance to all centroids before them."""
    groups = np.arange(200) % 4
    x = np.random.default_rng(seed).normal(size=(200, 2)) + 10_000 * groups[:, np.newaxis]

    outcome = cluster(3, x.astype(np.float32), n_clusters=4, seed=seed, n_epochs=1)[0]

    assert [0, 1, 2, 3] == np.sort(predict(outcome.parameters, x[:4].astype(np.float32))).tolist()


def test_a_race_is_won_in_proportion_to_the_weights():
    """Over many streams each row wins as often as its share of the weights says; rows of weight 0 never do."""
    weights = np.array([0.0, 1.0, 2.0, 5.0])
    positions = np.arange(4, dtype=np.uint64)

    wins = np.bincount([arrival_times(weights, positions, s * 7_919 + 1).argmin() for s in range(4000)], minlength=4)

    np.testing.assert_allclose(wins / 4000, weights / weights.sum(), atol=0.03)
    assert 0 == wins[0]


def test_a_race_among_rows_without_weight_still_has_a_winner():
    """Where all rows are centroids already, each arrives at a time of its own."""
    times = arrival_times(np.zeros(50), np.arange(50, dtype=np.uint64), 2**63 - 1)

    assert np.isfinite(times).all()
    assert 50 == len(set(times * LAST_RESORT))


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_empty_clusters_move_to_the_farthest_rows(world_size):
    """Two clusters that start empty are both re-seeded in the first round, with the two rows that lie farthest."""
    x = np.array([[0.0], [0.0], [0.0], [1.0], [100.0], [1.0], [-90.0], [0.5]], np.float32)

    outcomes = cluster(world_size, x, n_clusters=3, kmeans_init="first_rows", n_epochs=1)

    centroids = outcomes[0].parameters
    assert {100.0, -90.0} == set(centroids[1:].tolist())
    assert x.mean() == pytest.approx(centroids[0])
    assert 1 == len({outcome.parameters.tobytes() for outcome in outcomes})


def test_reseeding_goes_on_until_no_cluster_is_empty():
    """From a start of identical rows every cluster of the data is found, and the loss never rises."""
    x = np.repeat(np.arange(5, dtype=np.float32) * 10, 20)[:, np.newaxis]

    outcome = cluster(3, x, n_clusters=5, kmeans_init="first_rows", n_epochs=30)[0]

    losses = [epoch.loss for epoch in outcome.epochs]
    assert [0, 10, 20, 30, 40] == sorted(outcome.parameters.tolist())
    assert 0 == losses[-1]
    assert all(later <= earlier for earlier, later in pairwise(losses))


def test_training_goes_on_after_a_move_of_an_empty_cluster_alone():
    """When the other centroids stand still, the rows that the moved one takes away are still to be counted."""
    x = np.array([[0.0], [0.0], [-3.0], [3.0]], np.float32)

    outcome = cluster(2, x, n_clusters=2, kmeans_init="first_rows", n_epochs=10)[0]

    assert [1, -3] == outcome.parameters.tolist()


def test_ties_for_the_farthest_row_go_to_the_lowest_rank():
    """Of rows equally far away, ranks agree on the first of the lowest rank."""
    shards = [[[0.0, 0], [0, 0], [0, 7]], [[7, 0], [0, 0], [0, -7]]]
    x = np.array(shards, np.float32).reshape(-1, 2)

    cuts = [slice(0, 3), slice(3, 6)]
    outcomes = cluster(2, x, cuts=cuts, n_clusters=3, kmeans_init="first_rows", n_epochs=1)

    # The start is rows (0, 0), (7, 0) and (0, 0); of the rows left, (0, 7) lies on rank 0 and (0, -7) on rank 1.
    for outcome in outcomes:
        assert [0, 7] == outcome.parameters.reshape(3, 2)[2].tolist()


def test_fewer_distinct_rows_than_clusters_end_at_once():
    """With nothing left to re-seed from, spare centroids stay where they are and training settles."""
    x = np.array([[1.0, 2.0]] * 6 + [[3.0, 4.0]] * 6, np.float32)

    for init in ("first_rows", "kmeans++"):
        outcome = cluster(2, x, cuts=[slice(0, 1), slice(1, 12)], n_clusters=5, kmeans_init=init, n_epochs=50)[0]

        assert 0 == outcome.epochs[-1].loss
        assert outcome.rounds < 5
        assert {(1.0, 2.0), (3.0, 4.0)} == set(map(tuple, outcome.parameters.reshape(5, 2).tolist()))


@pytest.mark.parametrize("world_size", [1, 3])
def test_more_clusters_than_rows_are_refused(world_size):
    """The error names the clusters and the training rows of all ranks."""
    with pytest.raises(InputError, match="n_clusters is 8, but there are only 7 training rows on all ranks"):
        cluster(world_size, BLOBS[:7], n_clusters=8)


@pytest.mark.parametrize("init", ["first_rows", "kmeans++"])
def test_a_rank_may_have_fewer_rows_than_clusters(init):
    """Partitions of 1, 2 and 697 rows are clustered together; every one of as many clusters as rows is a row."""
    cuts = [slice(0, 1), slice(1, 3), slice(3, 700)]
    outcomes = cluster(3, BLOBS, cuts=cuts, n_clusters=8, kmeans_init=init, n_epochs=20)
    assert 1 == len({outcome.parameters.tobytes() for outcome in outcomes})

    each_its_own = cluster(3, BLOBS[:7], n_clusters=7, kmeans_init=init)[0]
    assert 0 == each_its_own.epochs[-1].loss


def test_first_rows_are_those_of_the_global_order():
    """The start is the first rows dealt, whichever ranks hold them, also when their number is uneven."""
    x = np.arange(0, 70, 10, dtype=np.float32)[:, np.newaxis]
    for world_size in (1, 2, 3, 4):
        # Of centroids 0, 10, 20, 30, only the last draws rows after it: 30, 40, 50, 60.
        outcome = cluster(world_size, x, n_clusters=4, kmeans_init="first_rows", n_epochs=1)[0]

        assert [0, 10, 20, 45] == outcome.parameters.tolist()


@pytest.mark.parametrize("world_size", [1, 2])
def test_one_feature(world_size):
    """Two groups on a line are told apart."""
    x = np.array([[1.0], [11.0], [2.0], [12.0], [3.0], [13.0]], np.float32)

    outcome = cluster(world_size, x, n_clusters=2, n_epochs=10)[0]

    assert [2, 12] == sorted(outcome.parameters.tolist())


@pytest.mark.parametrize("init", ["first_rows", "kmeans++"])
def test_one_row(init):
    """A single row is its own centroid."""
    (outcome,) = cluster(1, BLOBS[:1], n_clusters=1, kmeans_init=init, n_epochs=10)

    assert 1 == outcome.rounds
    assert 0 == outcome.epochs[-1].loss
    np.testing.assert_array_equal(outcome.parameters, BLOBS[0])


def test_training_ends_when_the_loss_is_low_enough():
    """`loss_threshold` is a mean inertia: all ranks stop after the first epoch at or below it."""
    job = {"n_clusters": 10, "kmeans_init": "first_rows", "n_epochs": 5}
    losses = [epoch.loss for epoch in cluster(1, DIGITS, **job)[0].epochs]

    outcomes = cluster(3, DIGITS, loss_threshold=losses[2] + 1e-3, **job)

    assert [3, 3, 3] == [outcome.rounds for outcome in outcomes]


def test_training_ends_when_the_centroids_settle():
    """Another round would change nothing: the run ends early, and its end is a fixed point."""
    (outcome,) = cluster(1, BLOBS, n_clusters=8, n_epochs=100)

    centroids = outcome.parameters.reshape(8, -1)
    assert outcome.rounds < 100
    np.testing.assert_allclose(by_the_book(BLOBS.astype(np.float64), centroids, 1), centroids, rtol=1e-5)


def test_rows_far_from_the_origin_are_told_apart():
    """Blobs moved by 10,000 have the clusters and the inertia they had: the three terms cancel without harm."""
    x = np.round(BLOBS * 64) / 64  # exact in float32 at either place
    job = {"n_clusters": 8, "kmeans_init": "first_rows", "n_epochs": 100}
    near, far = cluster(1, x, **job)[0], cluster(2, x + np.float32(10_000), **job)[0]

    assert near.epochs[-1].loss == pytest.approx(far.epochs[-1].loss, rel=1e-4)
    np.testing.assert_array_equal(predict(near.parameters, x), predict(far.parameters, x + np.float32(10_000)))


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csr_matrix])
def test_prediction_is_the_nearest_centroid(kind):
    """Each row gets the class that brute force finds, dense or sparse."""
    centroids = DIGITS[:10]
    expected = np.square(DIGITS[:, np.newaxis] - centroids).sum(axis=2).argmin(axis=1)

    np.testing.assert_array_equal(predict(centroids.ravel(), kind(DIGITS)), expected)


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array])
def test_blocks_do_not_show(kind, monkeypatch):
    """Rows taken a few at a time give the statistics of all at once."""
    whole = statistics(Points.of(kind(DIGITS)), DIGITS[:10])
    monkeypatch.setattr(kmeans, "BLOCK_BYTES", BLOCK_BYTES // 100)

    pieces = statistics(Points.of(kind(DIGITS)), DIGITS[:10])

    np.testing.assert_array_equal(pieces.counts, whole.counts)
    np.testing.assert_allclose(pieces.sums, whole.sums, rtol=1e-12)
    np.testing.assert_allclose(pieces.distances, whole.distances, rtol=1e-9)


def test_a_row_on_a_centroid_has_no_distance():
    """What cancellation leaves is zero, not a small or negative number, dense or sparse."""
    x = np.random.default_rng(0).normal(1000, 1, size=(200, 300)).astype(np.float32)

    for rows in (x, scipy.sparse.csr_array(x)):
        found = nearest(Points.of(rows), x)

        np.testing.assert_array_equal(found.distances, np.zeros(200))


def test_rows_without_values_are_rows():
    """An all-zero sparse row has a nearest centroid and counts."""
    x = scipy.sparse.csr_array(np.array([[0, 0], [3, 4], [0, 0]], np.float32))
    found = statistics(Points.of(x), np.array([[1, 0], [3, 3]], np.float32))

    assert [1, 1, 1] == found.distances.tolist()
    assert [2, 1] == found.counts.tolist()
    assert [[0, 0], [3, 4]] == found.sums.tolist()


def test_one_start_is_what_it_always_was():
    """`n_init` of 1 is the default and changes no bit."""
    default, one = (cluster(2, BLOBS, n_clusters=8, n_epochs=20, **job)[0] for job in ({}, {"n_init": 1}))

    assert default.parameters.tobytes() == one.parameters.tobytes()


@pytest.mark.parametrize("world_size", [1, 3])
def test_the_best_of_several_starts_counts(world_size):
    """Several starts end where the best of them ends, which is about where scikit-learn's best of ten is."""
    job = {"n_clusters": 8, "n_epochs": 100, "seed": 1}
    losses = [cluster(world_size, BLOBS, n_init=n_init, **job)[0].epochs[-1].loss for n_init in (1, 3, 6)]
    best = KMeans(8, n_init=10, random_state=0).fit(BLOBS).inertia_ / len(BLOBS)

    assert losses == sorted(losses, reverse=True)
    assert losses[2] < losses[0]
    assert best == pytest.approx(losses[2], rel=0.01)


def test_the_reports_are_those_of_the_best_start():
    """Epochs, their start and the parameters belong together; rounds count all starts."""
    outcomes = cluster(3, BLOBS, n_clusters=8, n_epochs=30, n_init=4, seed=1, valid_ratio=0.1)
    outcome = outcomes[0]
    losses = [epoch.loss for epoch in outcome.epochs]

    assert 1 == len({other.parameters.tobytes() for other in outcomes})
    assert list(range(1, len(losses) + 1)) == [epoch.epoch for epoch in outcome.epochs]
    assert 1 == len({epoch.details["start"] for epoch in outcome.epochs})
    assert losses == sorted(losses, reverse=True)
    assert outcome.rounds > len(losses)
    training = np.concatenate([BLOBS[rank::3][: 234 - (rank > 0) - 23] for rank in range(3)])
    assert mean_inertia(training, outcome.parameters.reshape(8, -1)) == pytest.approx(losses[-1], rel=1e-9)


def test_the_number_of_workers_changes_nothing_for_several_starts():
    """Every start takes the same rows on any number of ranks."""
    job = {"n_clusters": 8, "n_epochs": 6, "seed": 11, "n_init": 3}
    (alone,) = cluster(1, BLOBS, **job)

    together = cluster(3, BLOBS, **job)[0]

    np.testing.assert_allclose(together.parameters, alone.parameters, rtol=1e-5)
    assert alone.rounds == together.rounds


def test_a_loss_that_is_good_enough_ends_all_starts():
    """The first start that reaches the threshold is the result."""
    job = {"n_clusters": 8, "n_epochs": 30, "seed": 1}
    first = cluster(2, BLOBS, **job)[0]

    outcome = cluster(2, BLOBS, n_init=5, loss_threshold=first.epochs[2].loss, **job)[0]

    assert 3 == outcome.rounds


@pytest.mark.parametrize("n_init", [1, 2])
def test_rounds_that_ran_out_are_warned_of(n_init):
    """Centroids that still move are said to; those that settled are not."""
    short = cluster(2, BLOBS, n_clusters=8, n_epochs=2, n_init=n_init)[0]
    enough = cluster(2, BLOBS, n_clusters=8, n_epochs=200, n_init=n_init)[0]

    assert ["rounds_ran_out"] == [warning.code for warning in short.warnings]
    assert "raise n_epochs (now 2)" in short.warnings[0].message
    assert [] == enough.warnings


@pytest.mark.parametrize("init", ["first_rows", "kmeans++"])
def test_more_clusters_than_different_rows_are_warned_of(init):
    """Clusters that no row can fill are named with the number that rows can fill."""
    x = np.repeat(BLOBS[:7], 20, axis=0)[np.random.default_rng(0).permutation(140)]

    outcomes = cluster(3, x, n_clusters=10, kmeans_init=init, n_epochs=50)
    fitting = cluster(3, x, n_clusters=7, kmeans_init="kmeans++", n_epochs=50)[0]

    assert all(["more_clusters_than_rows"] == [w.code for w in outcome.warnings] for outcome in outcomes)
    assert "n_clusters is 10, and only 7 training rows differ" in outcomes[0].warnings[0].message
    assert [] == fitting.warnings


@pytest.mark.parametrize("n_init", [1, 3])
def test_the_time_limit_knows_starts_and_peers_the_last_round(n_init):
    """A start takes longer than other rounds: its time is known before the second one, in the next link too."""
    event = {"data_bucket": "b", "n_features": 5, "n_workers": 1, "host": "h", "model": "kmeans", "optim": "em"}
    job = Job(**event, n_clusters=6, n_epochs=7, n_init=n_init)
    nothing = np.zeros(len(BLOBS), np.int64)
    shard, seen = Shard(BLOBS, nothing, BLOBS[:0], nothing[:0]), []

    class Watched(Exchange):
        begun_from = None

        def expect_rounds(self, most):
            seen.append(most)

        def resume(self, kind, initial):
            state = unpack_state(kind, self.begun_from, "a state") if self.begun_from else super().resume(kind, initial)
            seen.append(state)
            return state

        def begin_round(self, number, state=None, private=None):
            seen.append(self.telemetry.longest_round_s)
            super().begin_round(number, state, private)

    def watched(begun_from=None):
        seen.clear()
        exchange = Watched(Mailbox(MemoryChannel(), run_id="run", rank=0, world_size=1), "reduce", **LIMITS)
        exchange.telemetry, exchange.begun_from = Telemetry("run", 0, 1, "request"), begun_from
        train(job, shard, exchange, exchange.telemetry)
        return seen[:3]

    rounds, state, longest_s = watched()

    assert n_init * 8 - 1 == rounds
    assert state.start_s > 0
    assert longest_s == (state.start_s if n_init > 1 else 0)
    assert [rounds, longest_s] == watched(pack_state(state))[::2]


def test_any_rounds_state_leads_to_the_same_end():
    """A rank that goes on from the bytes of another's state, in whichever start, ends with the same bits."""
    event = {"data_bucket": "b", "n_features": 5, "n_workers": 1, "host": "h", "model": "kmeans", "optim": "em"}
    job = Job(**event, n_clusters=6, n_epochs=7, n_init=3)
    nothing = np.zeros(len(BLOBS), np.int64)
    shard, states = Shard(BLOBS, nothing, BLOBS[:0], nothing[:0]), []

    class Recorded(Exchange):
        def begin_round(self, number, state=None, private=None):
            if state is not None:
                states.append(pack_state(state))
            super().begin_round(number, state, private)

    class Resumed(Exchange):
        def resume(self, kind, initial):  # noqa: ARG002 - as of Exchange
            return unpack_state(kind, states[self.goes_on_from], "a state")

    def trained(kind, **attributes):
        exchange = kind(Mailbox(MemoryChannel(), run_id="run", rank=0, world_size=1), "reduce", **LIMITS)
        vars(exchange).update(attributes)
        return train(job, shard, exchange, Telemetry("run", 0, 1, "request"))

    whole = trained(Recorded)

    assert len(states) > 2 * 2
    for number in range(len(states)):
        rest = trained(Resumed, goes_on_from=number)
        assert whole.parameters.tobytes() == rest.parameters.tobytes()
        assert [epoch.loss for epoch in whole.epochs] == [epoch.loss for epoch in rest.epochs]
        assert whole.rounds == rest.rounds
