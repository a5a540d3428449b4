/* SPDX-License-Identifier: MIT */
/*
 * x86-64: System V ABI, Linux's struct pt_regs and rt_sigframe (arch/x86/kernel/signal_64.c,
 * arch/x86/kernel/fpu/signal.c, uapi/asm/sigcontext.h), CPUID leaf 0xD for the extended state.
 */
#include "inject/arch/arch.h"

#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* Results by which a system call asks the kernel's signal code to restart it. They never reach a
 * program, so no user header has them (include/linux/errno.h). */
enum {
	ERESTARTSYS = 512,
	ERESTARTNOINTR = 513,
	ERESTARTNOHAND = 514,
	ERESTART_RESTARTBLOCK = 516,
};

/* uc_flags of uapi/asm/ucontext.h. */
enum { UC_FP_XSTATE = 1, UC_SIGCONTEXT_SS = 2, UC_STRICT_RESTORE_SS = 4 };

enum {
	XSTATE_SOFTWARE = 464,       /* the bytes of the FXSAVE area left to software */
	XSTATE_HEADER = 512,         /* XSTATE_BV */
	XSTATE_FIRST_EXTENDED = 576, /* legacy area and header */
	FEATURE_PKRU = 9,
	FEATURE_TILE_DATA = 18, /* given to a thread only when it asks */
	FEATURES = 63,
};

/* struct _fpx_sw_bytes of uapi/asm/sigcontext.h. */
struct fpx_software {
	uint32_t magic1;
	uint32_t extended_size;
	uint64_t features;
	uint32_t xstate_size;
	uint32_t padding[7];
};

/* struct rt_sigframe as the kernel lays it out. */
struct frame {
	uint64_t return_address;
	uint64_t flags;
	uint64_t link;
	uint64_t stack[3]; /* zeros: do_sigaltstack refuses a stack of no size, and changes nothing
			    */
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t error, trap, old_mask, cr2;
	uint64_t fpstate;
	uint64_t reserved[8];
	uint64_t signal_mask;
	uint8_t info[128];
};
_Static_assert(sizeof(struct frame) == 8 + 304 + 128, "rt_sigframe of x86-64");
_Static_assert(sizeof(struct fpx_software) == 48, "_fpx_sw_bytes");

enum { FRAME_XSTATE = 448 }; /* offset of the extended state behind struct frame, aligned to 64 */
_Static_assert(FRAME_XSTATE >= sizeof(struct frame) && FRAME_XSTATE % 64 == 0, "XSAVE alignment");

static int regs_get(pid_t tid, struct ma_regs *regs)
{
	return ptrace(PTRACE_GETREGS, tid, NULL, &regs->raw) ? -1 : 0;
}

static int regs_set(pid_t tid, const struct ma_regs *regs)
{
	return ptrace(PTRACE_SETREGS, tid, NULL, &regs->raw) ? -1 : 0;
}

static int xstate_get(pid_t tid, struct ma_context *context)
{
	struct iovec io = {context->xstate, sizeof(context->xstate)};

	if (ptrace(PTRACE_GETREGSET, tid, (void *)(uintptr_t)NT_X86_XSTATE, &io))
		return -1;
	context->xstate_bytes = io.iov_len;
	if (io.iov_len < XSTATE_FIRST_EXTENDED) {
		errno = ENODEV;
		return -1;
	}
	return 0;
}

static int xstate_set(pid_t tid, const struct ma_context *context)
{
	struct iovec io = {(void *)(uintptr_t)context->xstate, context->xstate_bytes};

	return ptrace(PTRACE_SETREGSET, tid, (void *)(uintptr_t)NT_X86_XSTATE, &io) ? -1 : 0;
}

static uint64_t regs_pc(const struct ma_regs *regs)
{
	return regs->raw.rip;
}

static uint64_t regs_sp(const struct ma_regs *regs)
{
	return regs->raw.rsp;
}

static uint64_t thread_pointer(const struct ma_regs *regs)
{
	return regs->raw.fs_base;
}

static void regs_at(struct ma_regs *regs, uint64_t pc, uint64_t sp)
{
	*regs = (struct ma_regs){.raw = {.rip = pc, .rsp = sp}};
}

static int dwarf_registers(const struct ma_regs *regs, uint64_t words[32])
{
	const struct user_regs_struct *r = &regs->raw;
	const uint64_t order[] = {r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi,
				  r->rbp, r->rsp, r->r8,  r->r9,  r->r10, r->r11,
				  r->r12, r->r13, r->r14, r->r15, r->rip};

	memcpy(words, order, sizeof(order));
	return (int)(sizeof(order) / sizeof(order[0]));
}

static int64_t syscall_number(const struct ma_regs *regs)
{
	/* An interrupt or fault leaves a negative number there. */
	int64_t number = (int64_t)regs->raw.orig_rax;

	return number >= 0 ? number : -1;
}

static uint64_t syscall_arg(const struct ma_regs *regs, int index)
{
	const struct user_regs_struct *r = &regs->raw;
	const uint64_t args[] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};

	return args[index];
}

static int64_t syscall_result(const struct ma_regs *regs)
{
	return (int64_t)regs->raw.rax;
}

static enum ma_interrupted interrupted(const struct ma_regs *regs)
{
	if (syscall_number(regs) < 0)
		return MA_INTERRUPTED_NOT;
	switch (-syscall_result(regs)) {
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
	case ERESTART_RESTARTBLOCK:
		return MA_INTERRUPTED_RESTART;
	case EINTR:
		return MA_INTERRUPTED_EINTR;
	default:
		return MA_INTERRUPTED_NOT;
	}
}

/* jmp rel32 and jcc rel32; short ones do not lead out of a function. */
static bool is_syscall(const uint8_t *code)
{
	return code[0] == 0x0f && code[1] == 0x05;
}

static void step_back(struct ma_regs *regs)
{
	regs->raw.rax = regs->raw.orig_rax;
	regs->raw.rip -= 2;
	regs->raw.orig_rax = UINT64_MAX; /* the kernel is not to restart it a second time */
}

static void setup_syscall(struct ma_regs *regs, const struct ma_machine *machine, uint64_t frame,
			  int64_t number, const uint64_t args[6])
{
	struct user_regs_struct *r = &regs->raw;

	r->rip = machine->syscall_return;
	r->rsp = frame;
	r->rax = (uint64_t)number;
	r->orig_rax = UINT64_MAX;
	r->rdi = args[0];
	r->rsi = args[1];
	r->rdx = args[2];
	r->r10 = args[3];
	r->r8 = args[4];
	r->r9 = args[5];
	r->eflags &= ~UINT64_C(0x100); /* no single step */
}

static void setup_call(struct ma_regs *regs, uint64_t stub, uint64_t control, uint64_t function,
		       uint64_t argument, uint64_t stack_top)
{
	struct user_regs_struct *r = &regs->raw;

	r->rip = stub;
	r->rax = function;
	r->orig_rax = UINT64_MAX;
	r->rbx = control;
	r->rdi = argument;
	r->rsp = stack_top & ~UINT64_C(15);
	r->rbp = 0;
	r->eflags = 0x202; /* direction flag clear, as every function may expect */
}

/* Only what the CPU has is asked about: in a virtual machine each answer takes microseconds. */
static void measure(struct ma_machine *machine)
{
	unsigned int low = 0, high = 0, size, offset, unused;
	uint64_t features;

	if (!__get_cpuid_count(0xd, 0, &low, &offset, &unused, &high))
		return;
	features = (uint64_t)high << 32 | low;
	for (unsigned int i = 2; i < FEATURES; i++) {
		if (!(features >> i & 1))
			continue;
		__cpuid_count(0xd, i, size, offset, unused, high);
		if (size && offset)
			machine->feature_end[i] = offset + size;
	}
}

/* The features that a frame carries, and the bytes of extended state that they take. A thread that
 * has not asked for tile data has a smaller state than ptrace shows, and the kernel would restore
 * only the legacy part of a frame that claims more. */
static uint64_t frame_features(const struct ma_context *context, const struct ma_machine *machine,
			       size_t *bytes)
{
	uint64_t enabled;
	uint64_t in_use;
	uint64_t features;

	memcpy(&enabled, context->xstate + XSTATE_SOFTWARE, sizeof(enabled));
	memcpy(&in_use, context->xstate + XSTATE_HEADER, sizeof(in_use));
	features = enabled & ~(UINT64_C(1) << FEATURE_TILE_DATA);
	features |= enabled & in_use;
	*bytes = XSTATE_FIRST_EXTENDED;
	for (unsigned int i = 2; i < FEATURES; i++)
		if ((features >> i & 1) && machine->feature_end[i] > *bytes)
			*bytes = machine->feature_end[i];
	if (*bytes > context->xstate_bytes)
		*bytes = context->xstate_bytes;
	return features;
}

static size_t frame_bytes(const struct ma_context *context, const struct ma_machine *machine)
{
	size_t bytes;

	frame_features(context, machine, &bytes);
	return (FRAME_XSTATE + bytes + sizeof(uint32_t) + 63) & ~(size_t)63;
}

static void frame_build(const struct ma_context *context, const struct ma_machine *machine,
			uint64_t address, void *bytes)
{
	struct ma_regs regs = context->regs;
	const struct user_regs_struct *r = &regs.raw;
	uint8_t *xstate = (uint8_t *)bytes + FRAME_XSTATE;
	struct fpx_software software = {.magic1 = 0x46505853};
	const uint32_t magic2 = 0x46505845;
	size_t size;
	uint64_t in_use;
	struct frame frame;

	if (interrupted(&regs) == MA_INTERRUPTED_RESTART)
		step_back(&regs);
	frame = (struct frame){
		.return_address = machine->sigreturn,
		.flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
		.r8 = r->r8,
		.r9 = r->r9,
		.r10 = r->r10,
		.r11 = r->r11,
		.r12 = r->r12,
		.r13 = r->r13,
		.r14 = r->r14,
		.r15 = r->r15,
		.rdi = r->rdi,
		.rsi = r->rsi,
		.rbp = r->rbp,
		.rbx = r->rbx,
		.rdx = r->rdx,
		.rax = r->rax,
		.rcx = r->rcx,
		.rsp = r->rsp,
		.rip = r->rip,
		.eflags = r->eflags,
		.cs = (uint16_t)r->cs,
		.ss = (uint16_t)r->ss,
		.fpstate = address + FRAME_XSTATE,
		.signal_mask = context->signal_mask,
	};
	memset(bytes, 0, frame_bytes(context, machine));
	memcpy(bytes, &frame, sizeof(frame));

	software.features = frame_features(context, machine, &size);
	software.xstate_size = (uint32_t)size;
	software.extended_size = (uint32_t)(size + sizeof(magic2));
	memcpy(xstate, context->xstate, size);
	memcpy(xstate + XSTATE_SOFTWARE, &software, sizeof(software));
	/* ptrace shows PKRU always, but the bit that makes the CPU load it only sometimes. */
	memcpy(&in_use, xstate + XSTATE_HEADER, sizeof(in_use));
	in_use |= software.features & UINT64_C(1) << FEATURE_PKRU;
	memcpy(xstate + XSTATE_HEADER, &in_use, sizeof(in_use));
	memcpy(xstate + size, &magic2, sizeof(magic2));
}

static uint64_t frame_sigreturn_sp(uint64_t address)
{
	/* The kernel looks for the frame one word below the stack pointer: a handler has returned
	 * through the first word by then. */
	return address + sizeof(uint64_t);
}

static void find_gadgets(const uint8_t *code, size_t bytes, uint64_t address,
			 struct ma_machine *machine)
{
	static const uint8_t syscall_return[] = {0x0f, 0x05, 0xc3};
	static const uint8_t sigreturn[] = {0x48, 0xc7, 0xc0, SYS_rt_sigreturn, 0, 0,
					    0,    0x0f, 0x05};
	const uint8_t *found;

	found = memmem(code, bytes, syscall_return, sizeof(syscall_return));
	if (found && !machine->syscall_return)
		machine->syscall_return = address + (uint64_t)(found - code);
	found = memmem(code, bytes, sigreturn, sizeof(sigreturn));
	if (found && !machine->sigreturn)
		machine->sigreturn = address + (uint64_t)(found - code);
}

static const uint8_t stub_code[] = {
	0xff, 0xd0, /* call *%rax */
	0x48, 0x89,
	0x03, /* mov %rax, result(%rbx) */
	0xc7, 0x43,
	8,    1,
	0,    0,
	0, /* movl $1, done(%rbx) */
	0xb8, 0xea,
	0,    0,
	0, /* mov $SYS_tgkill, %eax */
	0x8b, 0x7b,
	12, /* mov tgid(%rbx), %edi */
	0x8b, 0x73,
	16, /* mov tid(%rbx), %esi */
	0xba, SIGURG,
	0,    0,
	0,          /* mov $SIGURG, %edx */
	0x0f, 0x05, /* syscall */
	0x48, 0x8b,
	0x63, 24, /* mov sigreturn_sp(%rbx), %rsp */
	0xb8, SYS_rt_sigreturn,
	0,    0,
	0,          /* mov $SYS_rt_sigreturn, %eax */
	0x0f, 0x05, /* syscall */
	0x0f, 0x0b, /* ud2 */
};
enum { STUB_AFTER_TGKILL = 30 };
_Static_assert(sizeof(stub_code) <= MA_STUB_BYTES, "the stub's room");
_Static_assert(SYS_tgkill == 0xea, "number in the stub");
_Static_assert(offsetof(struct ma_stub_control, done) == 8 &&
		       offsetof(struct ma_stub_control, tgid) == 12 &&
		       offsetof(struct ma_stub_control, tid) == 16 &&
		       offsetof(struct ma_stub_control, sigreturn_sp) == 24,
	       "offsets in the stub");

static void stub_write(uint8_t *code)
{
	memset(code, 0xcc, MA_STUB_BYTES);
	memcpy(code, stub_code, sizeof(stub_code));
}

static bool stub_done(uint64_t stub, uint64_t pc)
{
	return pc == stub + STUB_AFTER_TGKILL;
}

static uint64_t timestamp(void)
{
	return __builtin_ia32_rdtsc();
}

const struct ma_arch_ops ma_arch = {
	.name = "x86-64",
	.red_zone_bytes = 128,
	.regs_get = regs_get,
	.regs_set = regs_set,
	.xstate_get = xstate_get,
	.xstate_set = xstate_set,
	.pc = regs_pc,
	.sp = regs_sp,
	.thread_pointer = thread_pointer,
	.regs_at = regs_at,
	.dwarf_registers = dwarf_registers,
	.syscall_number = syscall_number,
	.syscall_arg = syscall_arg,
	.syscall_result = syscall_result,
	.interrupted = interrupted,
	.syscall_bytes = 2,
	.is_syscall = is_syscall,
	.step_back = step_back,
	.setup_syscall = setup_syscall,
	.setup_call = setup_call,
	.frame_bytes = frame_bytes,
	.frame_build = frame_build,
	.frame_sigreturn_sp = frame_sigreturn_sp,
	.measure = measure,
	.find_gadgets = find_gadgets,
	.stub_write = stub_write,
	.stub_done = stub_done,
	.timestamp = timestamp,
};
