"""What `capture.py` compares the probe with: `python designs.py floor|classic FILE...`.

`floor`: empty programs on the probe's own hooks, and on the OpenSSL functions of each FILE.
Nothing that stands on these hooks can cost less.  `classic`: what most tracers do.  Entry of a
call: keep the arguments in a map; return: take them out, look the descriptor up, write up to
16 KiB to a ring in a slot of that size, and wake the reader.  A descriptor's first bytes say
whether it is HTTP.  Both say "ready" and end with their input.
"""

import os
import selectors
import sys
import tempfile
from pathlib import Path
from typing import Any

from sockwarden.agent.probe import elf, mounts, source, tls
from sockwarden.agent.probe.attach import AttachError, Link, attach_tracepoint, attach_uprobe
from sockwarden.agent.probe.programs import TRACEPOINTS, Tracepoint
from sockwarden.agent.ring import Ring

BYTES_CALLS = ("sys_exit_buffer", "sys_exit_vector")  # the probe's own programs for them

FLOOR = """
int on_tracepoint(void *context) { return 0; }
int on_function(void *context) { return 0; }
"""

CLASSIC = """
#include <linux/ptrace.h>
#include <asm/unistd.h>

struct sys_enter { u64 common; s64 number; u64 arguments[6]; };
struct sys_exit { u64 common; s64 number; s64 result; };
struct arguments { u64 what; u64 buffer; u64 vectored; };
struct slot { u64 what; u64 time; u32 size; u32 captured; u8 data[16384]; };

BPF_HASH(system_calls, u64, struct arguments, 8192);
BPF_HASH(tls_calls, u64, struct arguments, 8192);
BPF_HASH(descriptors, u64, u8, 65536);
BPF_RINGBUF_OUTPUT(ring, 8192);

static __always_inline void put(u64 what, u64 buffer, u64 size)
{
    struct slot *slot = ring.ringbuf_reserve(sizeof *slot);
    if (!slot)
        return;
    slot->what = what;
    slot->time = bpf_ktime_get_ns();
    slot->size = size;
    asm volatile("" : "+r"(size));
    if (size > sizeof slot->data)
        size = sizeof slot->data;
    slot->captured = size;
    bpf_probe_read_user(slot->data, size, (void *)buffer);
    ring.ringbuf_submit(slot, 0);
}

int on_call(struct sys_enter *args)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct arguments kept = {thread >> 32 << 32 | (u32)args->arguments[0], args->arguments[1]};
    s64 n = args->number;
    if (n == __NR_recvmsg || n == __NR_sendmsg)
        bpf_probe_read_user(&kept.buffer, 8, (void *)(kept.buffer + 16));
    kept.vectored = n == __NR_readv || n == __NR_writev || n == __NR_recvmsg ||
                    n == __NR_sendmsg || n == __NR_preadv2 || n == __NR_pwritev2;
    system_calls.update(&thread, &kept);
    return 0;
}

int on_return(struct sys_exit *args)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct arguments *found = system_calls.lookup(&thread);
    if (!found)
        return 0;
    struct arguments kept = *found;
    system_calls.delete(&thread);
    if (args->result <= 0)
        return 0;
    u64 part[2] = {kept.buffer, args->result};
    if (kept.vectored)
        bpf_probe_read_user(part, sizeof part, (void *)kept.buffer);
    u8 *known = descriptors.lookup(&kept.what);
    if (!known) {
        u32 word = 0;
        bpf_probe_read_user(&word, sizeof word, (void *)part[0]);
        u8 is_http = word == 0x20544547 || word == 0x50545448;
        descriptors.update(&kept.what, &is_http);
        if (!is_http)
            return 0;
    } else if (!*known) {
        return 0;
    }
    u64 left = args->result;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        put(kept.what, part[0], part[1] < left ? part[1] : left);
        left -= part[1] < left ? part[1] : left;
        if (!left)
            break;
        bpf_probe_read_user(part, sizeof part, (void *)(kept.buffer + 16 * (i + 1)));
    }
    return 0;
}

int on_close(struct sys_enter *args)
{
    u64 what = bpf_get_current_pid_tgid() >> 32 << 32 | (u32)args->arguments[0];
    descriptors.delete(&what);
    return 0;
}

int on_function(struct pt_regs *regs)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct arguments kept = {PT_REGS_PARM1(regs), PT_REGS_PARM2(regs)};
    tls_calls.update(&thread, &kept);
    return 0;
}

int on_function_return(struct pt_regs *regs)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct arguments *found = tls_calls.lookup(&thread);
    if (!found)
        return 0;
    struct arguments kept = *found;
    tls_calls.delete(&thread);
    s32 result = PT_REGS_RC(regs);
    if (result > 0)
        put(kept.what, kept.buffer, result);
    return 0;
}
"""


def compiled(text: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        source.lay_headers(Path(folder))
        os.environ["BCC_KERNEL_SOURCE"] = folder
        from bcc import BPF  # noqa: PLC0415  (BCC reads the environment when imported)

        return BPF(text=text, cflags=["-Wno-everything"])


def at_points(programs: dict[str, int], points: list[Tracepoint]) -> list[Link]:
    links = []
    for point in points:
        try:
            fd = programs[point.program]
            links.append(attach_tracepoint(fd, point.category, point.name))
        except AttachError:
            if not point.optional:
                raise
    return links


def at_functions(enter: int, leave: int, files: list[str]) -> list[Link]:
    """Where the probe stands in these files."""
    [library] = [each for each in tls.libraries() if each.name == "openssl"]
    links = []
    for name in files:
        with open(name, "rb") as file:
            offsets = elf.function_offsets(file, [each.symbol for each in library.functions])
        for function in library.functions:
            offset = offsets.get(function.symbol)
            if offset is None:
                continue
            if function.exit:
                links.append(attach_uprobe(leave, name, offset, returning=True))
                links.append(attach_uprobe(enter, name, offset, returning=False))
            elif enter == leave:  # the floor's
                links.append(attach_uprobe(enter, name, offset, returning=False))
    return links


def floor(files: list[str]) -> list[Link]:
    module = compiled(FLOOR)
    tracepoint = module.load_func("on_tracepoint", module.TRACEPOINT).fd
    function = module.load_func("on_function", module.KPROBE).fd
    every = {point.program: tracepoint for point in TRACEPOINTS}
    return [*at_points(every, list(TRACEPOINTS)), *at_functions(function, function, files)]


def classic(files: list[str]) -> tuple[Ring, list[Link]]:
    module = compiled(CLASSIC)
    programs = {
        name: module.load_func(name, kind).fd
        for kind, names in (
            (module.TRACEPOINT, ("on_call", "on_return", "on_close")),
            (module.KPROBE, ("on_function", "on_function_return")),
        )
        for name in names
    }
    points = [Tracepoint("syscalls", "sys_enter_close", "on_close")]
    for point in TRACEPOINTS:
        if point.program in BYTES_CALLS:
            points.append(Tracepoint(point.category, point.name, "on_return"))
            entry = point.name.replace("sys_exit", "sys_enter")
            points.append(Tracepoint(point.category, entry, "on_call"))
    links = at_points(programs, points)
    links += at_functions(programs["on_function"], programs["on_function_return"], files)
    return Ring(os.dup(module["ring"].map_fd)), links


def main() -> None:
    mounts.mount_missing()
    design, *files = sys.argv[1:]
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    ring = None
    if design == "floor":
        links = floor(files)
    else:
        ring, links = classic(files)
        selector.register(ring, selectors.EVENT_READ)
    print("ready", flush=True)
    while not any(key.fileobj is sys.stdin for key, _ in selector.select()):
        while ring and ring.read():
            pass
    for link in links:
        link.close()


if __name__ == "__main__":
    main()
