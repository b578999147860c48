"""What the runtime's client of Python 3.8 lacks: the id of a tenant, in which the gateway's own header arrives.

awslambdaric 2.2.1, the last for Python 3.8, reads a fixed list of headers in compiled code.
This is its `wait_next_invocation` in Python, over the same HTTP API:
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import http.client

_NEXT = "/2018-06-01/runtime/invocation/next"


def complete_older(client: type, request_type: type) -> None:
    """Make a client behave as newer ones.

    Args:
        client: The runtime's class.
        request_type: The runtime's record of an invocation.
    """
    answer = client.post_invocation_result  # type: ignore[attr-defined]  # the runtime has no types
    refuse = client.post_invocation_error  # type: ignore[attr-defined]  # the same

    def wait_next_invocation(self: object) -> object:
        connection = http.client.HTTPConnection(self.lambda_runtime_address)  # type: ignore[attr-defined]  # the same
        connection.request("GET", _NEXT)
        response = connection.getresponse()
        body, headers = response.read(), response.headers
        connection.close()
        return request_type(
            invoke_id=headers.get("Lambda-Runtime-Aws-Request-Id"),
            x_amzn_trace_id=headers.get("Lambda-Runtime-Trace-Id"),
            invoked_function_arn=headers.get("Lambda-Runtime-Invoked-Function-Arn"),
            deadline_time_in_ms=headers.get("Lambda-Runtime-Deadline-Ms"),
            client_context=headers.get("Lambda-Runtime-Client-Context"),
            cognito_identity=headers.get("Lambda-Runtime-Cognito-Identity"),
            content_type=headers.get("Content-Type"),
            tenant_id=headers.get("Lambda-Runtime-Aws-Tenant-Id"),
            invocation_id=None,
            event_body=body,
        )

    def post_invocation_result(
        self: object,
        invoke_id: str,
        result: object,
        content_type: str = "application/json",
        invocation_id: object = None,
    ) -> None:
        del invocation_id
        answer(self, invoke_id, result, content_type)

    def post_invocation_error(
        self: object, invoke_id: str, error: object, xray_fault: str, invocation_id: object = None
    ) -> None:
        del invocation_id
        refuse(self, invoke_id, error, xray_fault)

    client.wait_next_invocation = wait_next_invocation  # type: ignore[attr-defined]
    client.post_invocation_result = post_invocation_result  # type: ignore[attr-defined]
    client.post_invocation_error = post_invocation_error  # type: ignore[attr-defined]
