"""A channel in virtual time whose operations meet a schedule's faults."""

from contextlib import contextmanager
from typing import NamedTuple

from training.errors import ChannelError
from training.exchange.channel.memory import MemoryChannel
from training.exchange.keys import key_of

LEASES = key_of("run", "lease/")


# What strikes before the store that it is aimed at; all else strikes when the values are there.
BEFORE_THE_STORE = {"outage", "refuse", "kill", "mute"}
# What keeps a lease from being moved or found, and what of that lasts.
DISTURBS = {"restart", "outage", "refuse", "evict", "freeze", "usurp"}
LASTS = {"restart", "outage", "refuse", "freeze"}


class Disturbance(NamedTuple):
    """When a lease could not be moved, or was lost.

    Attributes:
        kind: The fault.
        rank: Whose lease; None for all ranks'.
        since: When it began.
        until: When it was over.
    """

    kind: str
    rank: int | None
    since: float
    until: float


class SimulatedChannel(MemoryChannel):
    """A channel in memory whose operations take time and meet the schedule's faults.

    restart   every value is gone          outage    no operation passes for a time
    evict     a share of the keys is gone  refuse    no store passes for a time
    corrupt   one byte of one value        kill      a rank dies at its next operation; what it puts gets there in part
    freeze    a rank stands still          end       the same of all ranks
    duplicate a rank's event is delivered  mute      an operation of a rank takes effect, and its answer is lost
              once more, beside its try    usurp     the same as `duplicate`, and the cache has just lost the lease:
                                                     both run until the first one's next heartbeat
    straggle  a rank's next computation is long      fail   a rank's try ends with an error after its next computation;
                                                     it leaves its lease, and its event is delivered again later

    A fault that is aimed at a kind of key (`Fault.of`) strikes whoever stores such a key next, and those values alone,
    or those that it `loses`.
    From `heals_at` on nothing fails, and whatever failed works again.
    """

    def __init__(self, simulation):
        super().__init__(max_value_bytes=90)  # small, so that frames and states come in several pieces
        self._simulation = simulation
        self._faults = sorted(simulation.schedule.faults, key=lambda fault: -fault.operation)
        self._operations = 0
        self._down_until = self._full_until = 0.0
        self._kills, self._mutes, self._aimed = {}, set(), []

    def put_many(self, values):
        """Puts values; a rank that dies here has put a share of them."""
        with self._operation(values) as death:
            if death is not None:
                keys = list(values)[: int(death.share * (len(values) + 1))]
                values = {key: values[key] for key in keys}
            super().put_many(values)

    def get_many(self, keys):
        """Gets values."""
        with self._operation():
            return super().get_many(keys)

    def add(self, key, value):
        """Puts a value unless it is there; a rank that dies here may have put it."""
        with self._operation([key]) as death:
            stored = (death is None or death.share >= 0.5) and super().add(key, value)
            if stored:
                process = self._simulation.current.process
                process.stored_at = min(process.stored_at, self._simulation.time)
            return stored

    def replace_if(self, key, old, new):
        """Puts a value in place of another; a rank that dies here may have put it."""
        with self._operation([key]) as death:
            return (death is None or death.share >= 0.5) and super().replace_if(key, old, new)

    def delete_many(self, keys):
        """Deletes values."""
        with self._operation():
            super().delete_many(keys)

    @contextmanager
    def _operation(self, stored=()):
        """One operation: it takes time, and may fail, take effect without an answer, or be its rank's last one."""
        simulation, process = self._simulation, self._simulation.current.process
        process.failure = ""
        simulation.sleep(simulation.random.uniform(5e-5, 1e-3))
        self._operations += 1
        later = self._strike(process, stored)
        death = None if simulation.healed else self._kills.pop(process.rank, None)
        if simulation.time < self._down_until:
            process.failure = "connection refused"
        elif stored and death is None and simulation.time < self._full_until:
            process.failure = "out of memory storing object"
        if not process.failure:
            yield death
            for fault in later:
                self._hit(fault, process.rank, fault.hits(stored, self._values))
        if death is not None:
            simulation.kill(process.rank, death.seconds)
        if not process.failure and not simulation.healed and process.rank in self._mutes:
            self._mutes.remove(process.rank)
            simulation.disturbances.append(Disturbance("mute", process.rank, simulation.time, simulation.time))
            process.failure = "no answer"
        if process.failure:
            raise ChannelError(process.failure)

    def _strike(self, process, stored):
        """Lets the faults happen that are due; returns those that strike once the values are stored."""
        while self._faults and self._faults[-1].operation <= self._operations:
            fault = self._faults.pop()
            if fault.of:
                self._aimed.append(fault)
            else:
                self._hit(fault, fault.rank % self._simulation.schedule.world_size, self._values)
        due = [fault for fault in self._aimed if any(map(fault.strikes, stored))] if self._aimed else []
        for fault in due:
            self._aimed.remove(fault)
            if fault.kind in BEFORE_THE_STORE:
                self._hit(fault, process.rank, ())
        return [fault for fault in due if fault.kind not in BEFORE_THE_STORE]

    def _hit(self, fault, rank, keys):
        if not self._simulation.healed:
            if fault.kind in DISTURBS:
                whom = rank if fault.kind in ("freeze", "usurp") else None
                until = self._simulation.ends(fault.seconds if fault.kind in LASTS else 0.0)
                self._simulation.disturbances.append(Disturbance(fault.kind, whom, self._simulation.time, until))
            getattr(self, f"_{fault.kind}")(fault, rank, sorted(keys))

    def _restart(self, fault, rank, keys):
        self._values.clear()
        self._outage(fault, rank, keys)

    def _outage(self, fault, _rank, _keys):
        self._down_until = self._simulation.ends(fault.seconds)

    def _refuse(self, fault, _rank, _keys):
        self._full_until = self._simulation.ends(fault.seconds)

    def _evict(self, fault, _rank, keys):
        for key in keys:
            if self._simulation.random.random() < fault.share:
                self._values.pop(key, None)

    def _corrupt(self, fault, _rank, keys):
        # A lease has no checksum: another token in it reads as another try.
        keys = [key for key in keys if not key.startswith(LEASES) and key in self._values]
        if keys:
            key = keys[int(fault.share * (len(keys) - 1))]
            value = bytearray(self._values[key])
            value[int(fault.share * (len(value) - 1))] ^= 0x55
            self._values[key] = bytes(value)

    def _kill(self, fault, rank, _keys):
        self._kills[rank] = fault

    def _end(self, fault, _rank, _keys):
        for rank in range(self._simulation.schedule.world_size):
            self._kills[rank] = fault

    def _mute(self, _fault, rank, _keys):
        self._mutes.add(rank)

    def _freeze(self, fault, rank, _keys):
        self._simulation.freeze(rank, fault.seconds)

    def _duplicate(self, _fault, rank, _keys):
        self._simulation.deliver_again(rank)

    def _straggle(self, fault, rank, _keys):
        self._simulation.long_computations[rank] = fault.seconds

    def _fail(self, fault, rank, _keys):
        self._simulation.failures[rank] = fault.seconds

    def _usurp(self, _fault, rank, _keys):
        self._values.pop(f"{LEASES}{rank}", None)
        self._simulation.deliver_again(rank)
