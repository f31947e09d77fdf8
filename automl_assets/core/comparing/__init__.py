"""What changes if one model takes the place of another, on rows that neither has seen."""
