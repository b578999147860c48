"""Past invocations again: the list of the last ones, and an event opened in an editor."""

import json
from collections.abc import Callable
from datetime import datetime

from harness.develop.gateway_client import GatewayClient
from harness.develop.keyboard import Keyboard
from harness.develop.screen import Screen
from harness.develop.threads import in_thread
from harness.errors import HarnessError
from harness.gateway.attempts import InvocationRecord

# As many as there are keys for.
LISTED = 9
_LONGEST_EVENT, _LONGEST_ANSWER = 80, 2_000

# Returns the text as the user left it in an editor; None if the editor failed.
Edit = Callable[[str], str | None]


class Replay:
    """Invokes functions with past events.

    Args:
        gateway: The gateway.
        screen: Prints lists and answers.
        keyboard: The terminal, which an editor gets.
        edit: Opens an editor; called in a thread.
    """

    def __init__(self, gateway: GatewayClient, screen: Screen, keyboard: Keyboard, edit: Edit) -> None:
        self._gateway, self._screen, self._keyboard, self._edit = gateway, screen, keyboard, edit
        self._listed: list[InvocationRecord] = []
        # Text that was edited and is not JSON yet, by the invocation's number.
        self._drafts: dict[int, str] = {}
        self.editing = False

    async def list_last(self) -> None:
        """Print the last invocations, numbered for `edit`."""
        self._listed = (await self._gateway.last_invocations())[:LISTED]
        if not self._listed:
            self._screen.note(_NONE_YET)
            return
        for key, one in reversed(list(enumerate(self._listed, start=1))):
            at = f"{datetime.fromtimestamp(one.ended_at or 0.0).astimezone():%H:%M:%S}"
            event = one.payload if len(one.payload) <= _LONGEST_EVENT else one.payload[:_LONGEST_EVENT] + " ..."
            event = " ".join(event.split())
            self._screen.note(f"  {key}  {at}  {one.function}  {one.error or 'ok'}  {one.duration_ms:.2f} ms  {event}")
        self._screen.note("press a number to edit that event and invoke the function again")

    async def invoke_last(self) -> None:
        """Invoke the function that was invoked last, with the same event."""
        last = await self._gateway.last_invocations()
        if not last:
            self._screen.note(_NONE_YET)
            return
        await self.invoke(last[0].function, last[0].payload)

    async def edit(self, key: int) -> tuple[str, str] | None:
        """Open the event of a listed invocation in an editor; return the function and the event, if it is one.

        Args:
            key: Its number in the list, from 1 for the newest.
        """
        if not self._listed:
            self._listed = (await self._gateway.last_invocations())[:LISTED]
        if key > len(self._listed):
            self._screen.note(f"there is no invocation {key}: `l` lists the last ones" if self._listed else _NONE_YET)
            return None
        past = self._listed[key - 1]
        text = await self._edited(past)
        if text is None:
            return None
        try:
            event = json.loads(text)
        except ValueError as error:
            self._drafts[past.number] = text
            self._screen.problem((f"the event is not JSON: {error}", f"press {key} to go on editing it"), past.function)
            return None
        self._drafts.pop(past.number, None)
        return past.function, json.dumps(event)

    async def _edited(self, past: InvocationRecord) -> str | None:
        text = self._drafts.get(past.number) or _pretty(past.payload)
        self._screen.pause()
        self.editing = True
        try:
            with self._keyboard.lent():
                edited = await in_thread(lambda: self._edit(text))
        except HarnessError as error:
            self._screen.problem(str(error).splitlines(), past.function)
            return None
        finally:
            self.editing = False
            self._screen.resume()
        if edited is None or not edited.strip():
            why = "the editor failed" if edited is None else "the event is empty"
            self._screen.note(f"nothing was invoked: {why}")
            return None
        return edited

    async def invoke(self, function: str, payload: str) -> None:
        """Invoke a function and print its answer."""
        self._screen.function_note(function, "invoked again")
        try:
            answer = await self._gateway.invoke(function, payload)
        except HarnessError as error:
            self._screen.problem(str(error).splitlines(), function)
            return
        shown = answer.payload if len(answer.payload) <= _LONGEST_ANSWER else answer.payload[:_LONGEST_ANSWER] + " ..."
        self._screen.function_note(function, f"{'failed' if answer.failed else 'answered'}: {shown}")


_NONE_YET = "nothing was invoked yet; in another terminal: harness invoke NAME --payload '{}'"


def _pretty(payload: str) -> str:
    try:
        return json.dumps(json.loads(payload), indent=2, ensure_ascii=False) + "\n"
    except ValueError:
        return payload
