/* Uprobes: arguments and results of functions in user space, and which return belongs to which call.
 *
 * A program's section names the function: uprobe/<function> at its entry, uretprobe/<function> at its return. The recorder
 * finds the files that have it (crates/record/src/kernel/uprobe.rs). */
#pragma once

#include "coldcase.bpf.h"

#if defined(__TARGET_ARCH_x86)
#define CC_ARG1(regs) ((regs)->di)
#define CC_ARG2(regs) ((regs)->si)
#define CC_ARG4(regs) ((regs)->cx)
#define CC_RESULT(regs) ((regs)->ax)
#define CC_SP(regs) ((__u64)(regs)->sp)
#else
#define CC_ARG1(regs) ((regs)->regs[0])
#define CC_ARG2(regs) ((regs)->regs[1])
#define CC_ARG4(regs) ((regs)->regs[3])
#define CC_RESULT(regs) ((regs)->regs[0])
#define CC_SP(regs) ((regs)->sp)
#endif

/* Flag bits that all calls share. */
#define CC_CENSORED 1    /* it still ran when the capture ended */
#define CC_THREAD_ENDED 2 /* its thread ended in it */

/* The process is the recorder itself; or it runs 32-bit code, whose arguments are elsewhere. */
static __always_inline bool cc_is_left_out(struct task_struct *task, struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	if (regs->cs == CC_USER32_CS)
		return true;
#endif
	return task->tgid == cc_self_tgid;
}

/* Whether an entry at this stack pointer is a call inside the one that began at `outer` (0: there is none). When the stack
 * is no deeper, that one was left without a return (longjmp). */
static __always_inline bool cc_is_nested(__u64 outer, __u64 sp)
{
	return outer && sp < outer;
}

/* Whether a return belongs to the call that began at `began`. On x86 the return address is off the stack by then. */
static __always_inline bool cc_is_return_of(__u64 began, __u64 sp)
{
	return began && sp - began <= sizeof(__u64);
}
