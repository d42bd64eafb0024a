"""Real proxies, of Debian's packages, and the real program through them: ``make networks``."""
