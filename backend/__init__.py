"""The local backend: a service that answers, and a worker that computes.

What lies directly in this package is shared by the two: the pipe between them and the blob store.
"""
