"""Other systems, tried for real: ``make windows`` and ``make platforms``.

Interpreters and what else is needed come from the package registries into a cache folder; Windows
runs under Wine, other processors under qemu's user mode. What was seen is printed as rows for
``docs/PLATFORMS.md``. Linux x86-64; not part of the tests.
"""
