"""The text of a CloudFormation template becomes the data that CloudFormation takes it for."""

import pytest
import yaml

from harness.emulation.template_yaml import load_template_yaml


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!Ref Bucket", {"Ref": "Bucket"}),
        ("!Condition IsLarge", {"Condition": "IsLarge"}),
        ("!GetAtt Cache.ConfigurationEndpoint.Port", {"Fn::GetAtt": ["Cache", "ConfigurationEndpoint.Port"]}),
        ("!GetAtt [Bucket, Arn]", {"Fn::GetAtt": ["Bucket", "Arn"]}),
        ("!Join [',', [!Ref A, b]]", {"Fn::Join": [",", [{"Ref": "A"}, "b"]]}),
        ("!Sub ['${x}', {x: !Ref A}]", {"Fn::Sub": ["${x}", {"x": {"Ref": "A"}}]}),
        ("!Transform {Name: AWS::Include}", {"Fn::Transform": {"Name": "AWS::Include"}}),
        ("Version: 2012-10-17", {"Version": "2012-10-17"}),
        ("Since: 2012-10-17T08:00:00Z", {"Since": "2012-10-17T08:00:00Z"}),
        ("{Size: 7, Size: 8}", {"Size": 8}),
        ("{Size: 7, Share: 0.5, Ready: true, It: null}", {"Size": 7, "Share": 0.5, "Ready": True, "It": None}),
        ('{"Fn::Sub": "a", "Version": "2012-10-17"}', {"Fn::Sub": "a", "Version": "2012-10-17"}),
    ],
)
def test_text_is_read_as_cloudformation_reads_it(text, expected):
    """Short forms become long ones, a date stays text, and the last of two equal keys counts."""
    assert expected == load_template_yaml(text)


def test_nothing_but_plain_data_is_constructed():
    """A tag of Python's is a function that CloudFormation does not know, not an object."""
    with pytest.raises(yaml.YAMLError):
        load_template_yaml("!!python/object/apply:os.getcwd []")


def test_an_error_has_its_line():
    """The message of the command names it."""
    with pytest.raises(yaml.YAMLError) as raised:
        load_template_yaml("A: 1\nB: [\nC: 2\n")

    assert raised.value.problem_mark.line > 0
