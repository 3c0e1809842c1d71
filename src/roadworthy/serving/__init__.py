"""The request path: worker, routing, batching, protocols. Never sees lifecycle: a worker cannot promote."""
