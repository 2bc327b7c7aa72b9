/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The programs that share the work of a call by tail calls.
 *
 * Hooks of system calls and of functions run programs of two types, and a program array holds one
 * type.  These are compiled once; agent/probe/compile.py loads them for `syscall_jumps`, and again for
 * `tls_jumps`.
 */
int jump_meet(void *context)
{
    u32 next = meet();
    if (next != STAY)
        syscall_jumps.call(context, next);
    return 0;
}

int jump_gate(void *context)
{
    u32 next = gate();
    if (next != STAY)
        syscall_jumps.call(context, next);
    return 0;
}

int jump_search(void *context)
{
    u32 next = search();
    if (next != STAY)
        syscall_jumps.call(context, next);
    return 0;
}

int jump_token(void *context)
{
    u32 next = token();
    if (next != STAY)
        syscall_jumps.call(context, next);
    return 0;
}

int jump_begin(void *context)
{
    u32 next = begin();
    if (next != STAY)
        syscall_jumps.call(context, next);
    return 0;
}

int jump_pump(void *context)
{
    u32 next = pump();
    if (next != STAY) {
        syscall_jumps.call(context, next);
        pump_ended();
    }
    return 0;
}
