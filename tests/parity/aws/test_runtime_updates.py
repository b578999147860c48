"""Runtime management: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html."""

from tests.parity.aws.support import refusal


def test_each_version_says_when_its_runtime_is_patched(functions, create):
    """At any time, unless somebody says otherwise; `Manual` names the version of the runtime."""
    name = create()
    functions.publish_version(FunctionName=name)
    configuration = functions.get_function_configuration(FunctionName=name)
    runtime = configuration["RuntimeVersionConfig"]["RuntimeVersionArn"]

    before = functions.get_runtime_management_config(FunctionName=name)
    functions.put_runtime_management_config(FunctionName=name, UpdateRuntimeOn="FunctionUpdate")
    functions.put_runtime_management_config(
        FunctionName=name, Qualifier="1", UpdateRuntimeOn="Manual", RuntimeVersionArn=runtime
    )
    latest = functions.get_runtime_management_config(FunctionName=name, Qualifier="$LATEST")
    first = functions.get_runtime_management_config(FunctionName=name, Qualifier="1")

    assert (before["UpdateRuntimeOn"], latest["UpdateRuntimeOn"]) == ("Auto", "FunctionUpdate")
    assert (first["UpdateRuntimeOn"], first["RuntimeVersionArn"]) == ("Manual", runtime)


def test_a_runtime_is_pinned_to_a_version_that_is_there(functions, create):
    """`Manual` needs one."""
    name = create()

    code, status, _ = refusal(functions.put_runtime_management_config, FunctionName=name, UpdateRuntimeOn="Manual")

    assert (code, status) == ("InvalidParameterValueException", 400)
