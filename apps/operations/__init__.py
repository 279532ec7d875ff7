"""Long work that people can watch, the outbox of all that happened, and work that comes round."""
