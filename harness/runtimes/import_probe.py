"""A script that imports a user's own model where its function would, and says how that went.

python3 -c PROBE FOLDER[:FOLDER...] MODULE NAME
"""

# The last line of its output is the answer; the module may print, too. An error is told with the line of the user's
# file in which it began.
PROBE = """
import importlib, json, sys, traceback
folder, module, name = sys.argv[1:4]
sys.path[:0] = [part for part in folder.split(":") if part]
answer = {}
try:
    found = getattr(importlib.import_module(module), name, None)
    if found is None:
        answer = {"absent": True}
except ModuleNotFoundError as error:
    answer = {"missing": error.name or str(error)}
except BaseException as error:
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    where = f"{own[-1].filename.rpartition('/')[2]}, line {own[-1].lineno}" if own else ""
    answer = {"error": f"{type(error).__name__}: {error}", "where": where}
print(json.dumps(answer))
sys.exit(1 if answer else 0)
"""
