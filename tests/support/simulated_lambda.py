"""Lambda in virtual time: peers invoke the event of a dead rank, as `training.run.reviving` does on AWS."""

# A request to S3, one to Lambda, and a start.
REQUEST_S = 0.02
START_S = 0.2


class SimulatedReviver:
    """Revives dead ranks; the count of revivals outlives all ranks and the cache, as records in S3 do.

    Args:
        simulation: The simulation.
        rank: The rank that revives.
    """

    def __init__(self, simulation, rank):
        self._simulation, self._rank = simulation, rank

    def __call__(self, dead):
        """See `training.exchange.recovery.revival.Revive`."""
        simulation, key = self._simulation, (dead.rank, dead.link)
        simulation.asked_revivals.append((simulation.time, dead))
        simulation.sleep(REQUEST_S)
        made = simulation.revivals.get(key, 0)
        if made > dead.revivals:
            return made
        # Another survivor may have listed the records at the same time; the first one to write decides.
        simulation.sleep(REQUEST_S)
        if simulation.revivals.get(key, 0) != made:
            return made + 1
        simulation.revivals[key] = made + 1
        simulation.sleep(REQUEST_S)
        simulation.notes.append((round(simulation.time, 4), "revived", self._rank, {"whom": dead.rank}))
        simulation.deliver(dead.rank, START_S, stood_still=dead.lease, revived=True)
        return made + 1
