"""Starts of environments, which take as long as on AWS under an emulated network.

    requested ---- our own start ----> ready, held back until AWS's would be ---> first invocation: imports, handler

An environment is held for a drawn cold start of its kind. Where many start at once, the k-th of them begins no earlier
than the k-th on AWS would after the first. What our own start takes counts against both.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

import asyncio
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec

from harness.gateway.connection import HttpConnection
from harness.gateway.environment import Environment, SandboxStarter
from harness.gateway.feed import FunctionLog
from harness.gateway.records import Function
from harness.presets.distribution import ByCount, Varying
from harness.presets.emulated_network import NETWORK_VARIABLE, EmulatedNetwork

# Keeps these draws apart from the network's, which have the same seed.
_STREAM = 0x57A7


async def start_environment(
    function: Function, start: SandboxStarter, log: Callable[[str], FunctionLog]
) -> Environment:
    """Start an environment; the first invocation loads the handler.

    Args:
        function: The function that it runs.
        start: Starts its sandbox.
        log: Opens the log stream with a given name.

    Raises:
        OSError: The sandbox cannot be started.
        TimeoutError: RIE did not listen in time.
    """
    prefix = function.logging.stream_prefix_of(function.name)
    stream = f"{datetime.now(UTC):%Y/%m/%d}/{prefix}[{function.version}]{uuid.uuid4().hex}"
    started = time.perf_counter()
    sandbox = await start(function, stream)
    environment = Environment(
        function=function,
        sandbox=sandbox,
        rie=HttpConnection(sandbox.address),
        log=log(stream),
        stream=stream,
        start_s=time.perf_counter() - started,
    )
    environment.read_output()
    return environment


class EmulatedStarts:
    """Decides until when each start is held.

    Args:
        network: The figures, and the seed.
    """

    def __init__(self, network: EmulatedNetwork) -> None:
        import numpy as np  # noqa: PLC0415 - it takes 0.1 s, and most stacks emulate no network

        self._rng = np.random.default_rng((network.seed, _STREAM))
        self._kinds = {kind: _varying(network, f"cold_start_{kind}") for kind in ("zip", "image")}
        self._per_mb_s = _varying(network, "cold_start_image_mb").typical / 1e3
        self._scale = _varying(network, "start_scale").typical
        fan_out = network.figures["fan_out"]
        if not isinstance(fan_out, ByCount):
            raise TypeError("fan_out depends on the number of functions")
        self._fan_out = fan_out
        self._burst_began_at = 0.0
        self._burst = self._pending = 0

    def begin(self, function: Function, now: float) -> float:
        """Note that an environment is requested, and return when it may begin to work, both by one clock in seconds.

        Starts of which one is held when the next is requested are one burst; `end` closes each.
        """
        if not self._pending:
            self._burst_began_at, self._burst = now, 0
        self._pending += 1
        self._burst += 1
        kind = "image" if function.image is not None else "zip"
        cold_s = float(self._kinds[kind].sample(self._rng, 1)[0]) / 1e3
        if function.image is not None:
            cold_s += self._per_mb_s * function.image.own_bytes / 1e6
        # A fan-out was measured with its functions' cold starts, from a zip.
        queued_s = max(0.0, self._fan_out.at(self._burst) - self._kinds["zip"].typical / 1e3)
        return max(now, self._burst_began_at + self._scale * queued_s) + self._scale * cold_s

    def end(self) -> None:
        """Note that an environment works, or will not."""
        self._pending -= 1

    async def run(self, function: Function, start: Callable[[], Awaitable[Environment]]) -> Environment:
        """Start an environment, and return it when it may begin to work.

        Args:
            function: The function that it runs.
            start: Starts it.
        """
        loop = asyncio.get_running_loop()
        due_at = self.begin(function, loop.time())
        try:
            environment = await start()
            try:
                await asyncio.sleep(max(0.0, due_at - loop.time()))
            except BaseException:
                await asyncio.shield(environment.stop())
                raise
            return environment
        finally:
            self.end()


def starts_from_environment() -> EmulatedStarts | None:
    """Return the starts of the network that this process is to emulate; None for none.

    The variable is removed, because functions must not see it.
    """
    text = os.environ.pop(NETWORK_VARIABLE, "")
    return EmulatedStarts(msgspec.json.decode(text, type=EmulatedNetwork)) if text else None


def _varying(network: EmulatedNetwork, name: str) -> Varying:
    value = network.figures[name]
    if isinstance(value, ByCount):
        raise TypeError(f"{name} does not depend on the number of functions")
    return value
