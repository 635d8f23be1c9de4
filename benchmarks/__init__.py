"""Programs to run by their path; the tests import what they share from here."""
