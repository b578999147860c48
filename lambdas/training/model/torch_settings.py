"""PyTorch's settings in a worker, in force once this module is imported."""

import os

import torch

# The worker sets this for NumPy: one thread per virtual CPU.
if _threads := os.environ.get("OPENBLAS_NUM_THREADS"):
    torch.set_num_threads(int(_threads))
# Make operations with non-deterministic results an error, as `torch.use_deterministic_algorithms(True)` does; that
# function also imports torch's compiler, which takes another two seconds and 70 MB.
torch.set_deterministic_debug_mode("error")
torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs 5 % of a step
