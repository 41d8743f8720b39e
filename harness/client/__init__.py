"""How a service is asked: HTTP, serving protocols, requests of every kind, load and fuzzing, and how answers compare.

In come an address and examples; out come exchanges, each with the bytes sent and the answer or what prevented it.
"""
