"""What a forecast knows of the run that it is made from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """The measurements of a finished run.

    Attributes:
        run_id: The run.
        sync_mode: Its collective, as requested.
        workers: The number of workers.
        rows: The training rows of all workers.
        data_bytes: The size of all partitions in bytes.
        part_bytes: The size of one rank's part of an update in bytes.
        rounds: The number of rounds.
        other_all_reduces: The number of all-reduces outside the rounds: joining, evaluation.
        round_rows: The rows of a round, over all workers.
        compute_s: The processor time of a round, over all workers.
        evaluation_s: The processor time outside loading and rounds, which is evaluation, over all workers.
        decode_s: The processor time of loading, without the transfer, over all workers.
        max_rss_mb: The memory of the largest worker.
        imports_s: The time from the start of a worker's process to its first invocation: interpreter, imports, clients.
        image: Whether its functions ran from container images, instead of zips.
        assumed: What the run did not measure, and what is assumed instead; one sentence each.
    """

    run_id: str
    sync_mode: str
    workers: int
    rows: int
    data_bytes: int
    part_bytes: int
    rounds: int
    other_all_reduces: int
    round_rows: int
    compute_s: float
    evaluation_s: float
    decode_s: float
    max_rss_mb: float
    imports_s: float = 0.0
    image: bool = False
    assumed: tuple[str, ...] = ()
