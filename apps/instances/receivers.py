"""What instances hear from below."""
