"""What can be seen in the tables of a dataset: pure functions over pandas frames, and the reading of files.

pandas is imported where it is used: `harness --help` does without it.
"""
