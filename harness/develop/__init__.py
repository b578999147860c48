"""The development loop: functions rebuilt on save, their logs live, invocations repeated."""
