from sockwarden.agent.sources import Source

SOURCE: Source
