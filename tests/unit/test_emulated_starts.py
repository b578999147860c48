"""How long environments are held back under an emulated network."""

import asyncio
from types import SimpleNamespace

import pytest

from harness.gateway.starts import EmulatedStarts
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.preset import load_preset

ZIP = SimpleNamespace(image=None)


def starts(*overrides, seed=0):
    """Emulated starts by the default preset, with other figures."""
    preset = load_preset(overrides=overrides)
    figures = {name: figure.value for name, figure in preset.figures.items()}
    return EmulatedStarts(EmulatedNetwork(preset=preset.name, figures=figures, seed=seed))


def image(own_mb):
    """A function that runs from an image of this size above its base."""
    return SimpleNamespace(image=SimpleNamespace(own_bytes=own_mb * 1_000_000))


def test_a_start_is_held_for_a_cold_start_of_its_kind():
    """A zip's, an image's, and more for a large image."""
    cold = ("cold_start_zip=80", "cold_start_image=150", "cold_start_image_mb=0.5", "fan_out=1:0.08,100:0.53")

    assert starts(*cold).begin(ZIP, 10.0) == pytest.approx(10.08)
    assert starts(*cold).begin(image(0), 10.0) == pytest.approx(10.15)
    assert starts(*cold).begin(image(100), 10.0) == pytest.approx(10.2)


def test_many_starts_at_once_follow_the_fan_out():
    """The hundredth function begins when AWS's does; the next burst begins anew."""
    some = starts("cold_start_zip=80", "fan_out=1:0.08,100:0.53")

    due = [some.begin(ZIP, 5.0) for _ in range(100)]

    assert due == sorted(due)
    assert due[0] == pytest.approx(5.08)
    assert due[-1] == pytest.approx(5.53)
    for _ in due:
        some.end()
    assert some.begin(ZIP, 50.0) == pytest.approx(50.08)


def test_starts_are_scaled_and_seeded():
    """Warm functions start at once; one seed draws the same starts again."""
    assert starts("start_scale=0").begin(ZIP, 3.0) == 3.0
    drawn, again, other = ([some.begin(ZIP, 0.0) for _ in range(5)] for some in (starts(), starts(), starts(seed=1)))
    assert drawn == again
    assert drawn != other


def test_an_environment_that_nobody_waits_for_is_stopped():
    """A start that is cancelled while it is held leaves no process."""
    stopped = []

    async def cancelled_while_held():
        started = asyncio.Event()

        async def stop():
            stopped.append(True)

        async def begin():
            started.set()
            return SimpleNamespace(stop=stop)

        task = asyncio.ensure_future(starts("cold_start_zip=60000").run(ZIP, begin))
        await started.wait()
        await asyncio.sleep(0)  # until the task waits
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled_while_held())

    assert stopped == [True]
