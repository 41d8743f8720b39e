"""OpenAPI documents 3.0 to 3.2: what one says of a request and of an answer, whether it is valid, what changed in it.

Pure functions of documents as JSON. Nothing is ever fetched: a reference to another document stays unknown.
"""
