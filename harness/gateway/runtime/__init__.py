"""The folder of the runtime's start script, alone, as Python puts a script's folder first in `sys.path`."""
