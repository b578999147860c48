"""The training on several workers: equal to one worker, and to itself after a worker's death."""

import json
import random

import pytest

ROUNDS, RATE = 12, 1.0


@pytest.fixture(scope="module")
def rows():
    """Rows whose label depends on two of three features; the last feature is constant."""
    dice = random.Random(7)
    made = []
    for _ in range(240):
        x = [dice.gauss(0, 1), dice.gauss(0, 1), 1.0]
        made.append({"x": x, "y": int(2 * x[0] - x[1] + dice.gauss(0, 0.5) > 0)})
    return made


@pytest.fixture
def train(lambda_stack, rows):
    """Train on n workers; return every worker's model."""
    s3 = lambda_stack.client("s3")
    trainer = lambda_stack.deploy("trainer")

    def run(n, name="run"):
        bucket = f"{name}-{n}"
        s3.create_bucket(Bucket=bucket)
        for rank in range(n):
            s3.put_object(Bucket=bucket, Key=f"data/{rank}.json", Body=json.dumps(rows[rank::n]))
        for rank in range(n):
            job = {"rank": rank, "n": n, "bucket": bucket, "run": name, "rounds": ROUNDS, "rate": RATE}
            trainer.invoke(job, asynchronous=True)

        def models():
            keys = [f"{name}/model/{rank}" for rank in range(n)]
            return [json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys]

        return models

    return run


def accuracy(model, rows):
    """The share of rows on the right side."""
    right = [(sum(w * x for w, x in zip(model, row["x"], strict=True)) > 0) == row["y"] for row in rows]
    return sum(right) / len(rows)


def test_four_workers_learn_what_one_learns(lambda_stack, lambda_logs, train, rows):
    """All four have one model, bit for bit; one worker's differs in the last digits only."""
    four, one = train(4, "four"), train(1, "one")
    lambda_stack.events.wait_for("succeeded", count=5, timeout_s=100)

    models = four()
    assert models == [models[0]] * 4
    assert models[0] == pytest.approx(one()[0], rel=1e-9)
    assert accuracy(models[0], rows) > 0.85
    losses = [float(message.split()[-1]) for message in lambda_logs.messages if message.startswith("round")]
    assert min(losses) < 0.45 < 0.69 < max(losses)


def test_a_worker_that_dies_changes_nothing(lambda_stack, train):
    """Lambda tries it again; it reads what the others have put, and the model is the same, bit for bit."""
    undisturbed = train(3, "first")
    lambda_stack.events.wait_for("succeeded", count=3, timeout_s=100)

    lambda_stack.faults.kill("trainer", attempt=1)
    disturbed = train(3, "second")
    lambda_stack.events.wait_for("waiting", timeout_s=100)
    lambda_stack.retry_clock.advance(minutes=1, timeout_s=100)

    assert [1, 1, 2] == sorted(len(event.attempts) for event in lambda_stack.events.wait_for("succeeded", count=6)[3:])
    assert disturbed() == undisturbed()
