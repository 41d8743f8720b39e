"""What a project writes, read and checked: Compose files, `x-harness`, locks, Dockerfiles, git and DVC.

In come the files of a project's folder; out come a frozen `harness.config.spec.Spec`, the pins of its
images and the run's own Compose file.
"""
