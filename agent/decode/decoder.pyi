class Decoder:
    name: str
    order: int
    depth: int
    opens: bool
    marks: int
    def __call__(self, text: bytes) -> bytes | None:
        """The decoded text after one application, or None where nothing was decoded."""
