"""Fuzzes: `run.py [TARGET...]`, for FUZZ_SECONDS (30) in all.  `run.py replay TARGET FILE...`.

The last line is one JSON object: {target: {"executions": n, "findings": n}, ...}.  Exit status 1:
there was a finding; its input is kept, and the line before says where and how to see it again.
A target ends with its first finding.  What was learned stays in build/fuzz/corpus.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import instrument
from targets import TARGETS, Target

ROOT = instrument.ROOT
FINDINGS = instrument.BUILT / "findings"
CORPUS = instrument.BUILT / "corpus"
COMMITTED = ROOT / "tests/corpus"
SECONDS = 30
TIMEOUT_SECONDS = 20  # of one input: a machine may be busy
MEMORY_MIB = 2048


@dataclass(frozen=True)
class Result:
    executions: int
    findings: int


def environment(target: Target, **more: str) -> dict[str, str]:
    path = [instrument.PACKAGE, instrument.TARGETS, instrument.HERE, sysconfig.get_path("purelib")]
    return os.environ | more | {
        "FUZZ_TARGET": target.name,
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONMALLOC": "malloc",  # so that the sanitizer sees each object
        "PYTHONHASHSEED": "0",
        "ASAN_OPTIONS": "allocator_may_return_null=1:quarantine_size_mb=64:malloc_context_size=12",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }  # fmt: skip


def write_seeds() -> None:
    folders = [ROOT / "tests" / name for name in ("conformance", "parser", "support")]
    path = os.pathsep.join(map(str, [*folders, os.environ.get("PYTHONPATH", "")]))
    instrument.call([sys.executable, str(instrument.HERE / "seeds.py")], PYTHONPATH=path)


def fuzz(target: Target, seconds: int) -> Result:
    corpus = CORPUS / target.name
    corpus.mkdir(parents=True, exist_ok=True)
    FINDINGS.mkdir(exist_ok=True)
    log = instrument.BUILT / f"{target.name}.log"
    folders = [corpus, instrument.BUILT / "seeds" / target.name, COMMITTED / target.name]
    with log.open("wb") as output:
        subprocess.run(
            [
                str(instrument.HARNESS),
                f"-max_total_time={seconds}",
                f"-max_len={target.longest_bytes}",
                f"-dict={instrument.HERE / target.dictionary}",
                f"-artifact_prefix={FINDINGS}/{target.name}-",
                f"-timeout={TIMEOUT_SECONDS}",
                f"-rss_limit_mb={MEMORY_MIB}",
                f"-detect_leaks={int(not target.python)}",
                "-print_final_stats=1",
                *(str(folder) for folder in folders if folder.is_dir()),
            ],
            env=environment(target), stdout=output, stderr=output, check=False,
        )  # fmt: skip
    result = read(log.read_text(errors="replace"), target)
    print(
        f"{target.name}: {result.executions} executions in {seconds} s, {result.findings} findings",
        flush=True,
    )
    return result


def read(log: str, target: Target) -> Result:
    """What libFuzzer says that it did; SystemExit where it could not begin."""
    executions = re.search(r"^stat::number_of_executed_units: (\d+)", log, re.MULTILINE)
    artifact = re.search(r"Test unit written to (\S*-(?:crash|leak|oom|timeout)-\S+)", log)
    if artifact:
        place = os.path.relpath(artifact[1], ROOT)
        print(f"{target.name}: see build/fuzz/{target.name}.log; the input is {place}")
        print(f"  again: python tests/fuzz/run.py replay {target.name} {place}", flush=True)
    elif not executions:
        raise SystemExit(f"the target {target.name} did not run:\n{log[-4000:]}")
    return Result(int(executions[1]) if executions else 0, int(artifact is not None))


def replay(target: Target, files: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    """Runs each file once and tells what is told of it."""
    return subprocess.run(
        [str(instrument.HARNESS), *(str(Path(file).resolve()) for file in files)],
        env=environment(target, **more), capture_output=True, text=True, errors="replace",
        check=False,
    )  # fmt: skip


def main(arguments: list[str]) -> int:
    instrument.build()
    if arguments[:1] == ["replay"]:
        done = replay(TARGETS[arguments[1]], arguments[2:], FUZZ_SHOW="1")
        sys.stderr.write(done.stderr)
        return done.returncode
    write_seeds()
    targets = [TARGETS[name] for name in arguments or TARGETS]
    side_by_side = min(len(targets), os.cpu_count() or 1)
    seconds = max(1, int(os.environ.get("FUZZ_SECONDS", SECONDS)) * side_by_side // len(targets))
    with ThreadPoolExecutor(side_by_side) as pool:
        results = list(pool.map(lambda target: fuzz(target, seconds), targets))
    print(json.dumps({t.name: asdict(r) for t, r in zip(targets, results, strict=True)}))
    return int(any(result.findings for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
