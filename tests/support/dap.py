"""A small client of the Debug Adapter Protocol, as editors speak it: JSON messages, each behind its length.

https://microsoft.github.io/debug-adapter-protocol/specification
"""

import json
import select
import socket
import time
from collections import deque

WITHIN_S = 60.0


class DebugClient:
    """A client that is connected to debugpy.

    Args:
        port: debugpy's port on the loopback interface.
    """

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), WITHIN_S)
        self._received, self._sequence = b"", 0
        self._events, self._answers = deque(), {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def attach(self, breakpoints, **arguments):
        """Attaches as an editor does, with the lines of each file at which to stop."""
        self.request("initialize", adapterID="debugpy", clientID="tests", pathFormat="path", linesStartAt1=True)
        attached = self.send("attach", **{"justMyCode": True, **arguments})
        self.event("initialized")
        verified = [
            self.request("setBreakpoints", source={"path": str(path)}, breakpoints=[{"line": line} for line in lines])[
                "breakpoints"
            ]
            for path, lines in breakpoints.items()
        ]
        self.request("configurationDone")
        self.answer(attached)
        return verified

    def stopped(self):
        """Waits until a thread stops, and returns its frames, innermost first."""
        self.thread = self.event("stopped")["threadId"]
        return self.request("stackTrace", threadId=self.thread)["stackFrames"]

    def variables(self, frame):
        """The local variables of a frame, as text."""
        scopes = self.request("scopes", frameId=frame["id"])["scopes"]
        found = self.request("variables", variablesReference=scopes[0]["variablesReference"])["variables"]
        return {variable["name"]: variable["value"] for variable in found}

    def proceed(self):
        """Lets the stopped thread continue; the program may end before it answers."""
        self.send("continue", threadId=self.thread)

    def leave(self):
        """Detaches: the program goes on without a debugger, and may end before it answers."""
        self.send("disconnect", terminateDebuggee=False)

    def request(self, command, **arguments):
        """The body of the answer to a request."""
        return self.answer(self.send(command, **arguments))

    def send(self, command, **arguments):
        """Sends a request and returns its number."""
        self._sequence += 1
        message = {"seq": self._sequence, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        return self._sequence

    def answer(self, number):
        """The body of the answer to the request of that number."""
        self._read_until(lambda: number in self._answers, f"answer {number}")
        answer = self._answers.pop(number)
        assert answer["success"], answer
        return answer.get("body", {})

    def event(self, name):
        """The body of the next event of that name; those before it are dropped."""
        self._read_until(lambda: any(event["event"] == name for event in self._events), name)
        while True:
            event = self._events.popleft()
            if event["event"] == name:
                return event.get("body", {})

    def _read_until(self, there, what):
        deadline = time.monotonic() + WITHIN_S
        while not there():
            left = deadline - time.monotonic()
            assert left > 0, f"{what} did not come"
            if select.select([self._socket], [], [], left)[0]:
                chunk = self._socket.recv(65_536)
                assert chunk, f"the connection ended before {what}; events: {list(self._events)}"
                self._received += chunk
                self._take_messages()

    def _take_messages(self):
        while b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            length = int(head.partition(b"Content-Length:")[2].split()[0])
            if len(rest) < length:
                return
            message, self._received = json.loads(rest[:length]), rest[length:]
            if message["type"] == "event":
                self._events.append(message)
            elif message["type"] == "response":
                self._answers[message["request_seq"]] = message
