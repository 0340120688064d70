"""What is written of the findings."""
