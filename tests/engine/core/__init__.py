"""What the harness does with what is well: the reference project, each form of a Compose file, logs, code, packages."""
