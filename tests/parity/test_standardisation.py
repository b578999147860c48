"""Standardisation over ranks is scikit-learn's StandardScaler, for features that are easy to get wrong."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from tests.support.ranks import exchange_of, on_all_ranks
from tests.support.training_alone import dealt, train_together
from training.algorithm.standardisation import Standardiser
from training.exchange.channel.memory import MemoryChannel
from training.exchange.frame import Encoding
from training.run.model_file import TrainedModel, decode_model, encode_model

ROWS = 1201


def columns():
    """Features by name, float32."""
    random = np.random.default_rng(0)
    normal = random.normal(size=ROWS)
    last_differs = np.full(ROWS, 1.7e9, np.float32)
    last_differs[-1] = np.nextafter(np.float32(1.7e9), np.float32(np.inf))
    outlier_first = normal.copy()
    outlier_first[0] = 1e6
    return {
        "usual": normal,
        "timestamps of an hour": 1.7e9 + 3600 * random.random(ROWS),
        "large mean, spread of one float32": 1.7e9 + 128 * random.integers(0, 2, ROWS),
        "nearly constant": last_differs,
        "constant": np.full(ROWS, 0.1),
        "constant, large": np.full(ROWS, -3e30),
        "zero": np.zeros(ROWS),
        "tiny": 1e-20 * normal,
        "tiny around a tiny mean": 1e-20 * (1 + 1e-5 * normal),
        "huge": 1e20 * normal,
        "near the largest float32": 3e38 * random.uniform(-1, 1, ROWS),
        "an outlier in the first row": outlier_first,
        "small spread around one": 1 + 1e-6 * normal,
        "rare": random.random(ROWS) < 0.01,
    }


X = np.stack(list(columns().values()), axis=1).astype(np.float32)
Y = (np.arange(ROWS) % 2).astype(np.int64)


def standardise(world_size, *, valid_ratio=0.0, sync_mode="reduce", encoding=Encoding.FLOAT32, x=X, shards=None):
    """Standardises as `world_size` ranks would; returns each rank's shard and scaling."""
    shards, channel = shards or dealt(x, Y, world_size, valid_ratio), MemoryChannel()

    def rank_main(rank):
        exchange = exchange_of(channel, rank, world_size, sync_mode, update_encoding=encoding)
        exchange.start()
        standardiser = Standardiser(shards[rank])
        return standardiser.scaled(shards[rank], exchange), standardiser.scaling

    return on_all_ranks(world_size, rank_main)


@pytest.mark.parametrize("encoding", [Encoding.FLOAT32, Encoding.FLOAT16])
@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
def test_every_feature_is_as_scikit_learn_has_it(world_size, encoding):
    """Mean, scale and scaled rows agree on any number of ranks, whatever updates travel as."""
    expected = StandardScaler().fit(X.astype(np.float64))

    results = standardise(world_size, encoding=encoding)

    for shard, scaling in results:
        np.testing.assert_allclose((scaling.mean - expected.mean_) / expected.scale_, 0, atol=1e-9)
        np.testing.assert_allclose(scaling.scale, expected.scale_, rtol=1e-9)
        assert np.float32 == shard.x.dtype
    scaled = np.empty_like(X)
    for rank, (shard, _) in enumerate(results):
        scaled[rank::world_size] = shard.x
    np.testing.assert_allclose(scaled, expected.transform(X.astype(np.float64)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sync_mode", ["reduce", "reduce_scatter", "all_gather", "two_level"])
def test_all_ranks_have_the_same_figures_bit_for_bit(sync_mode):
    """A rank that scaled its rows otherwise would train on other features."""
    scalings = [scaling for _, scaling in standardise(5, sync_mode=sync_mode)]

    assert 1 == len({scaling.mean.tobytes() + scaling.scale.tobytes() for scaling in scalings})


def test_validation_rows_are_scaled_and_do_not_count():
    """Only training rows decide; validation rows are scaled with what those say."""
    shard, scaling = standardise(1, valid_ratio=0.25)[0]
    expected = StandardScaler().fit(X[: len(shard.y)].astype(np.float64))

    np.testing.assert_allclose(scaling.scale, expected.scale_, rtol=1e-9)
    np.testing.assert_allclose(
        shard.valid_x, expected.transform(X[len(shard.y) :].astype(np.float64)), rtol=1e-5, atol=1e-6
    )


def test_rows_in_many_blocks_are_as_rows_in_one(monkeypatch):
    """The size of a block changes nothing but the rounding."""
    whole, _ = standardise(2)[1]
    monkeypatch.setattr("training.data.scaling.BLOCK_BYTES", 1000)

    blocks, _ = standardise(2)[1]

    np.testing.assert_allclose(blocks.x, whole.x, rtol=1e-6, atol=1e-9)


def test_a_course_that_begins_again_scales_its_rows_once():
    """A rank that goes on from another's state takes part in the agreement again, with the rows that it has."""
    shard, channel = dealt(X, Y, 1)[0], MemoryChannel()
    standardiser = Standardiser(shard)
    first = exchange_of(channel, 0, 1, "reduce")
    first.start()
    scaled = standardiser.scaled(shard, first)
    scaling = standardiser.scaling
    again = exchange_of(channel, 0, 1, "reduce", run_id="again")
    again.start()

    assert scaled is standardiser.scaled(scaled, again)
    assert scaling is standardiser.scaling


def test_logistic_regression_learns_from_a_timestamp():
    """A feature with a spread of 1e-6 of its mean tells the classes apart once it is standardised."""
    random = np.random.default_rng(1)
    moments = 1_700_000_000 + 128 * random.integers(0, 28, ROWS)
    x = np.stack([moments, random.normal(size=ROWS)], axis=1).astype(np.float32)
    y = (moments > np.median(moments)).astype(np.int64)
    channel = MemoryChannel()
    shards = dealt(x, y, 2)

    def rank_main(rank):
        exchange = exchange_of(channel, rank, 2, "reduce")
        exchange.start()
        return Standardiser(shards[rank]).scaled(shards[rank], exchange)

    outcome = train_together(on_all_ranks(2, rank_main), n_epochs=100, lr=0.5)[0]

    assert outcome.epochs[-1].accuracy > 0.98


def test_a_saved_model_scales_new_rows_alike():
    """`model.npz` keeps what scaling needs to the last digit."""
    (shard, scaling), *_ = standardise(1)
    trained = TrainedModel("lr", np.ones(X.shape[1] + 1, np.float32), "dense_libsvm", X.shape[1], 2, 64, scaling)

    loaded = decode_model(encode_model(trained), "model.npz")

    assert loaded.scaling.apply(X).tobytes() == shard.x.tobytes()


def test_rows_that_nobody_else_holds_are_overwritten():
    """A worker holds its rows once; the numbers are those of a copy."""
    copied = [replace(shard, x=shard.x.copy()) for shard in dealt(X, Y, 2, 0.1)]
    owned = [replace(shard, x=shard.x.copy(), rows_are_ours=True) for shard in copied]

    apart, in_place = standardise(2, shards=copied), standardise(2, shards=owned)

    for rank in range(2):
        assert apart[rank][0].x.tobytes() == in_place[rank][0].x.tobytes() == owned[rank].x.tobytes()
        assert copied[rank].x.tobytes() != owned[rank].x.tobytes()
