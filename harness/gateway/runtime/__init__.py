"""The folder of the runtime's start script alone, because Python puts a script's folder first in `sys.path`."""
