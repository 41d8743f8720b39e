"""What a run leaves: the frozen records, the run folder that holds them, and what can be read out of both.

In come records from the stages; out come files that need no harness to be read, and the same records read back.
"""
