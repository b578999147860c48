"""The old form of `InvocationType=Event`: https://docs.aws.amazon.com/lambda/latest/api/API_InvokeAsync.html."""

from harness.gateway import limits
from harness.gateway.api.operations import Body, Call, Input, operation
from harness.gateway.errors import body_not_json, function_pending, request_too_large
from harness.gateway.invocations import Invocation
from harness.gateway.names import parse_identifier
from harness.gateway.payloads import read_json


class InvokeAsync(Input):
    """Input of InvokeAsync."""

    function_name: str
    invoke_args: bytes


@operation(InvokeAsync)
async def invoke_async(call: Call[InvokeAsync]) -> Body:
    """Accept an event."""
    identifier, payload = parse_identifier(call.input.function_name), call.input.invoke_args or b"{}"
    change = call.services.functions.find(identifier).under_change
    if change is not None and change.creates:
        raise function_pending()
    if len(payload) > limits.ASYNC_PAYLOAD_BYTES:
        raise request_too_large(limits.ASYNC_PAYLOAD_BYTES, "InvokeAsync")
    try:
        read_json(payload)
    except ValueError as error:
        raise body_not_json(str(error)) from error
    await call.services.invoker.queue(Invocation(identifier, payload))
    return None
