"""What the registry hears from below."""
