"""Stand in for a runtime under RIE: `python -I -S client.py SOCKET OUTPUT COMMAND`.

    RIE --starts--> client --environment, descriptors -----> parent --forks--> runtime
                      ^------- its pid; in the end its status ------'

RIE sees one process that lives and dies as the runtime does.
A signal that cannot be forwarded, such as SIGKILL, closes the connection, and the parent then kills the runtime.
If the parent does not answer, or answers `cold`, the client becomes the command, which starts a runtime without it.
The client's own name (`/proc/<pid>/comm`) contains the runtime's pid, for the gateway.

Dozens of clients start at once, so they import only built-in modules: `socket` and `signal` would triple the 10 ms.
"""

import _signal  # type: ignore[import-not-found]  # typeshed knows only `signal`
import _socket
import os
import sys

ANSWER_BYTES = 64
# Signals forwarded to the runtime. Any other signal kills the client, and the parent then kills the runtime.
FORWARDED_SIGNALS = (
    _signal.SIGHUP,
    _signal.SIGINT,
    _signal.SIGQUIT,
    _signal.SIGTERM,
    _signal.SIGUSR1,
    _signal.SIGUSR2,
)


def main() -> None:
    """Have a runtime forked and end as it does, or become one."""
    _, path, output, *runtime = sys.argv
    connection = ask(path, int(output))
    pid = number_in(connection, b"forked") if connection else None
    if connection is None or pid is None:
        # `exec` keeps the parent-death signal.
        os.execv(runtime[0], runtime)  # noqa: S606 - the process must become the runtime
    for number in FORWARDED_SIGNALS:
        _signal.signal(number, lambda number, _: os.kill(pid, number))
    own_name = os.open("/proc/self/comm", os.O_WRONLY)
    os.write(own_name, b"fork %d" % pid)
    os.close(own_name)
    status = number_in(connection, b"ended")
    # No status: the parent has ended, and the kernel has killed the runtime with it.
    end_as(_signal.SIGKILL if status is None else status)


def ask(path: str, output: int) -> _socket.socket | None:
    """Return a connection on which a runtime has been requested; None if nobody listens.

    Args:
        path: The parent's socket.
        output: The descriptor that the runtime prints to.
    """
    descriptors = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, output, output))
    environment = b"\0".join(key + b"=" + value for key, value in os.environb.items())
    try:
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        connection.connect(path)
        connection.sendmsg([environment], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
    except OSError:
        return None
    return connection


def number_in(connection: _socket.socket, word: bytes) -> int | None:
    """Return the number after the word in the parent's next message; None if the message differs or never comes."""
    try:
        said, _, number = connection.recv(ANSWER_BYTES).partition(b" ")
    except OSError:
        return None
    return int(number) if said == word else None


def end_as(status: int) -> None:
    """End with the wait status of another process."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number in FORWARDED_SIGNALS:
            _signal.signal(number, _signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
