"""The isolation matrix: every principal on every route, asking for its own, for others' and for nothing."""
