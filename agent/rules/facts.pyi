FACTS: tuple[str, ...]
