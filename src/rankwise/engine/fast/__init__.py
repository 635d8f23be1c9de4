"""The fast path: passes without padding, explicit attention, a head for the targets only. Each file is one idea."""
