"""This machine: processes, ports, private files, signals, the Docker engine, and AWS's emulator RIE."""
