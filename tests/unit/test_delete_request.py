"""The keys that a DeleteObjects names: access is decided on each of them."""

import pytest

from harness.emulation.delete_request import keys_to_delete

MANY = b"""<?xml version="1.0" encoding="UTF-8"?>
<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <Quiet>true</Quiet>
    <Object><Key>a</Key><VersionId>1</VersionId></Object>
    <Object>
        <Key> b &amp; &lt;c&gt; </Key>
    </Object>
</Delete>"""
BOMB = b'<!DOCTYPE d [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>'


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        (b"<Delete><Object><Key>a</Key></Object></Delete>", ["a"]),
        (MANY, ["a", " b & <c> "]),
        ("<Delete><Object><Key>größe</Key></Object></Delete>".encode(), ["größe"]),
        (b"<Delete><Object><Key><![CDATA[a<b]]>&#9;</Key></Object></Delete>", ["a<b\t"]),
        # A key in a comment does not count.
        (b"<Delete><!-- <Key>b</Key> --><Object><Key>a</Key></Object></Delete>", ["a"]),
    ],
)
def test_every_key_is_found(body, keys):
    """Spaces and escaped characters are part of a key."""
    assert keys == keys_to_delete(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no XML",
        b"<Delete/>",
        b"<Delete><Object></Object></Delete>",
        b"<Delete><Object><Key/></Object></Delete>",
        BOMB,
    ],
)
def test_what_cannot_be_read_counts_as_every_key(body):
    """A role that may delete some keys only is then refused."""
    assert ["*"] == keys_to_delete(body)
