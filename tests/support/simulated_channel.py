"""A channel in virtual time whose operations meet a schedule's faults."""

from contextlib import contextmanager

from training.errors import ChannelError
from training.exchange.channel.memory import MemoryChannel
from training.exchange.keys import key_of

LEASES = key_of("run", "lease/")


class SimulatedChannel(MemoryChannel):
    """A channel in memory whose operations take time and meet the schedule's faults.

    restart   every value is gone          outage    no operation passes for a time
    evict     a share of the keys is gone  refuse    no store passes for a time
    corrupt   one byte of one value        kill      a rank dies at its next operation; what it puts gets there in part
    freeze    a rank stands still          mute      an operation of a rank takes effect, and its answer is lost
    duplicate a rank's event is delivered once more, beside the try that runs
    usurp     the same, and the cache has just lost the lease: both run until the first one's next heartbeat

    From `heals_at` on nothing fails, and whatever failed works again.
    """

    def __init__(self, simulation):
        super().__init__(max_value_bytes=90)  # small, so that frames and states come in several pieces
        self._simulation = simulation
        self._faults = sorted(simulation.schedule.faults, key=lambda fault: -fault.operation)
        self._operations = 0
        self._down_until = self._full_until = 0.0
        self._kills, self._mutes = {}, set()

    def put_many(self, values):
        """Puts values; a rank that dies here has put a share of them."""
        with self._operation(stores=True) as death:
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
        with self._operation(stores=True) as death:
            return (death is None or death.share >= 0.5) and super().add(key, value)

    def replace_if(self, key, old, new):
        """Puts a value in place of another; a rank that dies here may have put it."""
        with self._operation(stores=True) as death:
            return (death is None or death.share >= 0.5) and super().replace_if(key, old, new)

    def delete_many(self, keys):
        """Deletes values."""
        with self._operation():
            super().delete_many(keys)

    @contextmanager
    def _operation(self, *, stores=False):
        """One operation: it takes time, and may fail, take effect without an answer, or be its rank's last one."""
        simulation, process = self._simulation, self._simulation.current.process
        process.failure = ""
        simulation.sleep(simulation.random.uniform(5e-5, 1e-3))
        self._operations += 1
        while self._faults and self._faults[-1].operation <= self._operations:
            self._strike(self._faults.pop())
        death = None if simulation.healed else self._kills.pop(process.rank, None)
        if simulation.time < self._down_until:
            process.failure = "connection refused"
        elif stores and death is None and simulation.time < self._full_until:
            process.failure = "out of memory storing object"
        if not process.failure:
            yield death
        if death is not None:
            simulation.kill(process.rank, death.seconds)
        if not process.failure and process.rank in self._mutes:
            self._mutes.remove(process.rank)
            process.failure = "no answer"
        if process.failure:
            raise ChannelError(process.failure)

    def _strike(self, fault):
        if not self._simulation.healed:
            getattr(self, f"_{fault.kind}")(fault, fault.rank % self._simulation.schedule.world_size)

    def _restart(self, fault, rank):
        self._values.clear()
        self._outage(fault, rank)

    def _outage(self, fault, _rank):
        self._down_until = self._simulation.ends(fault.seconds)

    def _refuse(self, fault, _rank):
        self._full_until = self._simulation.ends(fault.seconds)

    def _evict(self, fault, _rank):
        for key in sorted(self._values):
            if self._simulation.random.random() < fault.share:
                del self._values[key]

    def _corrupt(self, fault, _rank):
        # A lease has no checksum: another token in it reads as another try.
        keys = sorted(key for key in self._values if not key.startswith(LEASES))
        if keys:
            key = keys[int(fault.share * (len(keys) - 1))]
            value = bytearray(self._values[key])
            value[int(fault.share * (len(value) - 1))] ^= 0x55
            self._values[key] = bytes(value)

    def _kill(self, fault, rank):
        self._kills[rank] = fault

    def _mute(self, _fault, rank):
        self._mutes.add(rank)

    def _freeze(self, fault, rank):
        self._simulation.freeze(rank, fault.seconds)

    def _duplicate(self, _fault, rank):
        self._simulation.deliver_again(rank)

    def _usurp(self, _fault, rank):
        self._values.pop(f"{LEASES}{rank}", None)
        self._simulation.deliver_again(rank)
