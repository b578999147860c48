"""The lease: which of several deliveries of a rank's event runs.

`<run_id>/lease/<rank>` names the try that holds the rank; a small thread moves its heartbeat, however long a round
computes.

    the key                           what the next delivery does
    absent (first, or evicted)        add it: exactly one of several succeeds
    held, and its heartbeat moves     leave: this is a second delivery of the same event
    held, but its heartbeat stops     wait `STANDS_STILL_S`, then take over as the next attempt; a peer that invoked
                                      this event has waited already
    left                              take over at once, as the next attempt or link
    done, or of a later link          leave: this event is an old one

    holder   heartbeat 1 ... heartbeat 2 ... dies
    retry                                         | reads | same heartbeat for 1.2 s | replaces it: attempt 2
    holder, if it only slept                                                         | finds a foreign token: stops

A holder that finds its key gone adds it again: the cache was restarted, or the key has moved to another node.
There it may find an older lease, left when the key was on that node before: the later attempt goes on; of two equal
ones the other, if its heartbeat moves. So one of several always goes on.
A lease holds counters and no times, so that clocks need not agree; one with impossible counters is refused.
"""

import logging
import secrets
import threading
from collections.abc import Callable
from enum import IntEnum, unique

import msgspec

from training.errors import ChannelError, ChannelSilent, DuplicateDelivery, ImpossibleValue
from training.exchange.channel.base import Channel
from training.exchange.clock import Clock

logger = logging.getLogger(__name__)

HEARTBEAT_S = 0.3
# Four heartbeats: a busy machine may lose one or two.
STANDS_STILL_S = 1.2
WATCH_POLL_S = 0.05
RETRY_S = 0.1
# A holder looks for new nodes with every third heartbeat, before anybody takes its lease for one that stands still.
HEARTBEATS_PER_LOOK = 3


# More than any run reaches: Lambda ends an invocation after 15 minutes, which are 3,000 heartbeats.
MOST_LINKS, MOST_ATTEMPTS, MOST_HEARTBEATS = 10_000, 100_000, 10_000_000
LONGEST_TOKEN = 64


@unique
class LeaseState(IntEnum):
    """Whether a rank is held."""

    HELD = 0
    LEFT = 1
    DONE = 2


class Holder(msgspec.Struct, frozen=True, array_like=True):
    """The try that holds a rank.

    Attributes:
        token: Names this try; no other has the same.
        link: Which link of the chain of functions it is, from 1.
        attempt: Which try of the rank it is over all links, from 1.
        tries: Which of Lambda's own tries of this link it is, from 1; tries that peers invoked are not counted.
        heartbeat: Grows while the holder lives.
        state: Whether it still holds it.
    """

    token: str
    link: int = 1
    attempt: int = 1
    tries: int = 1
    heartbeat: int = 0
    state: LeaseState = LeaseState.HELD


class Lease:
    """One rank's lease.

    Args:
        connect: Opens a separate channel for the lease.
        key: Its key.
        link: Which link of the chain of functions this is.
        clock: What waits go by.
        revived: Whether a peer has invoked this event, and not Lambda.
        stood_still: The lease that the peer has seen stand still; empty for none.
    """

    def __init__(
        self,
        connect: Callable[[], Channel],
        key: str,
        link: int,
        clock: Clock = Clock(),  # noqa: B008
        *,
        revived: bool = False,
        stood_still: bytes = b"",
    ) -> None:
        self._connect, self._key, self._clock, self._revived = connect, key, clock, revived
        self._stood_still = stood_still
        self._channel: Channel | None = None
        self._holder = Holder(secrets.token_hex(8), link)
        self._lost = False
        # The lease of an equal attempt that this one has found under its key, and for how many heartbeats it has stood.
        self._rival, self._rival_stands = b"", 0
        self._refusal: ImpossibleValue | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def token(self) -> str:
        """The name of this try."""
        return self._holder.token

    @property
    def attempt(self) -> int:
        """Which try of the rank this is, over all links."""
        return self._holder.attempt

    @property
    def tries(self) -> int:
        """Which of Lambda's own tries of this link this is."""
        return self._holder.tries

    def acquire(
        self, patience_s: float, silence_s: float = 0.0, note: Callable[[str], None] = lambda _cause: None
    ) -> bool:
        """Take the lease; return False when another delivery of the event holds it, or is done.

        Args:
            patience_s: How long to retry a channel that cannot be reached.
            silence_s: How long to retry one that can be reached and does not answer, if that is longer.
            note: Called with the cause of each retry.

        Raises:
            ImpossibleValue: No try of this rank can have written the lease that is there.
            ChannelError: The channel failed until then.
        """
        started, seen, since = self._clock.now(), b"", 0.0
        while True:
            now = self._clock.now()
            try:
                found = self._add_or_read()
                if found is None:
                    return True
                other = read_holder(self._key, found)
                if other.token == self._holder.token:
                    self._holder = other  # it was stored though its answer was lost
                    return True
                if other.link > self._holder.link or (
                    other.link == self._holder.link and other.state == LeaseState.DONE
                ):
                    return False
                if seen and found != seen and other.state == LeaseState.HELD:
                    return False
                if found != seen:
                    seen, since = found, now
                free = other.state != LeaseState.HELD or found == self._stood_still or now - since >= STANDS_STILL_S
                if free and self._take_over(found, other):
                    return True
            except ChannelError as error:
                limit_s = max(patience_s, silence_s) if isinstance(error, ChannelSilent) else patience_s
                if now - started >= limit_s:
                    raise
                note(str(error))
                self._clock.sleep(RETRY_S)
            self._clock.sleep(WATCH_POLL_S)

    def keep(self) -> None:
        """Move the heartbeat from now on, in a separate thread."""
        self._thread = threading.Thread(target=self._keep_alive, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Check whether this try still holds the rank; no request is made.

        Raises:
            ImpossibleValue: No try of this rank can have written the lease that is there.
            DuplicateDelivery: Another try holds it.
        """
        if self._refusal is not None:
            raise self._refusal
        if self._lost:
            raise DuplicateDelivery(f"another delivery of this event has taken {self._key} over")

    def leave(self, *, done: bool = False) -> None:
        """Give the lease back, so that the next try or link need not watch it first."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._channel is None:
            return
        if not self._lost:
            state = LeaseState.DONE if done else LeaseState.LEFT
            left = msgspec.structs.replace(self._holder, state=state)
            try:
                self._channel.replace_if(self._key, _packed(self._holder), _packed(left))
            except ChannelError as error:
                logger.warning("the lease stays: %s", error)
        self._channel.close()

    def heartbeat(self) -> None:
        """Move the heartbeat once; find out whether the lease is lost.

        Raises:
            ChannelError: The channel is not reachable.
        """
        channel = self._open()
        moved = msgspec.structs.replace(self._holder, heartbeat=self._holder.heartbeat + 1)
        if channel.replace_if(self._key, _packed(self._holder), _packed(moved)):
            self._holder = moved
            return
        found = channel.get_many([self._key]).get(self._key)
        if found is None:
            # The cache was restarted or has evicted it.
            if channel.add(self._key, _packed(moved)):
                self._holder = moved
            return
        other = read_holder(self._key, found)
        if other.token == self._holder.token:
            self._holder = other  # a heartbeat was stored though its answer was lost
        else:
            self._meet(other, found, moved)

    def _meet(self, other: Holder, found: bytes, moved: Holder) -> None:
        """Yield to another try, or overwrite the lease that it has left behind."""
        theirs, ours = (other.link, other.attempt), (self._holder.link, self._holder.attempt)
        if theirs == ours and found != self._rival:
            self._lost = bool(self._rival)  # its heartbeat moves
            self._rival, self._rival_stands = found, 0
            return
        self._rival_stands += 1
        if theirs > ours:
            self._lost = True
        elif theirs < ours or self._rival_stands * HEARTBEAT_S >= STANDS_STILL_S:
            self._rival = b""
            if self._open().replace_if(self._key, found, _packed(moved)):
                self._holder = moved

    def _keep_alive(self) -> None:
        beats = 0
        while not self._stop.wait(HEARTBEAT_S) and not self._lost:
            beats += 1
            try:
                if beats % HEARTBEATS_PER_LOOK == 0:
                    self._open().refresh()
                self.heartbeat()
            except ChannelError as error:
                logger.debug("no heartbeat: %s", error)
            except ImpossibleValue as error:
                self._refusal = error  # the training thread finds it at the next round
                return

    def _add_or_read(self) -> bytes | None:
        """Return what another try has stored; None when this one has just added its own."""
        channel = self._open()
        while not channel.add(self._key, _packed(self._holder)):
            found = channel.get_many([self._key]).get(self._key)
            if found is not None:
                return found
        return None

    def _take_over(self, found: bytes, other: Holder) -> bool:
        tries = other.tries + (not self._revived) if other.link == self._holder.link else 1
        own = msgspec.structs.replace(self._holder, attempt=other.attempt + 1, tries=tries)
        if self._open().replace_if(self._key, found, _packed(own)):
            self._holder = own
            return True
        return False

    def _open(self) -> Channel:
        if self._channel is None:
            self._channel = self._connect()
        return self._channel


def read_holder(key: str, value: bytes) -> Holder:
    """Return the try that a lease names.

    Args:
        key: Where the lease is.
        value: What is there.

    Raises:
        ImpossibleValue: No try of a rank can have written it.
    """
    try:
        holder = msgspec.msgpack.decode(value, type=Holder)
    except msgspec.MsgspecError as error:
        raise ImpossibleValue(key, f"{value[:40]!r} is no lease ({error})") from error
    counters = {
        "link": (holder.link, 1, MOST_LINKS),
        "attempt": (holder.attempt, 1, MOST_ATTEMPTS),
        "tries": (holder.tries, 1, holder.attempt),
        "heartbeat": (holder.heartbeat, 0, MOST_HEARTBEATS),
    }
    for name, (count, least, most) in counters.items():
        if not least <= count <= most:
            raise ImpossibleValue(key, f"{name} is {count}, allowed are {least} to {most}", f"attempt {holder.attempt}")
    if len(holder.token) > LONGEST_TOKEN:
        raise ImpossibleValue(key, f"the token has {len(holder.token)} characters", f"attempt {holder.attempt}")
    return holder


def _packed(holder: Holder) -> bytes:
    return msgspec.msgpack.encode(holder)
