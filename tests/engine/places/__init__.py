"""Where a run may be: builders, set-ups, engines elsewhere, Podman, a job of a CI system, and the stores that it publishes to."""
