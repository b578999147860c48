"""How the proxy reaches the Lambda service, which alone can end or stop a rank's process."""

import contextlib

import httpx
import msgspec

from harness.faults.plan import Fault
from harness.guard import authorization

STRIKE_WITHIN_S = 10.0


class GatewayLink:
    """The control routes of the gateway; see `harness.gateway.faults`.

    Args:
        address: URL of the gateway.
        access_key: The stack's own.
    """

    def __init__(self, address: str, access_key: str) -> None:
        signed = authorization(access_key)
        self._client = httpx.AsyncClient(base_url=address, timeout=STRIKE_WITHIN_S, headers=signed, trust_env=False)

    async def post(self, run_id: str, body: bytes) -> None:
        """Gives it a run's plan.

        Raises:
            httpx.HTTPError: It is not there, or refuses.
        """
        (await self._client.put(f"/_harness/faults/{run_id}", content=body)).raise_for_status()

    async def lift(self, run_id: str) -> None:
        """End a run's plan there too; a service that is gone has none."""
        with contextlib.suppress(httpx.HTTPError):
            await self._client.delete(f"/_harness/faults/{run_id}")

    async def events(self, run_id: str) -> list[dict[str, object]]:
        """What became of the run's faults that are the service's own; none when it is gone."""
        try:
            answer = await self._client.get(f"/_harness/faults/{run_id}")
        except httpx.HTTPError:
            return []
        return list(answer.json()) if answer.is_success else []

    async def strike(self, run_id: str, fault: Fault, victims: list[int]) -> None:
        """Kills or freezes; returns when it is done."""
        body = msgspec.json.encode({"fault": fault, "ranks": victims})
        # A killed gateway does not answer.
        with contextlib.suppress(httpx.HTTPError):
            await self._client.post(f"/_harness/faults/{run_id}/strike", content=body)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()
