"""The recommended arm as configurations for other tools."""
