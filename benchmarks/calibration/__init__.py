"""Is the verdict right as often as it promises on real runs? Pools of runs, and whole studies drawn from them."""
