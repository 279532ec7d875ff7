"""Which queue a task waits in, by its app; senders know tasks by name only."""

from kombu import Queue

DEFAULT = "default"
QUEUES = tuple(Queue(name) for name in (DEFAULT, "provision", "billing", "inference"))
ROUTES = {
    "instances.*": {"queue": "provision"},
    "nodes.*": {"queue": "provision"},
    "gpupools.*": {"queue": "provision"},
    "billing.*": {"queue": "billing"},
    "invoicing.*": {"queue": "billing"},
    "payments.*": {"queue": "billing"},
    "registry.*": {"queue": "inference"},
    "inference.*": {"queue": "inference"},
}
