"""Show a process what a function sees on AWS, then let it become its command.

    python -I -S enter.py [OUTPUT] [NAME=VALUE ...] -- COMMAND

OUTPUT is an inherited descriptor that the command prints to. The other arguments are a view (`view.py`):

    /var/task, /var/runtime, /var/lang, /opt    folders of this machine, read-only
    /tmp                                        empty, of the function's size, and this process's own
    /etc/passwd                                 names the user sbx_user1051
    everything else                             as this machine has it

Without a view the process sees this machine's paths.
The mounts are in a namespace, so nobody else sees them, and they go with the last process of the environment.
A pre-imported parent sees the same view, and each process that it forks calls `separate` for a view of its own.

Dozens of these start at once, so it imports little: `ctypes` takes 5 ms, `json` or `re` would take 10.
"""

import ctypes
import os
import resource
import sys

_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_RDONLY, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 32, 4096, 16384, 1 << 18
# Flags of a mount that a user namespace must keep: https://man7.org/linux/man-pages/man7/mount_namespaces.7.html
_KEPT_FLAGS = {2: 2, 4: 4, 8: 8, os.ST_NOATIME: 1024, os.ST_NODIRATIME: 2048, os.ST_RELATIME: 1 << 21}
_PDEATHSIG, _KILL = 1, 9
_CAPABILITY_VERSION = 0x20080522
_LIBC = ctypes.CDLL(None, use_errno=True)

# https://docs.aws.amazon.com/linux/al2023/ug/lambda.html does not name them: as `id` prints them on AWS.
UID, GID, USER = 993, 990, "sbx_user1051"
TASK, RUNTIME, LANG, OPT, TMP = "/var/task", "/var/runtime", "/var/lang", "/opt", "/tmp"  # noqa: S108 - a mount
_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - without pathlib
# As recorded on AWS. The number of processes is counted for each user of each namespace only since Linux 5.14.
_LIMITS = {
    resource.RLIMIT_CORE: (10_737_418_240, 10_737_418_240),
    resource.RLIMIT_MEMLOCK: (65_536, 65_536),
    resource.RLIMIT_NOFILE: (1024, 1024),
    resource.RLIMIT_STACK: (8_388_608, resource.RLIM_INFINITY),
}
_PROCESSES = 742
_SHOWN = ("task", "runtime", "lang", "library", "opt", "passwd")
_COUNTED_SINCE = (5, 14)

View = dict[str, list[str]]


def main() -> None:
    """Enter the view, and become the command."""
    end = sys.argv.index("--")
    options, command = sys.argv[1:end], sys.argv[end + 1 :]
    output = options.pop(0) if options and options[0].isdigit() else ""
    if output:
        for standard in (1, 2):
            os.dup2(int(output), standard)
        os.close(int(output))
    view = parse(options)
    parent = "parent" in view
    if "task" in view:
        enter(view, writable=parent)
        os.chdir(TMP if parent else TASK)
    if not parent:
        limit(view)
        command = wrapped(command, view)
    # A change of credentials may have cleared it.
    die_with_parent()
    try:
        os.execv(command[0], command)  # noqa: S606 - the process must become the command
    except OSError as error:
        # A script without `#!` is the shell's, as on AWS.
        if error.errno != 8:
            raise
        os.execv("/bin/sh", ["/bin/sh", *command])  # noqa: S606 - the same


def parse(options: list[str]) -> View:
    """Return a view from its arguments."""
    view: View = {}
    for option in options:
        name, _, value = option.partition("=")
        view.setdefault(name, []).append(value)
    return view


def enter(view: View, *, writable: bool) -> None:
    """Give this process a view; it must have one thread.

    Args:
        view: The view.
        writable: Whether the package's folder may be written to, for Python's caches.
    """
    _unshare(view)
    _mount(None, "/", None, _REC | _PRIVATE)
    # Opened before anything is mounted over it, and after `unshare`: only mounts of this namespace can be bound.
    found: dict[str, int] = {name: _opened(view[name][0]) for name in _SHOWN if name in view}
    kept = {path: _opened(path) for path in view.get("keep", [])}
    if not all(map(os.path.isdir, (TASK, RUNTIME, LANG))):
        _refill("/var", _opened("/var"), [TASK, RUNTIME, LANG])
    _bind(found["task"], TASK, read_only=not writable)
    _bind(found["runtime"], RUNTIME, read_only=True)
    if "library" in found:
        _show_lang(found["lang"], found["library"], view["library"][0].rpartition("/")[2])
    else:
        _bind(found["lang"], LANG, read_only=True)
    _show_opt(found["opt"], kept)
    if "passwd" in found:
        _bind(found["passwd"], "/etc/passwd", read_only=True)
    _show_tmp(view, kept)
    for descriptor in (*found.values(), *kept.values()):
        os.close(descriptor)


def separate(view: View) -> None:
    """Give a forked process a namespace of its own: an empty /tmp, a package that it cannot change, and limits."""
    if "task" in view:
        _unshare(view)
        kept = {path: _opened(path) for path in view.get("keep", []) if path.startswith(f"{TMP}/")}
        _read_only(TASK)
        _show_tmp(view, kept)
        for descriptor in kept.values():
            os.close(descriptor)
    limit(view)
    if "user" in view:
        _drop_capabilities()


def limit(view: View) -> None:
    """Set AWS's resource limits, as far as this process's own permit."""
    limits = dict(_LIMITS)
    release = os.uname().release.split(".")
    if "user" in view and (int(release[0]), int(release[1].split("-")[0])) >= _COUNTED_SINCE:
        limits[resource.RLIMIT_NPROC] = (_PROCESSES, _PROCESSES)
    for number, (soft, hard) in limits.items():
        most = resource.getrlimit(number)[1]
        resource.setrlimit(number, (_least(soft, most), _least(hard, most)))


def wrapped(command: list[str], view: View) -> list[str]:
    """Return the command behind the function's wrapper, if it has one; end as AWS's runtime does if it is of no use.

    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html#runtime-wrapper
    """
    named = os.environ.get("AWS_LAMBDA_EXEC_WRAPPER", "")
    if not named:
        return command
    path = named
    for place, folder in () if "task" in view else ((TASK, "at-task"), (OPT, "at-opt")):
        if path.startswith(f"{place}/") and folder in view:
            path = view[folder][0] + path[len(place) :]
    if not os.path.isfile(path):  # noqa: PTH113 - without pathlib
        _end(f"{named}: does not exist", 127)
    if not os.access(path, os.X_OK):
        _end(f"{named}: is not an executable", 126)
    return [path, *command]


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    _LIBC.prctl(_PDEATHSIG, _KILL)


def _end(message: str, status: int) -> None:
    os.write(1, f"{message}\n".encode(errors="surrogateescape"))
    sys.exit(status)


def _least(wanted: int, most: int) -> int:
    if most == resource.RLIM_INFINITY:
        return wanted
    return most if wanted == resource.RLIM_INFINITY else min(wanted, most)


def _unshare(view: View) -> None:
    """Begin a mount namespace, and a user namespace for it if the view has one."""
    uid, gid = os.geteuid(), os.getegid()
    if _LIBC.unshare(_CLONE_NEWNS | (_CLONE_NEWUSER if "user" in view else 0)):
        _fail("unshare")
    if "user" in view:
        _write("/proc/self/uid_map", f"{UID} {uid} 1")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/gid_map", f"{GID} {gid} 1")


def _refill(folder: str, content: int, additional: list[str]) -> None:
    """Cover a folder with what lies in another one, or in itself until now, and with some empty folders."""
    names = os.listdir(f"/proc/self/fd/{content}")  # noqa: PTH208 - without pathlib
    _mount("none", folder, "tmpfs", 0, "mode=755,size=1m")
    for name in names:
        source, place = f"/proc/self/fd/{content}/{name}", f"{folder}/{name}"
        if place in additional:
            continue
        if os.path.islink(source):  # noqa: PTH114 - without pathlib
            os.symlink(os.readlink(source), place)  # noqa: PTH115, PTH211 - the same
            continue
        if os.path.isdir(source):  # noqa: PTH112 - the same
            os.mkdir(place)  # noqa: PTH102 - the same
        else:
            os.close(os.open(place, os.O_CREAT | os.O_CLOEXEC))
        _mount(source, place, None, _BIND | _REC)
    for place in additional:
        os.mkdir(place)  # noqa: PTH102 - the same


def _show_lang(environment: int, library: int, version: str) -> None:
    """Show a virtual environment and the standard library of its interpreter as one installation, as on AWS.

    Args:
        environment: The environment.
        library: The library's folder, with a folder for packages.
        version: Its name: `python3.12`.
    """
    own, packages = f"{LANG}/lib/{version}", f"lib/{version}/site-packages"
    _mount("none", LANG, "tmpfs", 0, "mode=755,size=64k")
    for folder in (f"{LANG}/bin", f"{LANG}/lib", own):
        os.mkdir(folder)  # noqa: PTH102 - without pathlib
    # Python looks for its library above this folder.
    _write(f"{LANG}/pyvenv.cfg", f"home = {LANG}/bin\ninclude-system-site-packages = false\n")
    for source, place in (
        (f"{environment}/bin", f"{LANG}/bin"),
        (f"{library}", own),
        (f"{environment}/{packages}", f"{LANG}/{packages}"),
    ):
        _mount(f"/proc/self/fd/{source}", place, None, _BIND | _REC)
        _read_only(place)
    _read_only(LANG)


def _show_opt(opt: int, kept: dict[str, int]) -> None:
    if any(path.startswith(f"{OPT}/") for path in kept):
        # The interpreter lies there, for example.
        _refill(OPT, opt, [])
        _put_back(kept, OPT)
    else:
        _bind(opt, OPT, read_only=True)


def _show_tmp(view: View, kept: dict[str, int]) -> None:
    _mount("none", TMP, "tmpfs", 0, f"mode=1777,size={view['tmp'][0]}m")
    _put_back(kept, TMP)


def _put_back(kept: dict[str, int], folder: str) -> None:
    for path, descriptor in kept.items():
        if path.startswith(f"{folder}/"):
            os.makedirs(path, exist_ok=True)  # noqa: PTH103 - without pathlib
            _bind(descriptor, path, read_only=False)


def _opened(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def _bind(descriptor: int, place: str, *, read_only: bool) -> None:
    _mount(f"/proc/self/fd/{descriptor}", place, None, _BIND | _REC)
    if read_only:
        _read_only(place)


def _read_only(place: str) -> None:
    flags = os.statvfs(place).f_flag
    kept = sum(number for flag, number in _KEPT_FLAGS.items() if flags & flag)
    _mount(None, place, None, _REMOUNT | _BIND | _RDONLY | kept)


def _mount(source: str | None, place: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [text.encode(errors="surrogateescape") if text is not None else None for text in (source, place, kind)]
    if _LIBC.mount(*encoded, ctypes.c_ulong(flags), data.encode() if data else None):
        _fail(f"mount {source} {place}")


def _drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    if _LIBC.capset(header, (ctypes.c_uint32 * 6)()):
        _fail("capset")


def _fail(what: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main()
