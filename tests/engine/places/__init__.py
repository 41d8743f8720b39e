"""Where a run may be: both builders, set-ups, engines elsewhere, Podman, jobs of CI systems; and the stores."""
