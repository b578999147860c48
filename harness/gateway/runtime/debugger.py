"""Start a runtime under a debugger: `python debugger.py`, or as `sitecustomize`.

    process mode     the gateway starts this script instead of bootstrap.py, which it then runs
    container mode   the image starts its own runtime; this file is `sitecustomize.py` in a mounted folder on PYTHONPATH

The variable `_HARNESS_DEBUGGER` says what to do, and is gone before the function's code runs.
Lines that begin with `debugger:` tell the gateway how far it is.
It is run in the function's environment, which has only the standard library and the runtime.
"""

import importlib
import importlib.abc
import importlib.util
import json
import os
import runpy
import sys
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

SPEC = "_HARNESS_DEBUGGER"
RUNTIME = "awslambdaric.bootstrap"
_QUIET = "PYDEVD_DISABLE_FILE_VALIDATION"


def main() -> None:
    """Start the debugger, then run bootstrap.py, which lies beside this script."""
    spec = json.loads(os.environ.pop(SPEC))
    script = os.path.join(os.path.dirname(__file__), "bootstrap.py")  # noqa: PTH118, PTH120 - without pathlib
    sys.argv[0] = sys.orig_argv[-1] = script
    code = os.environ["LAMBDA_TASK_ROOT"]
    # As the script does itself; debugpy resolves `.` in a client's path mappings to the working folder.
    os.chdir(code)
    start(spec, code)
    runpy.run_path(script, run_name="__main__")


def customise() -> None:
    """Start the debugger in a container, in the first Python process that this variable reaches."""
    text = os.environ.pop(SPEC, "")
    here = os.path.dirname(__file__)  # noqa: PTH120 - without pathlib, as on AWS
    sys.path[:] = [folder for folder in sys.path if folder != here]
    others = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder not in ("", here)]
    os.environ.pop("PYTHONPATH", None)
    if others:
        os.environ["PYTHONPATH"] = os.pathsep.join(others)
    # The image's own customisation, which this module has hidden.
    own = sys.modules.pop("sitecustomize")
    with suppress(ImportError):
        importlib.import_module("sitecustomize")
    sys.modules.setdefault("sitecustomize", own)
    if text:
        start({**json.loads(text), "folder": here}, os.environ.get("LAMBDA_TASK_ROOT", "/var/task"))


def start(spec: dict[str, Any], code: str) -> None:
    """Start the debugger that a specification describes.

    Args:
        spec: `kind`, `host`, `port`, `folder` (of debugpy), `paths`, `token`.
        code: The package's folder.
    """

    def say(text: str) -> None:
        os.write(1, f"debugger: {text}\n".encode())

    def wrap(runtime: ModuleType) -> None:
        wrap_handler(runtime, before, after)

    paths = [(local, os.path.normpath(os.path.join(code, inside))) for local, inside in spec["paths"]]  # noqa: PTH118
    if spec["kind"] == "debugpy":
        before, after = listen(spec, paths, say), nothing
    else:
        before, after = nothing, sibling("post_mortem").Terminal(spec, paths, say).post_mortem
    when_imported(RUNTIME, wrap)


def sibling(name: str) -> ModuleType:
    """Return a module beside this file; what it imports of the library stays unknown to the function's own imports."""
    before = set(sys.modules)
    file = os.path.join(os.path.dirname(__file__), f"{name}.py")  # noqa: PTH118, PTH120 - without pathlib
    spec = importlib.util.spec_from_file_location(f"_harness_{name}", file)
    assert spec is not None  # noqa: S101 - a Python file has a loader
    assert spec.loader is not None  # noqa: S101 - the same
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # A function may have a `cmd.py` or a `code.py` of its own, which pdb's would hide.
    for added in set(sys.modules) - before:
        del sys.modules[added]
    return module


def listen(spec: dict[str, Any], paths: list[tuple[str, str]], say: Callable[[str], None]) -> Callable[[], None]:
    """Let debugpy listen, wait for a client, and return a function that waits again where the client has left."""
    sys.path.append(spec["folder"])
    variables = dict(os.environ)
    # Else pydevd warns about frozen modules, in which nobody sets a breakpoint.
    os.environ[_QUIET] = "1"
    try:
        debugpy = importlib.import_module("debugpy")
        importlib.import_module("debugpy.server.api")
        add_paths(importlib.import_module("pydevd_file_utils"), paths)
        # A child of the function runs as it does without a debugger.
        debugpy.configure(subProcess=False)
        debugpy.listen((spec["host"], spec["port"]))
    except Exception as error:
        say(f"failed {' '.join(str(error).split()) or type(error).__name__}")
        raise
    for added in set(os.environ) - set(variables):
        del os.environ[added]

    def wait() -> None:
        if not debugpy.is_client_connected():
            say("waiting")
            debugpy.wait_for_client()
            say("attached")

    wait()
    return wait


def add_paths(utilities: Any, paths: list[tuple[str, str]]) -> None:  # noqa: ANN401 - pydevd has no types
    """Map the package's files to the project's, whatever mappings the client sends besides."""
    setup = utilities.setup_client_server_paths

    def with_own(sent: list[tuple[str, str]]) -> None:
        setup([*paths, *(pair for pair in sent if pair[0].rstrip("/") not in dict(paths))])

    utilities.setup_client_server_paths = with_own
    setup(paths)


def when_imported(name: str, call: Callable[[Any], None]) -> None:
    """Call a function with a module right after its import."""
    sys.meta_path.insert(0, AfterImport(name, call))


class AfterImport(importlib.abc.MetaPathFinder):
    """Lets the other finders find a module, and its loader call a function at the end.

    Args:
        name: The module's name.
        call: The function.
    """

    def __init__(self, name: str, call: Callable[[Any], None]) -> None:
        self._name, self._call = name, call

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:  # noqa: ANN401 - importlib's
        """Return the module's spec; called by `import`."""
        del target
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        found = _find(fullname, path)
        if found is not None and found.loader is not None:
            execute = found.loader.exec_module

            def exec_module(module: Any) -> None:  # noqa: ANN401 - a module
                execute(module)
                self._call(module)

            found.loader.exec_module = exec_module
        return found


def _find(name: str, path: Any) -> Any:  # noqa: ANN401 - importlib's
    for finder in sys.meta_path:
        found = finder.find_spec(name, path, None)
        if found is not None:
            return found
    return None


def nothing(*_: object) -> None:
    """Do nothing before, or after, an invocation."""


def wrap_handler(runtime: Any, before: Callable[[], None], after: Callable[[BaseException], None]) -> None:  # noqa: ANN401 - a module
    """Make the runtime call functions around its handler.

    Args:
        runtime: The module `awslambdaric.bootstrap`.
        before: Called before each invocation.
        after: Called with what the handler, or its module's import, raised.
    """
    load = runtime._get_handler  # noqa: SLF001 - there is no other place between event and handler

    def get_handler(name: str) -> Any:  # noqa: ANN401 - as the runtime has it
        try:
            handler = load(name)
        except Exception as error:
            after(error)
            raise

        def handle(event: Any, context: Any) -> Any:  # noqa: ANN401 - any JSON
            before()
            try:
                return handler(event, context)
            except Exception as error:
                after(error)
                raise

        # The runtime leaves its own frames out of an error's stack trace, by the name of its file.
        handle.__code__ = handle.__code__.replace(co_filename=runtime.__file__)
        return handle

    runtime._get_handler = get_handler  # noqa: SLF001 - the same


if __name__ == "__main__":
    main()
elif __name__ == "sitecustomize":
    customise()
