"""The mathematics of the analyses: small pure functions of tensors and numbers, each held against a closed form."""
