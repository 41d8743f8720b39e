"""What goes wrong, and what comes of it: a fault of a project fails its own check, one of the machine none."""
