"""Regular expressions as Vectorscan takes them, read into a tree of byte sets.

`literals` derives from the tree what a match must hold.  So the tree may say more than the
expression, never less: every text that the expression matches, the tree matches.  Anchors and
word boundaries, which only refuse, are empty; a set that is given by what it leaves out is
every byte.  What could be misread is refused with a reason instead.
"""

import string
from dataclasses import dataclass

DEPTH_MAX = 64
REPEAT_MAX = 32_767  # Vectorscan's own bound
# Bytes of an expression with its repeats written out: a second of compiling, about.
POSITIONS_MAX = 4096

ANY = (1 << 256) - 1


@dataclass(frozen=True)
class Octet:
    """One byte of a set, a bit each."""

    mask: int


@dataclass(frozen=True)
class Row:
    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Choice:
    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Repeat:
    part: "Node"
    low: int
    high: int | None  # None: without end


Node = Octet | Row | Choice | Repeat
EMPTY = Row(())


def mask_of(octets: bytes) -> int:
    mask = 0
    for octet in octets:
        mask |= 1 << octet
    return mask


_DIGITS = mask_of(string.digits.encode())
_SPACES = mask_of(b"\t\n\x0b\x0c\r ")
_CLASSES = {
    "d": _DIGITS,
    "s": _SPACES,
    "w": mask_of((string.ascii_letters + string.digits + "_").encode()),
    "h": mask_of(b"\t \xa0"),
    "v": mask_of(b"\n\x0b\x0c\r\x85"),
}
_CLASSES |= {name.upper(): ANY for name in _CLASSES} | {"N": ANY}
_CONTROLS = {"n": 10, "r": 13, "t": 9, "f": 12, "e": 27, "a": 7}
_EMPTY_ESCAPES = "bBAzZG"
_POSIX = {
    "alpha": mask_of(string.ascii_letters.encode()),
    "digit": _DIGITS,
    "alnum": mask_of((string.ascii_letters + string.digits).encode()),
    "upper": mask_of(string.ascii_uppercase.encode()),
    "lower": mask_of(string.ascii_lowercase.encode()),
    "space": _SPACES,
    "blank": mask_of(b"\t "),
    "punct": mask_of(string.punctuation.encode()),
    "xdigit": mask_of(string.hexdigits.encode()),
    "word": _CLASSES["w"],
    "cntrl": mask_of(bytes([*range(32), 127])),
    "print": mask_of(bytes(range(32, 127))),
    "graph": mask_of(bytes(range(33, 127))),
}


class TooLargeError(ValueError):
    """An expression that would take too long to compile."""


def parse(regex: str, *, caseless: bool) -> Node:
    """Raises TooLargeError, or ValueError with what is not understood, and where."""
    # One character a byte: patterns are of bytes.
    reader = _Reader(regex.encode().decode("latin-1"))
    node = reader.choice(caseless, 0)
    if reader.left:
        raise reader.error("unbalanced ')'")
    size = positions(node)
    if size > POSITIONS_MAX:
        raise TooLargeError(
            f"it is {size} bytes long with its repeats written out; at most {POSITIONS_MAX} are "
            "compiled: lower the bounds of its repeats"
        )
    return node


def positions(node: Node) -> int:
    match node:
        case Octet():
            return 1
        case Row(parts) | Choice(parts):
            return sum(map(positions, parts))
        case Repeat(part, low, high):
            return positions(part) * max(low if high is None else high, 1)


def folded(mask: int) -> int:
    """The set with the other case of its ASCII letters."""
    upper = mask & _POSIX["upper"]
    lower = mask & _POSIX["lower"]
    return mask | upper << 32 | lower >> 32


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    @property
    def left(self) -> str:
        return self.text[self.place :]

    def error(self, reason: str) -> ValueError:
        return ValueError(f"{reason} at character {self.place + 1}")

    def peek(self, token: str) -> bool:
        return self.text.startswith(token, self.place)

    def accept(self, token: str) -> bool:
        if self.peek(token):
            self.place += len(token)
            return True
        return False

    def take(self) -> str:
        if self.place == len(self.text):
            raise self.error("unexpected end")
        self.place += 1
        return self.text[self.place - 1]

    def until(self, end: str) -> str:
        found = self.text.find(end, self.place)
        if found < 0:
            raise self.error(f"no {end!r} behind")
        start, self.place = self.place, found + len(end)
        return self.text[start:found]

    def number(self) -> int | None:
        start = self.place
        while self.place < len(self.text) and self.text[self.place] in string.digits:
            self.place += 1
        return int(self.text[start : self.place]) if self.place > start else None

    def choice(self, caseless: bool, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise self.error(f"groups nest more than {DEPTH_MAX} deep")
        rows = []
        while True:
            row, caseless = self.row(caseless, depth)
            rows.append(row)
            if not self.accept("|"):
                return rows[0] if len(rows) == 1 else Choice(tuple(rows))

    def row(self, caseless: bool, depth: int) -> tuple[Node, bool]:
        """Up to `|`, `)` or the end; `(?i)` holds from where it stands, in later rows too."""
        parts: list[Node] = []
        while self.left and not self.peek("|") and not self.peek(")"):
            if self.accept("\\Q"):
                end = self.text.find("\\E", self.place)
                end = len(self.text) if end < 0 else end
                parts += [_octet(ord(c), caseless) for c in self.text[self.place : end]]
                self.place = min(end + 2, len(self.text))
                continue
            if self.peek("(?"):
                node, caseless = self.group(caseless, depth)
            else:
                node = self.atom(caseless, depth)
            if node is not None:
                parts.append(self.repeated(node))
        return (parts[0] if len(parts) == 1 else Row(tuple(parts))), caseless

    def group(self, caseless: bool, depth: int) -> tuple[Node | None, bool]:
        self.accept("(?")
        if self.accept("#"):
            self.until(")")
            return None, caseless
        for opening, closing in (("P<", ">"), ("<", ">"), ("'", "'")):
            if self.peek(opening) and not self.peek("<=") and not self.peek("<!"):
                self.accept(opening)
                self.until(closing)
                return self.inside(caseless, depth), caseless
        if self.accept(">") or self.accept(":"):
            return self.inside(caseless, depth), caseless
        inner, on = caseless, True
        while not (self.peek(")") or self.peek(":")):
            flag = self.take()
            if flag == "-":
                on = False
            elif flag == "i":
                inner = on
            elif flag not in "msU":
                raise self.error(f"'(?{flag}' is not supported")
        if self.accept(")"):
            return None, inner
        self.accept(":")
        return self.inside(inner, depth), caseless

    def inside(self, caseless: bool, depth: int) -> Node:
        node = self.choice(caseless, depth + 1)
        if not self.accept(")"):
            raise self.error("no ')' behind")
        return node

    def atom(self, caseless: bool, depth: int) -> Node:
        c = self.take()
        if c == "(":
            if self.peek("*"):
                raise self.error("verbs such as (*UTF8) are not supported: patterns are of bytes")
            return self.inside(caseless, depth)
        if c == "[":
            return Octet(self.members(caseless))
        if c == ".":
            return Octet(ANY)
        if c in "^$":
            return EMPTY
        if c == "\\":
            return self.escape(caseless)
        if c in "*+?":
            raise self.error(f"nothing to repeat before {c!r}")
        return _octet(ord(c), caseless)

    def repeated(self, node: Node) -> Node:
        while True:
            if self.accept("*"):
                low, high = 0, None
            elif self.accept("+"):
                low, high = 1, None
            elif self.accept("?"):
                low, high = 0, 1
            else:
                bounds = self.bounds()
                if bounds is None:
                    return node
                low, high = bounds
            # Behind a quantifier: lazy, or possessive.
            if not self.accept("?"):
                self.accept("+")
            node = Repeat(node, low, high)

    def bounds(self) -> tuple[int, int | None] | None:
        """`{n}`, `{n,}`, `{n,m}`; any other brace stands for itself."""
        start = self.place
        if self.accept("{"):
            low = self.number()
            high = low
            if low is not None and self.accept(","):
                high = self.number()
            if low is not None and self.accept("}"):
                if low > REPEAT_MAX or (high is not None and not low <= high <= REPEAT_MAX):
                    raise self.error(f"a repeat is bounded by {REPEAT_MAX}, lower bound first")
                return low, high
        self.place = start
        return None

    def escape(self, caseless: bool) -> Node:
        c = self.take()
        if c in _EMPTY_ESCAPES:
            return EMPTY
        if c in "pP":
            if self.accept("{"):
                self.until("}")
            else:
                self.take()
            return Octet(ANY)
        if c in "123456789" and not _is_octal(c + self.left[:2]):
            raise self.error("references back are not supported")
        return Octet(self.escaped_set(c, caseless))

    def escaped_set(self, c: str, caseless: bool) -> int:
        if c in _CLASSES:
            return _CLASSES[c]
        octet = _CONTROLS.get(c)
        if octet is not None:
            return 1 << octet
        if c == "c":
            return 1 << (ord(self.take().upper()) ^ 64)
        if c == "x":
            return _octet(self.hexadecimal(), caseless).mask
        if c in string.octdigits:
            digits = c
            while len(digits) < 3 and self.left[:1] in tuple(string.octdigits):
                digits += self.take()
            return _octet(int(digits, 8) & 255, caseless).mask
        if c in string.ascii_letters:
            raise self.error(f"'\\{c}' is not supported")
        return _octet(ord(c), caseless).mask

    def hexadecimal(self) -> int:
        if self.accept("{"):
            digits = self.until("}")
        else:
            digits = ""
            while len(digits) < 2 and self.left[:1] in tuple(string.hexdigits):
                digits += self.take()
        value = int(digits or "0", 16)
        if value > 255:
            raise self.error(f"\\x{{{digits}}} is no byte")
        return value

    def members(self, caseless: bool) -> int:
        """A set behind its `[`; one that is given by what it leaves out is every byte."""
        negated = self.accept("^")
        mask = 0
        first = True
        while first or not self.peek("]"):
            first = False
            low, single = self.member(caseless)
            if single and self.peek("-") and not self.peek("-]"):
                self.accept("-")
                high, single = self.member(caseless)
                if single:
                    start, end = _lowest(low), high.bit_length() - 1
                    mask |= mask_of(bytes(range(start, end + 1)))
                    if end < start:
                        raise self.error("a range that ends before it begins")
                    continue
                mask |= high | 1 << ord("-")
            mask |= low
        self.accept("]")
        if negated:
            return ANY
        return folded(mask) if caseless else mask

    def member(self, caseless: bool) -> tuple[int, bool]:
        """A set, and whether it is one byte that may begin or end a range."""
        if self.accept("[:"):
            name = self.until(":]")
            if name.startswith("^"):
                return ANY, False
            if name not in _POSIX:
                raise self.error(f"no class [:{name}:]")
            return _POSIX[name], False
        c = self.take()
        if c != "\\":
            return 1 << ord(c), True
        c = self.take()
        if c == "b":
            return 1 << 8, True
        if c in "pP":
            self.place -= 1
            self.escape(caseless)
            return ANY, False
        if c in "QE":
            raise self.error(f"'\\{c}' within a set is not supported")
        return self.escaped_set(c, caseless=False), c not in _CLASSES


def _octet(octet: int, caseless: bool) -> Octet:
    mask = 1 << octet
    return Octet(folded(mask) if caseless else mask)


def _is_octal(digits: str) -> bool:
    """Three digits that are a byte; fewer could be a reference."""
    return len(digits) == 3 and digits[0] in "123" and all(c in string.octdigits for c in digits)


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1
