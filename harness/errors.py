"""The harness's error: a failure that the user can fix, in three lines at most."""


class HarnessError(Exception):
    """What went wrong, where, and what to do about it.

    Args:
        what: One line that states the failure with the value that caused it.
        where: The file, service, port or address concerned; empty when `what` says it.
        remedy: What to do next; empty when nothing but `what` is known.
    """

    def __init__(self, what: str, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        super().__init__("\n".join(line for line in (what, where, remedy) if line))
