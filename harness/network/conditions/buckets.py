"""Bandwidth: the token bucket of a function, and a cable that several share.

    tokens   full: the burst    |####      |   bytes pass at the burst's bandwidth
             a pulse's worth    |#         |   every `pulse_s`, `base * pulse_s` more bytes may pass, at once
             none               |          |   nothing passes until the next pulse

All times are seconds on any clock that ascends, and all sizes are bytes.
"""

import math

MB = 1_000_000


class TokenBucket:
    """Limit one direction of a function's traffic.

    Args:
        burst: The size of the bucket, which is full at first.
        burst_rate: Bandwidth while there are tokens, bytes/s.
        base_rate: Bandwidth in the long run, bytes/s; above `burst_rate`, it is that.
        pulse_s: The interval in which that bandwidth is granted; 0 for continuously.
        now: The time.
    """

    def __init__(self, burst: float, burst_rate: float, base_rate: float, pulse_s: float, now: float) -> None:
        self._size, self._burst_rate, self._pulse_s = burst, burst_rate, pulse_s
        self.limit(base_rate)
        self._tokens = burst
        # Tokens were granted up to this time; it moves on while bytes of the burst pass, as nothing is granted then.
        self._granted_until = now
        # When the last byte so far has passed.
        self._free_at = now

    def limit(self, base_rate: float) -> None:
        """Set the bandwidth in the long run, bytes/s."""
        self._rate = min(base_rate, self._burst_rate)
        self._pulse = self._rate * self._pulse_s

    def pass_bytes(self, count: float, now: float) -> float:
        """Take these bytes, behind all earlier ones.

        Args:
            count: How many.
            now: When they arrive.

        Returns:
            When the last of them has passed; `now` at the earliest.
        """
        at = max(now, self._free_at)
        if at - self._granted_until >= self._pulse_s:
            self._grant(at)
        if count < self._tokens - self._pulse:
            # Nearly all calls: bytes of the burst.
            seconds = count / self._burst_rate
            self._tokens -= count
            self._granted_until += seconds
            self._free_at = at + seconds
            return self._free_at
        sent = min(count, self._tokens)
        of_burst = min(sent, max(0.0, self._tokens - self._pulse))
        self._granted_until += of_burst / self._burst_rate
        self._tokens -= sent
        at += sent / self._burst_rate
        if count > sent:
            at = self._starve(count - sent, at)
        self._free_at = at
        return at

    @property
    def base_rate(self) -> float:
        """The bandwidth in the long run, bytes/s."""
        return self._rate

    def _grant(self, now: float) -> None:
        """Add what was granted since the last time."""
        idle_s = now - self._granted_until
        if idle_s <= 0:
            return
        if self._pulse_s:
            # A grid that is a rounding error behind must not lose a pulse.
            idle_s = self._pulse_s * math.floor(idle_s / self._pulse_s + 1e-9)
        self._tokens = min(self._tokens + self._rate * idle_s, max(self._size, self._pulse))
        self._granted_until += idle_s

    def _starve(self, count: float, at: float) -> float:
        """Return when bytes for which there are no tokens have passed, with the tokens that are granted until then."""
        if not self._pulse_s:
            at += count / self._rate
            self._granted_until = at
            return at
        pulses = math.ceil(count / self._pulse)
        self._granted_until += pulses * self._pulse_s
        self._tokens = pulses * self._pulse - count
        # The bytes of a last pulse pass at the burst's bandwidth, once it is granted.
        return max(at, self._granted_until) + (count - (pulses - 1) * self._pulse) / self._burst_rate


class SharedCable:
    """Limit the traffic of all that share it, in one direction.

    Args:
        rate: Bandwidth, bytes/s.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free_at = -math.inf

    def pass_bytes(self, count: float, now: float) -> float:
        """Take these bytes, behind all earlier ones; return when the last of them has passed."""
        at = max(now, self._free_at)
        self._free_at = at + count / self._rate
        return self._free_at
