"""Read the body of S3's DeleteObjects."""

from xml.parsers.expat import ExpatError

import xmltodict


def keys_to_delete(body: bytes) -> list[str]:
    """Return the keys that a request names, or `*` if the body cannot be read.

    moto reads the body with the same parser, so that access is decided on exactly the keys that moto will delete.
    The parser refuses entities that the body itself declares.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
    """
    try:
        content = xmltodict.parse(body, strip_whitespace=False, force_list=("Object",))
        keys = [entry["Key"] for entry in content["Delete"]["Object"]]
    except (ExpatError, ValueError, KeyError, TypeError):
        return ["*"]
    return keys if all(isinstance(key, str) for key in keys) else ["*"]
