"""Kept runs: what each run of the project left, below `.harness/runs`, for as long as the limits allow."""
