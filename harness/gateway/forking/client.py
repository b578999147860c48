"""Stand in for a runtime under RIE: `python -I -S client.py SOCKET PYTHON BOOTSTRAP CODE HANDLER OUTPUT`.

    RIE --starts--> client --environment, descriptors -----> parent --forks--> runtime
                      ^------- its pid; in the end its status ------'

RIE sees one process that lives and dies as the runtime does.
What cannot be passed on, a SIGKILL above all, closes the connection, and then the parent kills the runtime.
When the parent does not answer, or says `cold`, the client becomes a runtime itself, as if there were no parent.
The runtime's pid stands in the client's own name (`/proc/<pid>/comm`), where the gateway finds it.

Dozens of these start at once, so only built-in modules are imported: `socket` and `signal` would triple the 10 ms.
"""

import _signal  # type: ignore[import-not-found]  # typeshed knows `signal` alone
import _socket
import os
import sys

ANSWER_BYTES = 64
# What a process may be told in a friendly way; all else has its usual effect on the client, and the runtime follows.
FORWARDED_SIGNALS = (
    _signal.SIGHUP,
    _signal.SIGINT,
    _signal.SIGQUIT,
    _signal.SIGTERM,
    _signal.SIGUSR1,
    _signal.SIGUSR2,
)


def main() -> None:
    """Has a runtime forked and ends as it does, or becomes one."""
    _, path, *runtime = sys.argv
    connection = ask(path, int(runtime[-1]))
    pid = number_in(connection, b"forked") if connection else None
    if connection is None or pid is None:
        # A process keeps its parent-death signal when it becomes another program.
        os.execv(runtime[0], runtime)  # noqa: S606 - that is the point
    for number in FORWARDED_SIGNALS:
        _signal.signal(number, lambda number, _: os.kill(pid, number))
    own_name = os.open("/proc/self/comm", os.O_WRONLY)
    os.write(own_name, b"fork %d" % pid)
    os.close(own_name)
    status = number_in(connection, b"ended")
    # Without a parent the kernel has killed the runtime.
    end_as(_signal.SIGKILL if status is None else status)


def ask(path: str, output: int) -> _socket.socket | None:
    """A connection on which a runtime has been asked for; None when nobody listens.

    Args:
        path: The parent's socket.
        output: The descriptor into which the runtime prints.
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
    """The number behind the word in the parent's next message; None when it says something else, or is gone."""
    try:
        said, _, number = connection.recv(ANSWER_BYTES).partition(b" ")
    except OSError:
        return None
    return int(number) if said == word else None


def end_as(status: int) -> None:
    """Ends with the wait status of another process."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number in FORWARDED_SIGNALS:
            _signal.signal(number, _signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
