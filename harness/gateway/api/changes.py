"""Changes of functions: what they take, and what they refuse meanwhile.

https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
A change is complete when its answer arrives, but the answer says `Pending` or `InProgress` as on AWS, so that callers
have to wait here, too. `--state-delay-s` makes these states last.
"""

import time

from harness.gateway.errors import update_in_progress
from harness.gateway.functions import new_revision
from harness.gateway.records import Change, Function
from harness.gateway.services import Services


def refuse_during_update(function: Function) -> None:
    """Refuse to change a function while an earlier change is under way.

    Raises:
        LambdaApiError: The function is `Pending`, or its update is `InProgress` (409).
    """
    if function.under_change is not None:
        raise update_in_progress(function.arn)


def creation_of(services: Services) -> Change:
    """Return a creation that begins now."""
    return Change(creates=True, until=time.monotonic() + services.account.state_delay_s, revision=new_revision())


def update_of(services: Services) -> Change:
    """Return an update that begins now."""
    return Change(creates=False, until=time.monotonic() + services.account.state_delay_s, revision=new_revision())


def renew(services: Services, before: Function) -> None:
    """Retire the environments of a changed function and prepare for new ones; a dry run changes nothing."""
    now = services.functions.get(before.name)
    if now.revision != before.revision:
        services.pool.retire(now, successor=now.revision)
        services.pool.prepare(now)
    else:
        services.pool.remove_unneeded_code()
