"""A run: the stages, the order in which they work, and what is removed after them.

In come a `harness.config.spec.Spec` and an engine; out come the evidence of each stage in a run folder,
and the findings.
"""
