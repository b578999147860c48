"""One suite for every channel: the in-memory one, and Memcached through its configuration endpoint."""

import uuid

import pytest

from training.errors import ChannelError, ValueTooLarge
from training.exchange.channel.memcached import MemcachedChannel
from training.exchange.channel.memory import MemoryChannel


@pytest.fixture(params=["memory", "memcached", "plain memcached"])
def channel(request):
    """Each channel in turn; Memcached also without a configuration endpoint in front."""
    if request.param == "memory":
        yield MemoryChannel()
        return
    name = "discovery_address" if request.param == "memcached" else "memcached_address"
    address = request.getfixturevalue(name)
    host, port = address.split(":")
    opened = MemcachedChannel(host, int(port))
    yield opened
    opened.close()


@pytest.fixture
def prefix():
    """Keys of this test alone."""
    return uuid.uuid4().hex


def test_what_is_put_is_got(channel, prefix):
    """Values come back under their keys, any bytes and none at all; absent keys are left out."""
    values = {f"{prefix}/a": bytes(range(256)), f"{prefix}/b": b"", f"{prefix}/c": b"END\r\n"}

    channel.put_many(values)

    assert values == channel.get_many([*values, f"{prefix}/absent"])


def test_nothing_is_put_got_and_deleted(channel):
    """A trip without keys is none."""
    channel.put_many({})
    channel.delete_many([])

    assert {} == channel.get_many([])


def test_a_value_at_the_limit_passes_and_one_far_above_is_refused(channel, prefix):
    """The limit that a channel tells is true, and what is refused is named, not lost in silence."""
    size = channel.max_value_bytes
    channel.put_many({f"{prefix}/fits": b"x" * size})

    assert size == len(channel.get_many([f"{prefix}/fits"])[f"{prefix}/fits"])
    with pytest.raises(ChannelError, match=f"{prefix}/large"):
        channel.put_many({f"{prefix}/large": b"x" * (2 * size)})
    channel.put_many({f"{prefix}/after": b"still works"})
    assert channel.get_many([f"{prefix}/after"])


def test_what_is_deleted_is_gone(channel, prefix):
    """Deleting removes keys, absent ones without harm."""
    channel.put_many({f"{prefix}/a": b"1", f"{prefix}/b": b"2"})

    channel.delete_many([f"{prefix}/a", f"{prefix}/absent"])

    assert {f"{prefix}/b": b"2"} == channel.get_many([f"{prefix}/a", f"{prefix}/b"])


def test_a_cache_that_is_not_there_is_told_with_its_address():
    """Nothing listens on port 1."""
    with pytest.raises(ChannelError, match=r"127\.0\.0\.1:1 is not reachable"):
        MemcachedChannel("127.0.0.1", 1)


def test_a_name_that_no_host_can_have_is_told():
    """An empty label is as bad as a host that is not there."""
    with pytest.raises(ChannelError, match=r"a\.\.b:11211 is not reachable"):
        MemcachedChannel("a..b", 11211)


def test_of_several_that_add_one_key_one_succeeds(channel, prefix):
    """The first value stays; a key that was deleted can be added again."""
    key = f"{prefix}/lease"

    assert [True, False, False] == [channel.add(key, value) for value in (b"a", b"b", b"a")]
    assert {key: b"a"} == channel.get_many([key])
    channel.delete_many([key])
    assert channel.add(key, b"c")


def test_a_value_is_replaced_only_where_it_is_known(channel, prefix):
    """The key must hold exactly what the caller believes."""
    key = f"{prefix}/lease"
    assert not channel.replace_if(key, b"a", b"b")
    channel.add(key, b"a")

    assert not channel.replace_if(key, b"x", b"b")
    assert channel.replace_if(key, b"a", b"b")
    assert not channel.replace_if(key, b"a", b"c")
    assert {key: b"b"} == channel.get_many([key])


def test_too_large_is_told_apart(channel, prefix):
    """Trying again does not make a value smaller: the error says so by its kind."""
    with pytest.raises(ValueTooLarge):
        channel.put_many({f"{prefix}/large": b"x" * (2 * channel.max_value_bytes)})
