"""A function's `LoggingConfig`: the format of its log, the levels that reach it, and the group that holds it.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html
"""

from typing import Literal, get_args

import msgspec

from harness.gateway.errors import invalid_parameter

GROUP_PREFIX = "/aws/lambda/"

LogFormat = Literal["Text", "JSON"]
ApplicationLevel = Literal["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
SystemLevel = Literal["DEBUG", "INFO", "WARN"]

# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
_RANKS = {level: rank for rank, level in enumerate(get_args(ApplicationLevel))}
# Python's own names of two levels.
_RANKS |= {"WARNING": _RANKS["WARN"], "CRITICAL": _RANKS["FATAL"]}


class Logging(msgspec.Struct, frozen=True):
    """The logging configuration of a function, with AWS's defaults.

    Attributes:
        format: The format of Lambda's own lines and of messages of Python's `logging`.
        application_level: The lowest level of the function's own messages that are logged; used with JSON only.
        system_level: The lowest level of Lambda's own events that are logged; used with JSON only.
        group: The log group; empty for the function's own.
    """

    format: LogFormat = "Text"
    application_level: ApplicationLevel = "INFO"
    system_level: SystemLevel = "INFO"
    group: str = ""

    @property
    def is_json(self) -> bool:
        """Return whether the log is in JSON."""
        return self.format == "JSON"

    def group_of(self, function: str) -> str:
        """Return the name of the log group of a function with this configuration."""
        return self.group or GROUP_PREFIX + function

    def stream_prefix_of(self, function: str) -> str:
        """Return what precedes the version in the names of a function's streams: a shared group needs the function."""
        return function if self.group else ""

    def variables(self) -> dict[str, str]:
        """Return the environment variables by which the runtime learns of the configuration."""
        if not self.is_json:
            return {}
        return {"AWS_LAMBDA_LOG_FORMAT": self.format, "AWS_LAMBDA_LOG_LEVEL": self.application_level}

    def to_api(self, function: str) -> dict[str, str]:
        """Return `LoggingConfig` as the Lambda API returns it; a log in text has no levels."""
        levels = {"ApplicationLogLevel": self.application_level, "SystemLogLevel": self.system_level}
        return {"LogFormat": self.format, **(levels if self.is_json else {}), "LogGroup": self.group_of(function)}

    def logs_application(self, level: object) -> bool:
        """Return whether a message of the function is logged; one without a valid level counts as INFO."""
        rank = _RANKS.get(level.upper(), _RANKS["INFO"]) if isinstance(level, str) else _RANKS["INFO"]
        return rank >= _RANKS[self.application_level]

    def logs_system(self, level: SystemLevel) -> bool:
        """Return whether an event of Lambda's own is logged."""
        return _RANKS[level] >= _RANKS[self.system_level]


class LoggingConfig(msgspec.Struct, rename="pascal"):
    """`LoggingConfig` of a request."""

    log_format: LogFormat | None = None
    application_log_level: ApplicationLevel | None = None
    system_log_level: SystemLevel | None = None
    log_group: str | None = None


def logging_after(before: Logging, wanted: LoggingConfig | None) -> Logging:
    """Return a logging configuration with the members that a request has; the others stay.

    Raises:
        LambdaApiError: The request has a level for a log in text.
    """
    if wanted is None:
        return before
    log_format = wanted.log_format or before.format
    if log_format == "Text":
        if wanted.application_log_level or wanted.system_log_level:
            raise invalid_parameter(
                'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request or '
                'change the LogFormat to "JSON" and try again.'
            )
        return Logging(group=before.group if wanted.log_group is None else wanted.log_group)
    return Logging(
        log_format,
        wanted.application_log_level or before.application_level,
        wanted.system_log_level or before.system_level,
        before.group if wanted.log_group is None else wanted.log_group,
    )
