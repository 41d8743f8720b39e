"""Scripts that run inside a project's images, with that image's Python: the standard library alone, nothing of ours."""
