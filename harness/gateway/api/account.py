"""The account: https://docs.aws.amazon.com/lambda/latest/api/API_GetAccountSettings.html."""

from harness.gateway import limits
from harness.gateway.api.operations import Body, Call, Input, operation


class GetAccountSettings(Input):
    """Input of GetAccountSettings."""


@operation(GetAccountSettings)
async def get_account_settings(call: Call[GetAccountSettings]) -> Body:
    """Return the account's limits and what it uses of them; every version's code counts."""
    account, functions = call.services.account, call.services.functions
    limit = {
        "TotalCodeSize": limits.TOTAL_CODE_BYTES,
        "CodeSizeUnzipped": limits.UNZIPPED_BYTES,
        "CodeSizeZipped": limits.ZIPPED_BYTES,
        "ConcurrentExecutions": account.concurrency,
        "UnreservedConcurrentExecutions": account.unreserved,
    }
    names = [function.name for function in functions.all()]
    size = sum(version.package.size for name in names for version in functions.versions(name))
    size += call.services.layers.code_size()
    return {"AccountLimit": limit, "AccountUsage": {"FunctionCount": len(names), "TotalCodeSize": size}}
