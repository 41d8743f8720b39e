"""Everything that shows evidence and findings to people and programs."""
