"""Models of users' own: a class, an instance or a function in the package of the function that trains.

A job names it as `module:Name`. It is, or makes, one of two:

    a torch.nn.Module                                    see `training.model.torch_module`
    an object with initial, loss_and_gradient, evaluate  see `training.model.numpy_object`

A class or function is called with those facts of the job that it takes by name, see `FACTS`.
It is called in the same state of the global random generators on every rank, so equal facts make equal parameters.

Errors of a user's code are `InputError`s: another try fails as well, so that the run stops at once. They name the file
and the line.
"""

import copy
import importlib
import inspect
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from training.errors import InputError
from training.model.base import IMAGE_SHAPE
from training.model.loss_kinds import REGRESSION
from training.model.user_code import drawn_from, place_of, user_code

if TYPE_CHECKING:
    from training.model.base import Model

# What a constructor may take by name; all of it, as a mapping, is `job`.
FACTS = (
    "n_features",
    "n_classes",
    "hidden_units",
    "seed",
    "task",
    "loss",
    "huber_delta",
    "image_shape",
    "dataset",
    "dataset_type",
    "batch_size",
    "n_epochs",
    "lr",
)
_PROTOCOL = ("initial", "loss_and_gradient", "evaluate")
_MOST_NAMES_SHOWN = 6
_CODE_SHOWN = 80


def facts_of(job: Mapping[str, Any], n_classes: int) -> dict[str, Any]:
    """Return what a model of a user's own may know of its job; JSON can hold it, and a prediction needs it again.

    Args:
        job: The job's fields by their Python names.
        n_classes: Classes of the data; 1 for a regression, which has one output.
    """
    facts = {key: job[key] for key in FACTS if key in job} | {"n_classes": n_classes}
    facts["dataset_type"] = facts.get("dataset_type") or "dense_libsvm"
    facts["task"] = "regression" if facts.get("loss") in REGRESSION else "classification"
    facts["image_shape"] = list(IMAGE_SHAPE) if facts["dataset_type"] == "cifar10" else None
    return facts


def make_own(name: str, facts: Mapping[str, Any]) -> "Model":
    """Return the model that a job names.

    Args:
        name: `module:Name`.
        facts: Those of `facts_of`; n_features and n_classes are needed.

    Raises:
        InputError: The module cannot be imported or lacks the name, what it has cannot be called with these facts,
            raises, or makes no model.
    """
    facts = facts_of(facts, facts["n_classes"])
    source = load_own(name)

    def make(seed: int) -> Any:  # noqa: ANN401 - whatever the user's code makes
        return made_from(name, source, {**facts, "seed": seed})

    made = make(facts.get("seed", 0))
    if _is_module(made):
        from training.model.torch_module import TorchModel  # noqa: PLC0415 - importing torch takes two seconds

        return TorchModel(name, make, made, facts)
    if not _has_protocol(made):
        lacking = [method for method in _PROTOCOL if not callable(getattr(made, method, None))]
        raise InputError(
            f"model={name} is a {type(made).__name__}, and neither a torch.nn.Module nor an object with "
            f"{', '.join(_PROTOCOL)}: it lacks {', '.join(lacking)}"
        )
    from training.model.numpy_object import NumpyModel  # noqa: PLC0415 - the coordinator has no NumPy

    return NumpyModel(name, made, facts)


def load_own(name: str) -> Any:  # noqa: ANN401 - whatever the user's module has
    """Import what a job names as `module:Name`; the module's code runs once in a process.

    Raises:
        InputError: There is no such module or no such name in it, or its code raises.
    """
    path, _, attribute = name.partition(":")
    with drawn_from(0):
        module = _imported(name, path)
    found = getattr(module, attribute, None)
    if found is None:
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == path]
        shown = ", ".join(own[:_MOST_NAMES_SHOWN]) or "no class and no function"
        raise InputError(f"model={name}: the module {path} has no {attribute}; it defines {shown}")
    return found


def made_from(name: str, source: Any, facts: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the user's
    """Return what a class, an instance or a function makes for these facts, in the seed's state of the generators.

    Raises:
        InputError: It cannot be called with them, or raises.
    """
    with drawn_from(facts["seed"]), user_code(name, "was made"):
        return _made(name, source, facts)


def is_convex(model: "Model") -> bool:
    """Return whether a model of a user's own claims that its loss is convex in its parameters."""
    return bool(getattr(model, "convex", False))


def _made(name: str, source: Any, facts: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the user's
    """Return a new object: an instance is copied, anything else is called with the facts that it takes."""
    if not inspect.isclass(source) and (_is_module(source) or _has_protocol(source) or not callable(source)):
        return copy.deepcopy(source)
    try:
        parameters = inspect.signature(source).parameters.values()
    except (TypeError, ValueError):
        return source()
    values = {**facts, "job": dict(facts)}
    values["image_shape"] = tuple(facts["image_shape"]) if facts["image_shape"] else None
    arguments = {}
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.name in values and parameter.kind is not parameter.POSITIONAL_ONLY:
            arguments[parameter.name] = values[parameter.name]
        elif parameter.default is parameter.empty:
            raise InputError(
                f"model={name} takes `{parameter.name}`, which a job does not have: give it a default; "
                f"a job has job, {', '.join(facts)}"
            )
    return source(**arguments)


def _is_module(found: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(found, torch.nn.Module)


def _has_protocol(found: object) -> bool:
    return all(callable(getattr(found, method, None)) for method in _PROTOCOL)


def _imported(name: str, path: str) -> ModuleType:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        _refuse_missing(name, path, error)
    except SyntaxError as error:
        code = (error.text or "").strip()[:_CODE_SHOWN]
        shown = f" in `{code}`" if code else ""
        raise InputError(
            f"model={name}: {error.filename or path} is not Python: line {error.lineno}: {error.msg}{shown}"
        ) from error
    except Exception as error:
        kind, words = type(error).__name__, " ".join(str(error).split())
        raise InputError(f"model={name}: the module {path} raised {kind}{place_of(error, name)}: {words}") from error


def _refuse_missing(name: str, path: str, error: ModuleNotFoundError) -> NoReturn:
    missing = error.name or ""
    if path == missing or path.startswith(f"{missing}."):
        raise InputError(f"model={name}: the function's package has no module {missing}") from error
    top = missing.partition(".")[0]
    raise InputError(
        f"model={name} imports {missing}, which this function lacks{place_of(error, name)}: add {top} to the model's "
        "requirements: a requirements.txt beside it, or the one that its table names"
    ) from error
