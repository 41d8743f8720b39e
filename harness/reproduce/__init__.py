"""The failure of a run, taken to another machine: `bundle` packs what it needs, `replay` runs it again.

In comes the run folder of a run; out come one file without secrets, and the answer whether the failure comes again.
"""
