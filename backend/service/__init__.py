"""The service: HTTP, the durable queue, blobs, and the supervision of the worker. Never imports torch."""
