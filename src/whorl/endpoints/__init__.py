"""Somebody else's model, reached by asking: one question in, one reply out, every byte kept.

Imports `core`, and an HTTP client inside the modules that speak HTTP. Only `whorl.endpoints.local` may import torch;
transformers it alone and the program `whorl.endpoints.template_worker`. Start at `whorl.endpoints.exchange` for what is
asked and answered, `whorl.endpoints.opening` for how an address becomes an endpoint.
"""
