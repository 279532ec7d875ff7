"""Machines that teams rent: from a wish to a machine, and back to nothing."""
