"""The function that `harness calibrate` makes, and that `harness destroy` removes if it was left."""

# Not `linear_ec_2_...`: that is how workers of users' own models are named. The deployer may do anything with it.
CALIBRATION_FUNCTION = "linear_ec_2-calibrate"
