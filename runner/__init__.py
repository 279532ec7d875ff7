"""Sets a checkout up, runs it and tests it, with nothing but the standard library."""
