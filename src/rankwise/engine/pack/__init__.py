"""Many runs in shared passes, each with the bits it has alone."""
