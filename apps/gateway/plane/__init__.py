"""The worker: serves requests on one core, without Django, the database or a coroutine in a request's way."""
