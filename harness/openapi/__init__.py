"""OpenAPI documents 3.0 to 3.2: what one says of a request and of an answer, whether it is valid, what changed in it.

In come documents and values as JSON; out come what is wrong with them, and where.

Pure functions of documents as JSON. Nothing is ever fetched: a reference to another document stays unknown.
"""
