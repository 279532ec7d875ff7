"""Pages about oneself, and how allauth fits in."""
