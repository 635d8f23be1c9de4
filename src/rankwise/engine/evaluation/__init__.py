"""Measures a model: negative log-likelihood, exact match, generated text, spectra, curvature."""
