/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Stands in for the kernel's own headers, which BCC includes before a program: the probe
 * reads arguments of system calls and functions only and needs no structure of the kernel
 * but those whose offsets BTF tells.
 */
#ifndef SW_SHIM_KCONFIG_H
#define SW_SHIM_KCONFIG_H
#define CONFIG_BPF_SYSCALL 1

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef unsigned long size_t;
typedef long ssize_t;
typedef unsigned long uintptr_t;
typedef int pid_t;
typedef unsigned short umode_t;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)
#endif
