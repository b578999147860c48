"""This machine: processes, ports, private files, signals, the Docker engine, Lambda's emulator."""
