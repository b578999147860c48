"""The pytest plug-in: a stack as a fixture, with functions deployed, invoked and observed by tests."""
