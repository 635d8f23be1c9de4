"""What an adapter's events see, change and leave on record."""
