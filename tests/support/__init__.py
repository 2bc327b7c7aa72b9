"""What several tests share; on pytest's path by `pythonpath` in pyproject.toml."""
