"""Greet somebody."""


def handler(event, context):
    """Return a greeting for `event["name"]`."""
    name = event.get("name", "world")
    print(f"greeting {name}")
    return {"message": f"Hello, {name}!"}
