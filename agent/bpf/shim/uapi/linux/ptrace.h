/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The kernel's names of the registers in struct pt_regs, in the kernel's order
 * (arch/x86/include/asm/ptrace.h, arch/arm64/include/asm/ptrace.h).
 */
#ifndef SW_SHIM_PTRACE_H
#define SW_SHIM_PTRACE_H
#if defined(__x86_64__) || defined(__TARGET_ARCH_x86)
struct pt_regs {
    unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
    unsigned long orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__aarch64__) || defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
    unsigned long long regs[31], sp, pc, pstate;
};
struct pt_regs {
    union {
        struct user_pt_regs user_regs;
        struct {
            unsigned long long regs[31], sp, pc, pstate;
        };
    };
    unsigned long long orig_x0;
    int syscallno;
    unsigned int unused;
};
#else
#error "Sockwarden knows the registers of x86-64 and arm64 only"
#endif
#endif
