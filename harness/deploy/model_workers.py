"""The workers of users' own models in a deployment: each has a role, a repository and logs of its own in the template.

They are copies of what the template has for the worker with PyTorch, with another name in them, and the coordinator may
invoke them by that name; nothing else may do more than before.
"""

import re
from collections.abc import Iterable, Mapping

from harness.deploy.template import camel
from harness.errors import HarnessError
from harness.settings import Settings

_PATTERN = "linear_ec_2_nn"
_WORKERS = ("linear_ec_2", _PATTERN)
_REPOSITORY = "RepositoryUri"
_BLOCK = re.compile(rf"(^  {camel(_PATTERN)}\w+:\n(?:    .*\n)+)", re.MULTILINE)
# The two lines of a list of functions that may be invoked: the function, and its alias.
_INVOKED = re.compile(rf"(?:^ +- !Sub \S+:function:{_PATTERN}(?::\*)?\n){{2}}", re.MULTILINE)
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
_MOST_BYTES = 51_200


def is_worker(name: str) -> bool:
    """Return whether a function is a worker: one of the harness's, or one of a user's own model."""
    return name in _WORKERS or is_model_worker(name)


def is_model_worker(name: str) -> bool:
    """Return whether a function is the worker of a user's own model, which is named after the harness's."""
    return name.startswith(f"{_WORKERS[0]}_") and name not in _WORKERS


def model_workers(settings: Settings) -> list[str]:
    """Return the deployed functions that train users' own models."""
    return [name for name, function in settings.functions.items() if function.image and is_model_worker(name)]


def deployed_before(outputs: Mapping[str, str]) -> list[str]:
    """Return the workers of own models that a stack has, by its outputs: they stay until it is destroyed."""
    uris = [value for key, value in outputs.items() if key.endswith(_REPOSITORY)]
    return [name for name in (uri.rpartition("/")[2] for uri in uris) if is_model_worker(name)]


def with_workers(body: str, names: Iterable[str]) -> str:
    """Return a template that has what these functions need, too.

    Args:
        body: The template.
        names: Workers of own models.

    Raises:
        HarnessError: The template would be larger than CloudFormation accepts, or two names differ too little.
    """
    names = sorted(set(names))
    ids = [camel(name) for name in names]
    if len(set(ids)) < len(ids):
        raise HarnessError(f"two of {', '.join(names)} have the same name in CloudFormation", remedy="rename a model")
    parts = _BLOCK.split(body)
    for index, part in enumerate(parts):
        copies = [part.replace(camel(_PATTERN), camel(name)).replace(_PATTERN, name) for name in names]
        if index % 2:
            parts[index] = "\n".join([part, *copies]) if "Type:" in part else "".join([part, *copies])
        else:
            parts[index] = _INVOKED.sub(lambda found: _with_copies(found[0], names), part)
    text = "".join(parts)
    if len(text.encode()) > _MOST_BYTES:
        raise HarnessError(
            f"the template has {len(text.encode())} bytes with {len(names)} models; CloudFormation takes {_MOST_BYTES}",
            ", ".join(names),
            "deploy fewer models in one stack: name another with --stack",
        )
    return text


def _with_copies(lines: str, names: list[str]) -> str:
    return "".join([lines, *(lines.replace(_PATTERN, name) for name in names)])
