"""Expectation maximisation for k-means (Lloyd's algorithm): one all-reduce of sums, counts and inertia per round.

    centroid of a cluster <- (sum of its rows on all ranks) / (their count)

Invariant: after every round the centroids of all ranks are identical, bit for bit.
They are computed from all-reduced values alone, by element-wise operations, which every processor rounds alike.
Sums and matrix products may differ in the last bits, so decisions based on them (when to stop, which row to take) are
all-reduced too.

    round 0     joining; initial centroids; their statistics
    round k     centroids from the previous statistics; rows for empty clusters; statistics of the new centroids;
                once the centroids have settled or the rounds are used up, the next initialisation and its statistics

Of several initialisations (`n_init`) the one with the least final inertia is the result, the first of equal ones.

Rows have a global order: row i of rank r is at position i * n + r, as the partitioner dealt them.
Without validation rows, n ranks have the same order as one, and the same initial centroids, random choices included;
the results differ only by the rounding of sums.
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

# The centroids have settled when a round lowers the inertia of the old clusters by no more than this share.
# If no row changes its cluster, sums repeat bit for bit, and the centroids do not move at all.
SETTLED = 1e-12
# Above the squared distance of any two rows of float32.
EQUALLY_FAR = 1e300


class Totals(NamedTuple):
    """The statistics of centroids over the rows of all ranks, and this rank's distances.

    Attributes:
        sums: Sum of every cluster's training rows (clusters, features).
        counts: Training rows of every cluster (clusters,).
        inertia: Sum of squared distances of training rows to their centroids.
        loss: The same per training row.
        validation: Mean over the validation rows; None when there are none.
        settled: Whether all ranks found that the last move no longer lowered the inertia.
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
        """Return the state with these centroids and statistics."""
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
    """The state with the statistics of its centroids, see `Totals`, and the progress through the initialisations.

    Attributes:
        sums: See `Totals`.
        counts: See `Totals`.
        inertia: See `Totals`.
        settled: See `Totals`.
        start: Number of the current initialisation, from 0.
        start_s: Seconds that the last initialisation took on this rank, without the wait for other ranks to join.
        start_over: Whether training from this initialisation has ended, so that the next round begins another.
        best: The final state of the best earlier initialisation.
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
    """Cluster the rows of all ranks; every rank returns the same centroids, bit for bit.

    An epoch is a round: one pass over the rows.
    Training ends before `n_epochs` if the centroids have settled; then the next of `n_init` initialisations follows.

    Raises:
        InputError: There are more clusters than training rows on all ranks; all ranks raise it in round 0.
        ExchangeError: A peer, the channel or the run failed.
        Rejoin: This rank continues from another rank's state.
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
    # An initialisation is a round too, and may take far longer than the others: the time limit must leave room for it.
    telemetry.expect_round(state.start_s if job.n_init > 1 else 0.0)
    # A rank's distances follow from its rows and the centroids, so they are not part of the state.
    distances = statistics(points, state.parameters)[2]
    while not state.finished:
        number = state.round + 1
        started = time.perf_counter()
        exchange.begin_round(number, state)
        if state.start_over:
            state = begin(state.start + 1, number, state.best)
            distances = statistics(points, state.parameters)[2]
            loss, waited = state.inertia / float(state.counts.sum()), exchange.waits.waited
            telemetry.round_done(number, rounds, loss, points.shape[0], started, waited)
        else:
            centroids = _update(state, distances, points, exchange)
            settled = _inertia_saved(centroids, state) <= SETTLED * state.inertia
            totals = _totals(centroids, points, valid_points, exchange, settled=settled)
            distances = totals.distances
            telemetry.round_done(number, rounds, totals.loss, points.shape[0], started, exchange.waits.waited)
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
    """Return the state, marked if its initialisation has ended; after the last one, return the best state."""
    enough = good_enough(job, state.epochs[-1])
    if not (state.settled or enough or len(state.epochs) == job.n_epochs):
        return state
    best = state if enough or state.best is None or state.inertia < state.best.inertia else state.best
    best = msgspec.structs.replace(best, best=None)
    if enough or state.start == job.n_init - 1:
        return msgspec.structs.replace(best, round=state.round, finished=True)
    return msgspec.structs.replace(state, start_over=True, best=best)


def _advise(job: Job, state: Clustering) -> list[Advice]:
    """Return the warnings for the user, the same on every rank."""
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
    """All-reduce the statistics of these centroids and the votes to stop, in one vector of float64 values."""
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
    """Return the mean of every cluster; empty clusters move to the rows farthest from their centroids."""
    filled = state.counts > 0
    moved = state.parameters.copy()
    moved[filled] = state.sums[filled] / state.counts[filled, np.newaxis]
    empty = np.flatnonzero(~filled)
    if empty.size:
        rows = _farthest_rows(len(empty), distances, points, exchange)
        moved[empty[: len(rows)]] = rows
    return moved


def _inertia_saved(moved: Parameters, state: Clustering) -> float:
    """Return by how much the move lowers the inertia of the old clusters: the sum of count times squared shift.

    An empty cluster counts as one row, so that training continues after it has moved.
    """
    shifts = np.square(moved.astype(np.float64) - state.parameters).sum(axis=1)
    return float(np.maximum(state.counts, 1) @ shifts)


def _farthest_rows(count: int, distances: Float64, points: Points, exchange: Exchange) -> Parameters:
    """Return the rows of all ranks farthest from their centroids: at most `count`, and none with distance zero.

    Ties go to the lowest rank, then to its first row. This takes two all-reduces.
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
    """Return `count` rows that the ranks contribute together; `mine` has this rank's row numbers by place."""
    rows = np.zeros((count, points.shape[1]), np.float32)
    for place, row in mine.items():
        rows[place] = points.row(row)
    return exchange.all_reduce(rows.ravel(), len(mine)).values.reshape(rows.shape) if count else rows


def _rows_of_all(job: Job, points: Points, exchange: Exchange) -> Float64:
    """Return the number of training rows of each rank."""
    counts = np.zeros(exchange.world_size)
    counts[exchange.rank] = points.shape[0]
    counts = exchange.all_reduce(counts, points.shape[0]).values
    if job.n_clusters > counts.sum():
        raise InputError(
            f"n_clusters is {job.n_clusters}, but there are only {counts.sum():.0f} training rows on all ranks"
        )
    return counts


def _start(job: Job, number: int, counts: Float64, points: Points, exchange: Exchange) -> Parameters:
    """Return the centroids of an initialisation, numbered from 0."""
    if job.kmeans_init == "first_rows":
        return _first_rows(job, counts, points, exchange)
    return _plus_plus(job, number, points, exchange)


def _first_rows(job: Job, counts: Float64, points: Points, exchange: Exchange) -> Parameters:
    """Return the first training rows of the global order."""
    lower = np.arange(exchange.world_size) < exchange.rank
    own = range(min(job.n_clusters, points.shape[0]))
    # Row i of this rank comes after i rows of every rank and one more of each lower rank, as far as they have rows.
    places = {int(np.minimum(counts, row + lower).sum()): row for row in own}
    mine = {place: row for place, row in places.items() if place < job.n_clusters}
    return _shared_rows(mine, job.n_clusters, points, exchange)


def _plus_plus(job: Job, number: int, points: Points, exchange: Exchange) -> Parameters:
    """Return rows drawn one by one, each with a probability proportional to its squared distance from earlier ones.

    Every rank draws among its rows, then all ranks compare their winners: two all-reduces per centroid.

    Arthur and Vassilvitskii 2007, k-means++: The Advantages of Careful Seeding.
    """
    rank, n_ranks = exchange.rank, exchange.world_size
    random = np.random.default_rng([job.seed, number] if number else job.seed)
    positions = np.arange(points.shape[0], dtype=np.uint64) * np.uint64(n_ranks) + np.uint64(rank)
    centroids = np.empty((job.n_clusters, points.shape[1]), np.float32)
    # For the first draw all rows are equally far.
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
