"""The command line: the verbs of `harness`, their help, and the CI files that it ships.

In comes `argv`; out come texts on the standard streams and an exit code of `harness.errors`.
"""
