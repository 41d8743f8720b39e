"""Programs and signals of the machine that the harness runs on.

In come an argv and a deadline; out come the lines that the program printed and its exit code, on every path.
"""
