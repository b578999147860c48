"""Functions made from the project, and made again after a save; what cannot be built leaves the old code in place."""

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.aws.function_deployer import create_or_update
from harness.develop.syntax import can_check, syntax_problem
from harness.errors import HarnessError
from harness.runs.functions import desired_function, handler_files, inputs_of
from harness.runs.model_function import with_models
from harness.settings import FILE_NAME, FunctionSettings, Settings, read_settings, shipped_functions
from harness.stack.plan import Log
from harness.stack.state import Mode

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What became of one function.

    Attributes:
        function: Its name; empty if the project as a whole is concerned.
        changes: What was created or changed; empty if nothing had to be.
        problem: Why it keeps its old code, in lines; empty if it has the new one.
    """

    function: str
    changes: tuple[str, ...] = ()
    problem: tuple[str, ...] = ()


class ProjectBuilder:
    """Makes the functions of a project.

    Args:
        settings: The project's settings.
        chosen: The functions to make; empty for all that are declared.
        mode: How the stack runs.
        client: Lambda, of the stack.
        log: Called about work that takes long.
    """

    def __init__(
        self, settings: Settings, chosen: tuple[str, ...], mode: Mode, client: "LambdaClient", log: Log
    ) -> None:
        self.settings = settings
        self._chosen, self._mode, self._client, self._log = chosen, mode, client, log
        # Saved files that may have syntax errors, which must not reach a function together with another save.
        self._suspects: set[Path] = set()
        # The hashes of all code that this builder has deployed, by function.
        self._deployed: dict[str, set[str]] = {}
        # The last problem of each function, with the files that were there then and their times.
        self._told: dict[str, tuple[tuple[str, ...], dict[Path, int]]] = {}

    @property
    def functions(self) -> dict[str, FunctionSettings]:
        """Return the functions to make, as declared now."""
        if not self._chosen:
            return self.settings.functions
        known = {**shipped_functions(), **self.settings.functions}
        return {name: known[name] for name in self._chosen if name in known}

    def is_foreign(self, name: str, sha256: str) -> bool:
        """Return whether the code that a function has now was deployed by somebody else."""
        return name in self.functions and sha256 not in self._deployed.get(name, ())

    @property
    def settings_file(self) -> Path:
        """Return the project's harness.toml, whether it exists or not."""
        return self.settings.root / FILE_NAME

    def folders(self) -> set[Path]:
        """Return the folders and files from which the functions are built."""
        return {path for function in self.functions.values() for path in inputs_of(function)}

    def build_all(self) -> Iterator[BuildResult]:
        """Create or update all functions, and yield what became of each."""
        for function in self.functions.values():
            # Nothing else of a package has to be Python of the function's runtime.
            # `Path.is_file` would raise if a folder may not be searched.
            if can_check(function.python, self.settings.cache_dir):
                self._suspects.update(path for path in handler_files(function) if os.path.isfile(path))  # noqa: PTH113
        return self._new(self._build(self.functions), ())

    def build_changed(self, changed: Collection[Path]) -> Iterator[BuildResult]:
        """Create or update the functions that changed files concern, and yield what became of each.

        A problem is told once, until a file that concerns it is saved.

        Args:
            changed: The files; a folder stands for everything below it.
        """
        return self._new(self._build_changed(changed), changed)

    def _new(self, results: Iterable[BuildResult], changed: Collection[Path]) -> Iterator[BuildResult]:
        """Yield results, without problems that were told and that no file saved since concerns.

        A folder that is moved away, or a file that is replaced, is reported as several changes.
        """
        for result in results:
            if not result.problem:
                self._told.pop(result.function, None)
                yield result
                continue
            problem, known = self._told.get(result.function, ((), {}))
            times = _times([*changed, *self.folders(), self.settings_file])
            saved = {path for path in changed if path in times and known.get(path) != times[path]}
            self._told[result.function] = result.problem, known | times
            if result.problem != problem or saved:
                yield result

    def _build_changed(self, changed: Collection[Path]) -> Iterator[BuildResult]:
        names: list[str] = []
        if self.settings_file in changed:
            before = self.settings
            try:
                if not self.settings_file.is_file():
                    raise HarnessError(f"{FILE_NAME} is gone; functions stay as they are")  # noqa: TRY301
                # Without it, a file in a folder above would count, or the functions that the harness ships.
                self.settings = with_models(read_settings(self.settings_file))
            except HarnessError as error:
                yield BuildResult("", problem=tuple(str(error).splitlines()))
            else:
                self._told.pop("", None)
                yield from self._compare(before)
                names = [name for name, one in self.functions.items() if before.functions.get(name) != one]
        self._suspects.update(path for path in changed if path.suffix == ".py")
        names += [name for name, function in self.functions.items() if _concerns(function, changed)]
        yield from self._build(dict.fromkeys(names))

    def _compare(self, before: Settings) -> Iterator[BuildResult]:
        """Yield what a new harness.toml changes beside functions' tables."""
        now = self.settings
        if (before.stack, before.gateway) != (now.stack, now.gateway):
            yield BuildResult(
                "", problem=("[stack] and [gateway] are for the next stack: `harness down`, then start again",)
            )
        for name in before.functions.keys() - now.functions.keys():
            yield BuildResult(name, problem=("it is no longer declared, and stays on the stack as it is",))

    def _build(self, names: Iterable[str]) -> Iterator[BuildResult]:
        broken, checked = set[Path](), set[Path]()
        for name in names:
            function = self.functions[name]
            own = sorted(path for path in self._suspects if _concerns(function, [path]))
            checked.update(own)
            found = {path: syntax_problem(path, function.python, self.settings.cache_dir) for path in own}
            problems = {path: problem for path, problem in found.items() if problem}
            if problems:
                broken.update(problems)
                yield BuildResult(name, problem=tuple(self._shown(path) + words for path, words in problems.items()))
                continue
            try:
                desired = desired_function(name, self.settings, self._mode, log=self._log)
                # Before it is deployed: the gateway may report it at once.
                self._deployed.setdefault(name, set()).add(desired.code.sha256)
                yield BuildResult(name, tuple(create_or_update(self._client, desired)))
            except HarnessError as error:
                yield BuildResult(name, problem=tuple(str(error).splitlines()))
            except OSError as error:
                # A folder may be changed or closed at any moment; the other functions go on.
                yield BuildResult(name, problem=(_unreadable(error),))
        self._suspects = (self._suspects - checked) | broken

    def _shown(self, path: Path) -> str:
        root = self.settings.root
        return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _concerns(function: FunctionSettings, changed: Iterable[Path]) -> bool:
    inputs = inputs_of(function)
    return any(path.is_relative_to(one) or one.is_relative_to(path) for path in changed for one in inputs)


def _unreadable(error: OSError) -> str:
    where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    return f"{where}{error.strerror or error}"


def _times(paths: Iterable[Path]) -> dict[Path, int]:
    """Return when files were changed last; folders and missing files have no such time."""
    found = {}
    for path in paths:
        with suppress(OSError):
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                found[path] = status.st_mtime_ns
    return found
