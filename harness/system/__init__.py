"""This machine: processes, ports, private files, signals, the Docker engine, the terminal, and AWS's emulator RIE."""
