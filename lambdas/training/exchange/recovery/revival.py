"""Revival: a rank that waits for another finds out that it is dead, and one of those that wait invokes its event again.

Lambda retries an event a minute after its first failure, and two minutes after its second; the others would wait, and
be billed, that long.

    lease of a rank that does not wait itself    what it means
    its heartbeat moves                          the rank lives, however long it computes
    no heartbeat for `patience_s`                the rank is dead, or its last try has failed
    gone for `patience_s`, though it was there   the same; a holder that lives adds its lease again
    never seen in round 0, or left by an         a cold start: Lambda has the rank's event, and nobody can tell a slow
      earlier link                               start from a lost one
    done                                         the rank needs nothing more
    of a link after the next one                 this rank was replaced long ago, or somebody else writes leases:
                                                   left to Lambda, as each link counts its own revivals

The lowest of the ranks that wait watches the others' leases, and revives. If two do, or if the rank lives after all,
that costs one short invocation: the record of the revival decides between survivors, and the lease between tries.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from training.exchange.recovery.lease import HEARTBEAT_S, STANDS_STILL_S, Holder, LeaseState, read_holder

# How often the peers revive a rank in one link; Lambda's own retries of its events come on top.
MOST_REVIVALS = 3
# Each revival has to wait that many times as long as the one before: 1.2 s, 4.8 s, 19.2 s.
PATIENCE_GROWTH = 4
# Whoever has not looked for longer knows nothing: its own network was cut, or it stood still itself.
BLIND_S = 2 * HEARTBEAT_S


class DeadRank(NamedTuple):
    """A rank whose event is to be invoked again.

    Attributes:
        rank: The rank.
        link: Which link of its chain of functions died.
        revivals: How often that link has been revived, as far as this rank knows.
        stood_still_s: For how long its lease has not moved.
        lease: What the lease was all that time; empty if it was gone.
    """

    rank: int
    link: int
    revivals: int
    stood_still_s: float
    lease: bytes


class Revive(Protocol):
    """Invokes a dead rank's event."""

    def __call__(self, dead: DeadRank) -> int:
        """Revive a rank unless another survivor does, and nothing speaks against it.

        Returns:
            How often that link has been revived by now; `MOST_REVIVALS` if it must not be revived any more.
        """


class _Sighting(NamedTuple):
    value: bytes | None
    since: float
    last: float


class LeaseWatch:
    """What one rank sees of the leases of others.

    Args:
        rank: This rank.
        others: The other ranks.
        link: Which link of the chain of functions it is.

    Attributes:
        ranks: The ranks whose leases are to be read with the next poll.
    """

    def __init__(self, rank: int, others: Sequence[int], link: int) -> None:
        self._rank, self._others, self._link = rank, others, link
        self.ranks: list[int] = []
        self._seen: dict[int, _Sighting] = {}
        self._joined: set[int] = set()
        self._all_joined = False
        self._revivals: dict[tuple[int, int], int] = {}

    def see(self, leases: Mapping[int, bytes | None], now: float) -> None:
        """Take in what a poll found of the leases of `ranks`; None for one that is not there."""
        self._joined |= {rank for rank, value in leases.items() if value is not None}
        seen = {}
        for rank, value in leases.items():
            known = self._seen.get(rank)
            stood_still = known is not None and known.value == value and now - known.last <= BLIND_S
            seen[rank] = _Sighting(value, known.since if known and stood_still else now, now)
        self._seen = seen

    def choose(self, waiting: Collection[int]) -> None:
        """Choose whom to watch: all that do not wait, if this rank is the lowest of those that do.

        Args:
            waiting: The other ranks that wait.
        """
        lowest = min(waiting, default=self._rank) >= self._rank
        self.ranks = [rank for rank in self._others if rank not in waiting] if lowest else []

    def dead(self, keys: Mapping[int, str], now: float, *, all_joined: bool) -> list[DeadRank]:
        """Return the ranks that this rank is to revive now.

        Args:
            keys: The key of each rank's lease.
            now: The clock.
            all_joined: Whether every rank has been in this run, as the rounds after round 0 imply. It stays true when
                all go back to a checkpoint, and to its round 0.

        Raises:
            ImpossibleValue: No try of a rank can have written the lease that is there.
        """
        found = []
        self._all_joined |= all_joined
        for rank in self.ranks:
            if (sighting := self._seen.get(rank)) is None:
                continue
            holder = None if sighting.value is None else read_holder(keys[rank], sighting.value)
            if holder is None and not (self._all_joined or rank in self._joined):
                continue
            if holder is not None and (holder.state == LeaseState.DONE or _is_elsewhere(holder, self._link)):
                continue
            link = self._link if holder is None else holder.link
            revivals, stood_still_s = self._revivals.get((rank, link), 0), now - sighting.since
            if revivals < MOST_REVIVALS and stood_still_s >= patience_s(revivals):
                found.append(DeadRank(rank, link, revivals, stood_still_s, sighting.value or b""))
        return found

    def revived(self, dead: DeadRank, revivals: int, now: float) -> None:
        """Note how often a rank has been revived; its lease is watched anew from now on."""
        self._revivals[dead.rank, dead.link] = revivals
        known = self._seen[dead.rank]
        self._seen[dead.rank] = _Sighting(known.value, now, now)


def patience_s(revivals: int) -> float:
    """Return for how long a lease must stand still before its rank is revived, after so many revivals, seconds."""
    return STANDS_STILL_S * float(PATIENCE_GROWTH**revivals)


def _is_elsewhere(holder: Holder, link: int) -> bool:
    """Return whether a rank is on its way to this link, or claims to be far past it."""
    return (holder.state == LeaseState.LEFT and holder.link < link) or holder.link > link + 1
