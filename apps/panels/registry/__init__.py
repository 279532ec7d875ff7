"""What the pages of models share in the Console and in the Admin panel."""
