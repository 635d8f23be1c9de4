"""Programs that write pages: ``python -m docs.NAME`` from the root; the tests import what they say."""
