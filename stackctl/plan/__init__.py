"""What an apply would do, as data."""
