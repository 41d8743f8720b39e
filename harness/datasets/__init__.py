"""What can be seen in the tables of a dataset: pure functions over pandas frames, and the reading of files.

In come files and tables of a dataset; out come figures about them, never a verdict.

pandas is imported where it is used: `harness --help` does without it.
"""
