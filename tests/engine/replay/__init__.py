"""What a failed run leaves to find it again: bundles, replays here and on another engine, shells, kept containers."""
