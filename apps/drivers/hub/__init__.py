"""A hub of models (huggingface.co or one that speaks like it), at the provider's address."""
