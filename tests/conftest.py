"""All tests: what they prove is held against what checks find, the slowest are named on GitHub, some run alone."""

pytest_plugins = ["defects", "job_summary", "turns"]
