"""Freed memory stays in the process where glibc allows it."""

import platform

from rankwise.studies.running.allocator import keep_freed_memory


def test_it_acts_on_glibc_and_nowhere_else():
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
