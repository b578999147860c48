"""The catalogue of AWS's figures: what each one means, its unit, and which form its value takes."""

from typing import Literal, NamedTuple

Form = Literal["number", "distribution", "by_count"]


class FigureKind(NamedTuple):
    """An entry of the catalogue.

    Attributes:
        unit: Its unit.
        form: `number`, `distribution` (which may be a number), or `by_count`.
        meaning: What it is, in one line.
        zero: Whether 0 is allowed.
    """

    unit: str
    form: Form
    meaning: str
    zero: bool = False


FIGURES: dict[str, FigureKind] = {
    # ---- starts ------------------------------------------------------------------------------------------------------
    "start_scale": FigureKind("x", "number", "factor of every start: 0 for functions that are warm", zero=True),
    "fan_out": FigureKind(
        "s", "by_count", "from the first call of Invoke until the last of so many handlers begins, without its imports"
    ),
    "cold_start_zip": FigureKind("ms", "distribution", "start of an environment from a zip, before its imports"),
    "cold_start_image": FigureKind("ms", "distribution", "start of an environment from an image, before its imports"),
    "cold_start_image_mb": FigureKind("ms/MB", "number", "what each MB of an image above its base adds", zero=True),
    # ---- the cache ---------------------------------------------------------------------------------------------------
    "store_latency": FigureKind("ms", "distribution", "a round trip to the cache from a function in its zone"),
    "store_latency_other_zone": FigureKind(
        "ms", "distribution", "a round trip to the cache from a function in another zone"
    ),
    "store_bandwidth": FigureKind("MB/s", "number", "bandwidth of one node of the cache, each way"),
    # ---- S3 ----------------------------------------------------------------------------------------------------------
    "s3_latency": FigureKind("ms", "distribution", "from a read of S3 until its first byte"),
    "s3_write_latency": FigureKind("ms", "distribution", "from a write of 1 KB until S3's answer"),
    "s3_bandwidth": FigureKind("MB/s", "number", "bandwidth of one function's reads from S3"),
    "s3_write_bandwidth": FigureKind("MB/s", "number", "bandwidth of one function's writes to S3"),
    "s3_reads": FigureKind("requests/s", "number", "reads per prefix, above which S3 answers 503 SlowDown"),
    "s3_writes": FigureKind("requests/s", "number", "writes per prefix, above which S3 answers 503 SlowDown"),
    # ---- a function's network: a token bucket -----------------------------------------------------------------------
    "function_burst": FigureKind(
        "MB", "number", "how much a function sends or receives at the burst's bandwidth", zero=True
    ),
    "function_burst_bandwidth": FigureKind("MB/s", "number", "bandwidth of a function during its burst"),
    "function_bandwidth": FigureKind("MB/s", "number", "bandwidth of a function after its burst"),
    "function_pulse": FigureKind("ms", "number", "interval in which that bandwidth is granted", zero=True),
    "vpc_bandwidth": FigureKind("MB/s", "by_count", "bandwidth of each function where so many are in one VPC"),
    # ---- the processor -----------------------------------------------------------------------------------------------
    "function_gflops": FigureKind("GFLOP/s", "number", "speed of a function of 1,024 MB, multiplying matrices"),
    "cpu_factor": FigureKind("x", "distribution", "how much longer a vCPU of Lambda takes than the run's core"),
}
