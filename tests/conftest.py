"""All tests: the marks of what they prove are held against what their checks find."""

pytest_plugins = ["defects"]
