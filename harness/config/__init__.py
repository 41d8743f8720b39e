"""What the `x-harness` block can say: its models, the types of its values, the gate's language, the names of metrics.

In come plain mappings and texts; out come frozen values, or a `ValueError` that says what was expected.
"""
