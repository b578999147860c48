"""What the fault scenarios train: small jobs of every algorithm."""

# Lambda retries after 0.6 and 1.2 s instead of 1 and 2 minutes.
RETRY_TIME_SCALE = 0.01
N_WORKERS = 3
WORKER = "linear_ec_2"
# A dozen rounds or more, each of well under a millisecond.
DATA = "synthetic:rows=600,features=5"
JOBS: dict[str, dict[str, object]] = {
    "grad_avg": {"optim": "grad_avg", "batch_size": 50, "n_epochs": 5},
    "model_avg": {"optim": "model_avg", "n_epochs": 12},
    "admm": {"optim": "admm", "n_admm_epochs": 12, "n_epochs": 2},
}
# Parts of 1.2 MB, above Memcached's item limit of 1 MB.
BIG: dict[str, object] = {
    "data": "synthetic-sparse:rows=300,features=300000,density=0.0002",
    "model": "sparse_lr",
    "batch_size": 50,
    "n_epochs": 2,
}
PATTERNS = ("reduce", "reduce_scatter", "all_gather")
