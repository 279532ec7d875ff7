"""What may be read about teams, by whom."""
