"""All tests: the marks of what they prove are held against what their checks find; the slowest are named on GitHub."""

pytest_plugins = ["defects", "job_summary"]
