"""Named questions: which arms, which scale, which grid."""
