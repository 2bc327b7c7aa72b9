"""Errors of the system and of Python as one line that says what is wrong, where, what to do."""

# Libraries that come with the distribution and not with pip, and the package that has each.
PACKAGES = {"bcc": "python3-bpfcc", "seccomp": "python3-seccomp", "systemd": "python3-systemd"}


def of_library(error: ImportError) -> str:
    name = (error.name or "").partition(".")[0]
    package = PACKAGES.get(name)
    if package is None:
        return f"a library cannot be used: {error}; install sockwarden again"
    return f"the library {name} cannot be used ({error}): apt-get install {package}"


def of_file(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason
