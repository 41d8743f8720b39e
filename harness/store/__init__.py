"""Artifact stores: artifacts by their digest, in a folder or in an OCI registry, and the baseline published there.

In come the files of an artifact and where they come from; out comes a digest, and for a digest the same files,
verified.
"""
