"""A committee behind HTTP: requests, micro-batches, counts for Prometheus, and a page; needs the extra `serve`.

For trying a committee and for small services: there is no authentication and no encryption, and the server listens on
loopback unless another address is named. May be added: a kind of request body, as a line of INTAKES (intake.py).
"""
