"""Everything that shows evidence and findings to people and programs.

In come evidence and findings; out come texts, pages and files in other programs' formats.
"""
