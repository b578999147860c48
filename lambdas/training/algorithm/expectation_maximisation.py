"""Expectation maximisation for k-means (Lloyd's algorithm): one all-reduce of sums, counts and inertia per round.

    centroid of a cluster <- (sum of its rows on all ranks) / (their count)

Invariant: after every round the centroids of all ranks are identical, bit for bit.
Each is computed from all-reduced values alone, by operations that every processor rounds alike: element by element.
Sums and products of matrices are not such, so what follows from them (to stop, which row to take) is all-reduced too.

    round 0     joining; the first start; statistics of the start
    round k     centroids from the last statistics; rows for clusters that are empty; statistics of the centroids
                or, once these have settled or had their rounds: the next start; statistics of the start

Of several starts (`n_init`) the one that ends with the least inertia counts, the first of equal ones.

Rows stand in a global order: row i of rank r is at i * n + r, as rows were dealt.
Without validation rows the order of n ranks is that of one, and so are both starts, chance included;
the results differ by the rounding of sums alone.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from training.algorithm.epochs import Advice, EpochReport, Outcome, Score, State, good_enough
from training.data.shard import Shard
from training.errors import InputError
from training.exchange.exchange import Exchange
from training.job import Job
from training.model.base import Parameters
from training.model.kmeans import Float64, Points, arrival_times, nearest, statistics
from training.run.telemetry import Telemetry

# Training ends after a round whose new centroids lower the inertia of the old clusters by no more than this share.
# Where no row changes its cluster, sums repeat bit for bit, and the centroids do not move at all.
SETTLED = 1e-12
# Above the squared distance of any two rows of float32.
EQUALLY_FAR = 1e300


class Totals(NamedTuple):
    """What the rows of all ranks say about centroids, and this rank's share that is needed again.

    Attributes:
        sums: Sum of every cluster's training rows (clusters, features).
        counts: Training rows of every cluster (clusters,).
        inertia: Sum of squared distances of training rows to their centroids.
        loss: The same per training row.
        validation: Mean over the validation rows; None when there are none.
        settled: Whether all ranks found that the last move was of no use.
        distances: Squared distances of this rank's training rows (rows,).
    """

    sums: Float64
    counts: Float64
    inertia: float
    loss: float
    validation: Score | None
    settled: bool
    distances: Float64

    def clustering(
        self,
        centroids: Parameters,
        round_number: int,
        epochs: list[EpochReport],
        start: int,
        start_s: float,
        best: "Clustering | None",
    ) -> "Clustering":
        """Return the state after these centroids."""
        return Clustering(
            round=round_number,
            parameters=centroids,
            epochs=epochs,
            sums=self.sums,
            counts=self.counts,
            inertia=self.inertia,
            settled=self.settled,
            start=start,
            start_s=start_s,
            best=best,
        )


class Clustering(State, frozen=True, kw_only=True):
    """Adds what the rows of all ranks said about the centroids, see `Totals`, and how far the starts are.

    Attributes:
        sums: See `Totals`.
        counts: See `Totals`.
        inertia: See `Totals`.
        settled: See `Totals`.
        start: Which start these centroids come from, from 0.
        start_s: How long the last start took on a rank, seconds, the wait for others to join left out.
        start_over: Whether nothing is left to do for them: the next round begins with the next start.
        best: Where the best of the earlier starts ended.
    """

    sums: Float64
    counts: Float64
    inertia: float
    settled: bool
    start: int = 0
    start_s: float = 0.0
    start_over: bool = False
    best: "Clustering | None" = None


def train(job: Job, shard: Shard, exchange: Exchange, telemetry: Telemetry) -> Outcome:
    """Clusters the rows of all ranks; every rank returns the same centroids, bit for bit.

    An epoch is a round: one pass over the rows.
    A start ends before `n_epochs` when its centroids have settled; then the next one of `n_init` has its turn.

    Raises:
        InputError: There are more clusters than training rows on all ranks; all ranks see it in round 0.
        ExchangeError: A peer, the channel or the run failed.
        Rejoin: This rank goes on from another's state.
    """
    points, valid_points = Points.of(shard.x), Points.of(shard.valid_x)
    rounds = job.n_init * (job.n_epochs + 1) - 1

    def begin(start: int, round_number: int, best: Clustering | None) -> Clustering:
        counts = _rows_of_all(job, points, exchange)
        started = time.perf_counter()
        centroids = _start(job, start, counts, points, exchange)
        totals = _totals(centroids, points, valid_points, exchange, settled=False)
        return totals.clustering(centroids, round_number, [], start, time.perf_counter() - started, best)

    exchange.expect_rounds(rounds)
    state = exchange.resume(Clustering, lambda: begin(0, 0, None))
    # The next start is a round too, and may take far longer than the others: the time limit has to leave room for it.
    telemetry.expect_round(state.start_s if job.n_init > 1 else 0.0)
    # What a rank knows of its own rows follows from the centroids.
    distances = statistics(points, state.parameters)[2]
    while not state.finished:
        number = state.round + 1
        started = time.perf_counter()
        exchange.begin_round(number, state)
        if state.start_over:
            state = begin(state.start + 1, number, state.best)
            distances = statistics(points, state.parameters)[2]
            telemetry.round_done(number, rounds, state.inertia / float(state.counts.sum()), points.shape[0], started)
        else:
            centroids = _update(state, distances, points, exchange)
            settled = _inertia_saved(centroids, state) <= SETTLED * state.inertia
            totals = _totals(centroids, points, valid_points, exchange, settled=settled)
            distances = totals.distances
            telemetry.round_done(number, rounds, totals.loss, points.shape[0], started)
            report = EpochReport(
                epoch=len(state.epochs) + 1,
                rounds=number,
                seconds=time.perf_counter() - started,
                loss=totals.loss,
                accuracy=None,
                validation=totals.validation,
                details={"start": state.start} if job.n_init > 1 else {},
            )
            telemetry.epoch_done(report)
            epochs = [*state.epochs, report]
            state = _ended(job, totals.clustering(centroids, number, epochs, state.start, state.start_s, state.best))
        exchange.end_round(state)
    return Outcome(state, warnings=_advise(job, state))


def _ended(job: Job, state: Clustering) -> Clustering:
    """Return the state; where its start has ended, the next one is due, or the best one is the result."""
    enough = good_enough(job, state.epochs[-1])
    if not (state.settled or enough or len(state.epochs) == job.n_epochs):
        return state
    best = state if enough or state.best is None or state.inertia < state.best.inertia else state.best
    best = msgspec.structs.replace(best, best=None)
    if enough or state.start == job.n_init - 1:
        return msgspec.structs.replace(best, round=state.round, finished=True)
    return msgspec.structs.replace(state, start_over=True, best=best)


def _advise(job: Job, state: Clustering) -> list[Advice]:
    """Return what the user should change; all ranks see the same."""
    filled = int(np.count_nonzero(state.counts))
    if filled < job.n_clusters and state.inertia == 0:
        message = f"n_clusters is {job.n_clusters}, and only {filled} training rows differ: lower n_clusters"
        return [Advice("more_clusters_than_rows", message)]
    if not state.settled and len(state.epochs) == job.n_epochs and not good_enough(job, state.epochs[-1]):
        message = f"the centroids still moved in the last of {job.n_epochs} rounds: raise n_epochs (now {job.n_epochs})"
        return [Advice("rounds_ran_out", message)]
    return []


def _totals(
    centroids: Parameters, points: Points, valid_points: Points, exchange: Exchange, *, settled: bool
) -> Totals:
    """Statistics of these centroids, and votes to end here, over all ranks in one all-reduce of float64 values."""
    sums, counts, distances = statistics(points, centroids)
    valid = nearest(valid_points, centroids).distances
    part = np.concatenate((sums.ravel(), counts, [distances.sum(), valid.sum(), len(valid), settled]))
    values = exchange.all_reduce_update(part, len(distances)).values
    all_sums, all_counts, figures = np.split(values, [sums.size, sums.size + counts.size])
    inertia, valid_inertia, valid_rows, votes = figures.tolist()
    return Totals(
        all_sums.reshape(sums.shape),
        all_counts,
        inertia,
        inertia / float(all_counts.sum()),
        Score(valid_inertia / valid_rows, accuracy=None) if valid_rows else None,
        votes == exchange.world_size,
        distances,
    )


def _update(state: Clustering, distances: Float64, points: Points, exchange: Exchange) -> Parameters:
    """The mean of every cluster; empty ones move to the rows farthest from their centroids."""
    filled = state.counts > 0
    moved = state.parameters.copy()
    moved[filled] = state.sums[filled] / state.counts[filled, np.newaxis]
    empty = np.flatnonzero(~filled)
    if empty.size:
        rows = _farthest_rows(len(empty), distances, points, exchange)
        moved[empty[: len(rows)]] = rows
    return moved


def _inertia_saved(moved: Parameters, state: Clustering) -> float:
    """By how much the move lowers the inertia of the clusters as they are: count times squared shift, summed.

    An empty cluster counts as one row, so that training goes on after it has moved.
    """
    shifts = np.square(moved.astype(np.float64) - state.parameters).sum(axis=1)
    return float(np.maximum(state.counts, 1) @ shifts)


def _farthest_rows(count: int, distances: Float64, points: Points, exchange: Exchange) -> Parameters:
    """The rows of all ranks that are farthest from their centroids, at most `count`; none that is on its centroid.

    Ties go to the lowest rank, then to its first row. Two all-reduces.
    """
    own = np.argsort(-distances, kind="stable")[:count]
    offers = np.zeros((exchange.world_size, count))
    offers[exchange.rank, : len(own)] = distances[own]
    all_offers = exchange.all_reduce(offers.ravel(), len(own)).values
    winners = np.argsort(-all_offers, kind="stable")[:count]
    winners = winners[all_offers[winners] > 0]
    ranks, offered = np.divmod(winners, count)
    mine = {place: int(own[offered[place]]) for place in np.flatnonzero(ranks == exchange.rank).tolist()}
    return _shared_rows(mine, len(winners), points, exchange)


def _shared_rows(mine: Mapping[int, int], count: int, points: Points, exchange: Exchange) -> Parameters:
    """Rows that ranks pick for all: this rank's by their places among the `count` that all ranks pick together."""
    rows = np.zeros((count, points.shape[1]), np.float32)
    for place, row in mine.items():
        rows[place] = points.row(row)
    return exchange.all_reduce(rows.ravel(), len(mine)).values.reshape(rows.shape) if count else rows


def _rows_of_all(job: Job, points: Points, exchange: Exchange) -> Float64:
    """Return the training rows of each rank."""
    counts = np.zeros(exchange.world_size)
    counts[exchange.rank] = points.shape[0]
    counts = exchange.all_reduce(counts, points.shape[0]).values
    if job.n_clusters > counts.sum():
        raise InputError(
            f"n_clusters is {job.n_clusters}, but there are only {counts.sum():.0f} training rows on all ranks"
        )
    return counts


def _start(job: Job, number: int, counts: Float64, points: Points, exchange: Exchange) -> Parameters:
    """Return the centroids of a start, counted from 0."""
    if job.kmeans_init == "first_rows":
        return _first_rows(job, counts, points, exchange)
    return _plus_plus(job, number, points, exchange)


def _first_rows(job: Job, counts: Float64, points: Points, exchange: Exchange) -> Parameters:
    """The first training rows of the global order."""
    lower = np.arange(exchange.world_size) < exchange.rank
    own = range(min(job.n_clusters, points.shape[0]))
    # Before row i of this rank stand i rows of every rank, and one more of the lower ones, as far as they have rows.
    places = {int(np.minimum(counts, row + lower).sum()): row for row in own}
    mine = {place: row for place, row in places.items() if place < job.n_clusters}
    return _shared_rows(mine, job.n_clusters, points, exchange)


def _plus_plus(job: Job, number: int, points: Points, exchange: Exchange) -> Parameters:
    """Rows drawn one by one, each with a probability in proportion to its squared distance from those before it.

    Every rank draws among its rows, and the winners of all ranks meet: two all-reduces per centroid.

    Arthur and Vassilvitskii 2007, k-means++: The Advantages of Careful Seeding.
    """
    rank, n_ranks = exchange.rank, exchange.world_size
    random = np.random.default_rng([job.seed, number] if number else job.seed)
    positions = np.arange(points.shape[0], dtype=np.uint64) * np.uint64(n_ranks) + np.uint64(rank)
    centroids = np.empty((job.n_clusters, points.shape[1]), np.float32)
    # Before the first is drawn, all rows are far, and equally so.
    distances = np.full(points.shape[0], EQUALLY_FAR)
    for cluster in range(job.n_clusters):
        times = arrival_times(distances, positions, int(random.integers(2**63)))
        first_times = np.zeros(n_ranks)
        first_times[rank] = times.min(initial=np.inf)
        winner = int(exchange.all_reduce(first_times, 1).values.argmin())
        mine = {0: int(times.argmin())} if winner == rank else {}
        centroids[cluster] = _shared_rows(mine, 1, points, exchange)[0]
        distances = np.minimum(distances, nearest(points, centroids[cluster : cluster + 1]).distances)
    return centroids
