"""The proxy's client for the Lambda service, which alone can kill or pause a rank's process."""

import contextlib

import httpx
import msgspec

from harness.faults.plan import Fault
from harness.guard import authorization

INJECT_WITHIN_S = 10.0


class GatewayLink:
    """A client for the gateway's control routes; see `harness.gateway.faults`.

    Args:
        address: URL of the gateway.
        access_key: The stack's own access key.
    """

    def __init__(self, address: str, access_key: str) -> None:
        signed = authorization(access_key)
        self._client = httpx.AsyncClient(base_url=address, timeout=INJECT_WITHIN_S, headers=signed, trust_env=False)

    async def post(self, run_id: str, body: bytes) -> None:
        """Send a run's fault plan to the gateway.

        Raises:
            httpx.HTTPError: The gateway cannot be reached, or rejects the plan.
        """
        (await self._client.put(f"/_harness/faults/{run_id}", content=body)).raise_for_status()

    async def lift(self, run_id: str) -> None:
        """End a run's plan in the gateway, too; a gateway that is gone has no plan to end."""
        with contextlib.suppress(httpx.HTTPError):
            await self._client.delete(f"/_harness/faults/{run_id}")

    async def events(self, run_id: str) -> list[dict[str, object]]:
        """Return the outcomes of the run's faults that the gateway injects by itself; none if the gateway is gone."""
        try:
            answer = await self._client.get(f"/_harness/faults/{run_id}")
        except httpx.HTTPError:
            return []
        return list(answer.json()) if answer.is_success else []

    async def inject(self, run_id: str, fault: Fault, ranks: list[int]) -> None:
        """Kill or freeze the ranks; return when that is done."""
        body = msgspec.json.encode({"fault": fault, "ranks": ranks})
        # A killed gateway does not answer.
        with contextlib.suppress(httpx.HTTPError):
            await self._client.post(f"/_harness/faults/{run_id}/strike", content=body)

    async def ranks(self, run_id: str) -> dict[str, int]:
        """Return the rank that each environment works for, by the environment's name; none if the gateway is gone."""
        try:
            answer = await self._client.get(f"/_harness/faults/{run_id}/ranks")
        except httpx.HTTPError:
            return {}
        return msgspec.json.decode(answer.content, type=dict[str, int]) if answer.is_success else {}

    async def places(self) -> bytes:
        """Return the environments that are starting or alive, as JSON; see `harness.network.places.EnvironmentPlace`.

        Raises:
            httpx.HTTPError: The gateway cannot be reached, or does not answer this.
        """
        return (await self._client.get("/_harness/places")).raise_for_status().content

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
