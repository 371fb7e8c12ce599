"""The service: one registry over HTTP, for programs and for people who check it.

May import every room but `cli`; the only room that speaks the web framework. Start at `whorl.web.app.make_app` for
what is served, and at `whorl.web.service.Service` for how concurrent requests become batches of the one writer.
What is served, who may do what and the limits: ``docs/specs/service.md``.
"""
